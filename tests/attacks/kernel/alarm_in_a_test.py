# ---
# jupyter:
#   attack:
#     does: sets an alarm that goes off in a test
#     statuses: [ok, error, ok]
#     prints: 'Alarm: in the test'
# ---

# %%
import signal
import time


class Alarm(Exception):
    pass


def ring(*_):
    raise Alarm("in the test")


def wait():
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    time.sleep(3)


signal.signal(signal.SIGALRM, ring)

# %%
wait()

# %%
pass
