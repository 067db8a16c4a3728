# ---
# jupyter:
#   attack:
#     does: tries every descriptor that it was born with, as a way to what lies outside
#     statuses: [ok]
#     prints: "(?s)kinds: .*socket.* reached: \\[\\]"
# ---

# %%
import ctypes
import os

libc = ctypes.CDLL(None)
with open("/proc/self/mountinfo") as table:
    mounts = {line.split()[0] for line in table}
kinds, reached = set(), []
for name in os.listdir("/proc/self/fd"):
    try:
        target, number = os.readlink(f"/proc/self/fd/{name}"), int(name)
        with open(f"/proc/self/fdinfo/{name}") as file:
            mount = dict(line.split(":") for line in file if ":" in line)["mnt_id"].strip()
    except (OSError, ValueError):
        continue
    kinds.add(target.split(":")[0] if ":" in target else target)
    if target.startswith("/") and mount not in mounts:
        reached.append((target, "is mounted elsewhere"))
    if target.startswith(("user:", "mnt:", "net:", "pid:", "ipc:", "uts:", "cgroup:")):
        reached.append((target, "can be entered" if libc.setns(number, 0) == 0 else "is held"))
    try:
        os.close(os.open("..", os.O_RDONLY, dir_fd=number))
        reached.append((target, "has a folder above"))
    except OSError:
        pass
print("kinds:", sorted(kinds), "reached:", reached)
