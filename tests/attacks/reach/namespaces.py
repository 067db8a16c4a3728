# ---
# jupyter:
#   attack:
#     does: makes namespaces of its own, enters others, mounts
#     statuses: [ok]
#     prints: "tried \\d\\d; worked: \\[\\]"
# ---

# %%
import ctypes
import glob
import os

libc = ctypes.CDLL(None)
KINDS = (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
SIGCHLD, CLONE = 17, {"x86_64": 56}.get(os.uname().machine, 220)
tried, worked = 0, []


def attempt(name, result):
    global tried
    tried += 1
    if result == 0:
        worked.append(name)


for kind in KINDS:
    child = libc.syscall(CLONE, kind | SIGCHLD, 0, 0, 0, 0) if kind > 0xFF else -1
    if child == 0:
        os._exit(0)
    attempt(f"clone {kind:#x}", min(child, 0))
    attempt(f"unshare {kind:#x}", libc.unshare(kind | 0x10000000) and libc.unshare(kind))
for path in glob.glob("/proc/[12]/ns/*"):
    attempt(path, libc.setns(os.open(path, os.O_RDONLY), 0))
for source, kind, flags in ((b"x", b"tmpfs", 0), (b"proc", b"proc", 0), (b"/", None, 4096)):
    attempt(f"mount {kind}", libc.mount(source, b"/tmp", kind, flags, None))
attempt("remount", libc.mount(None, b"/", None, 4128, None))
attempt("umount", libc.umount2(b"/proc", 2))
attempt("pivot_root", libc.pivot_root(b"/tmp", b"/tmp"))
print(f"tried {tried}; worked:", worked)
