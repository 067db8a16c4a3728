# ---
# jupyter:
#   attack:
#     does: ignores and blocks the signals that ask it to stop
#     statuses: [time limit, not run]
#     limits: {cell_seconds: 1}
# ---

# %%
import signal

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
while True:
    pass

# %%
print("after")
