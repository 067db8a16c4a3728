# ---
# jupyter:
#   attack:
#     does: hides the maps of its memory, and shares it out to processes that do so too
#     statuses: [memory limit, not run]
# ---

# %%
import ctypes
import os
import signal

PR_SET_DUMPABLE = 4
ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)
for _ in range(8):
    if os.fork() == 0:
        hoard = bytearray(b"1") * 200_000_000
        signal.pause()
signal.pause()

# %%
print("after")
