# ---
# jupyter:
#   attack:
#     does: opens what the other processes in its room hold open, to read and write outside of it
#     statuses: [ok]
#     prints: "looked at [1-9]\\d*; reached: \\[\\]"
# ---

# %%
import os

with open("/proc/self/mountinfo") as table:
    mounts = {line.split()[0] for line in table}


def opens(path):
    for flags in (os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_RDONLY, os.O_PATH):
        try:
            return os.open(path, flags | os.O_NONBLOCK)
        except OSError:
            pass
    return None


looked, reached = 0, []
for pid in filter(str.isdigit, os.listdir("/proc")):
    others = () if int(pid) == os.getpid() else ("root", "cwd")
    descriptors = os.listdir(f"/proc/{pid}/fd") if others else ()
    for path in (*others, *(f"fd/{name}" for name in descriptors)):
        looked += 1
        descriptor = opens(f"/proc/{pid}/{path}")
        if descriptor is None or not os.readlink(f"/proc/{pid}/{path}").startswith("/"):
            continue
        with open(f"/proc/self/fdinfo/{descriptor}") as file:
            mount = next(line.split()[1] for line in file if line.startswith("mnt_id"))
        if mount not in mounts:
            reached.append((pid, path, os.readlink(f"/proc/{pid}/{path}")))
print(f"looked at {looked}; reached: {reached}")
