# ---
# jupyter:
#   attack:
#     does: makes hard links to files outside, and devices, so that they lie in its folder
#     statuses: [ok]
#     prints: "made: \\['fifo', 'socket', 'symbolic link'\\]"
# ---

# %%
import os
import socket
import stat
import sys

WAYS = {
    "fifo": lambda: os.mkfifo("fifo"),
    "socket": lambda: socket.socket(socket.AF_UNIX).bind("socket"),
    "symbolic link": lambda: os.symlink("/etc/passwd", "symlink"),
    "hard link": lambda: os.link("/etc/passwd", "hardlink"),
    "hard link to Python": lambda: os.link(os.path.realpath(sys.executable), "python"),
    "hard link by descriptor": lambda: os.link("/proc/self/fd/0", "fd", follow_symlinks=True),
    "hard link by another": lambda: os.link("/proc/1/fd/2", "log", follow_symlinks=True),
    "memory": lambda: os.mknod("mem", 0o666 | stat.S_IFCHR, os.makedev(1, 1)),
    "disk": lambda: os.mknod("disk", 0o666 | stat.S_IFBLK, os.makedev(254, 0)),
    "null": lambda: os.mknod("null", 0o666 | stat.S_IFCHR, os.makedev(1, 3)),
}
made = []
for name, way in WAYS.items():
    try:
        way()
        made.append(name)
    except OSError:
        pass
print("made:", made)
