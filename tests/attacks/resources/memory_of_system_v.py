# ---
# jupyter:
#   attack:
#     does: fills shared memory of System V and lets go of the mapping
#     statuses: [memory limit, not run]
# ---

# %%
import ctypes
import time

libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
for _ in range(10):
    number = libc.shmget(0, 90_000_000, 0o1600)
    assert number >= 0
    address = libc.shmat(number, None, 0)
    ctypes.memset(address, 1, 90_000_000)
    libc.shmdt(ctypes.c_void_p(address))
time.sleep(60)

# %%
print("after")
