# ---
# jupyter:
#   attack:
#     does: writes into the memory of a process of its room that no limit was set for
#     statuses: [ok]
#     prints: "looked at [1-9]\\d*; unbound: \\[\\]"
# ---

# %%
import os
import resource

LIMITS = ("CPU", "DATA", "NPROC", "NOFILE", "FSIZE")


def group(pid):
    with open(f"/proc/{pid}/cgroup") as file:
        return file.read()


def limits(pid):
    kinds = (getattr(resource, f"RLIMIT_{name}") for name in LIMITS)
    return [resource.prlimit(pid, kind)[1] % 2**64 for kind in kinds]


looked, unbound = 0, []
for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
    looked += 1
    try:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
    except OSError:
        continue
    both = zip(LIMITS, limits(pid), limits(0), strict=True)
    wider = [name for name, a, b in both if a > b]
    if wider or group(pid) != group("self"):
        unbound.append((pid, wider, group(pid) == group("self")))
print(f"looked at {looked}; unbound:", unbound)
