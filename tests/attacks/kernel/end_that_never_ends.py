# ---
# jupyter:
#   attack:
#     does: leaves functions for the end of the program that never end
#     statuses: [ok, ok]
#     prints: are left
# ---

# %%
import atexit
import signal
import threading
import time


class Stubborn:
    def __del__(self):
        time.sleep(600)


def stay(*_):
    time.sleep(600)


atexit.register(stay)
signal.signal(signal.SIGTERM, stay)
threading.Thread(target=stay).start()

# %%
kept = Stubborn()
print("are left")
