# ---
# jupyter:
#   attack:
#     does: takes little in each of many processes, much in all of them
#     statuses: [memory limit, not run]
# ---

# %%
import os
import signal

for _ in range(8):
    if os.fork() == 0:
        hoard = bytearray(b"1") * 200_000_000
        signal.pause()
signal.pause()

# %%
print("after")
