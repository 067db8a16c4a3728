# ---
# jupyter:
#   attack:
#     does: kills whatever it can send a signal to
#     statuses: [kernel died, not run]
# ---

# %%
import os
import signal
import time

os.kill(-1, signal.SIGKILL)
time.sleep(1)
os.kill(os.getpid(), signal.SIGKILL)

# %%
print("after")
