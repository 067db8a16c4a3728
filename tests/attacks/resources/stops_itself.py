# ---
# jupyter:
#   attack:
#     does: stops itself, so that no signal but the last reaches it
#     statuses: [time limit, not run]
#     limits: {cell_seconds: 1}
# ---

# %%
import os
import signal

os.kill(os.getpid(), signal.SIGSTOP)

# %%
print("after")
