# ---
# jupyter:
#   attack:
#     does: looks for shared memory, semaphores and message queues that others left, and leaves some
#     statuses: [ok]
#     prints: "found: \\[\\] \\[\\] limits: [1-9]"
# ---

# %%
import ctypes
import os

libc = ctypes.CDLL(None)
found = []
for kind in ("shm", "sem", "msg"):
    with open(f"/proc/sysvipc/{kind}") as table:
        found += list(table)[1:]
files = os.listdir("/dev/shm")
limits = 0
for key in range(0x6C657400, 0x6C657410):
    limits += libc.shmget(key, 4096, 0o1666) != -1 and libc.shmget(key, 4096, 0o1666) >= 0
    limits += libc.shmget(key, 4096, 0o1666 | 0o1000) >= 0
    limits += libc.msgget(key, 0o1666) >= 0
print("found:", found, files, "limits:", limits)
