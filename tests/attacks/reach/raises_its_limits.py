# ---
# jupyter:
#   attack:
#     does: raises its own limits and priority
#     statuses: [ok]
#     prints: "tried \\d\\d; worked: \\[\\]"
# ---

# %%
import ctypes
import os
import resource
from pathlib import Path

libc = ctypes.CDLL(None)
tried, worked = 0, []


def attempt(name, way, *given):
    global tried
    tried += 1
    try:
        if way(*given) != -1:
            worked.append(name)
    except (OSError, ValueError):
        pass


for name in filter(lambda name: name.startswith("RLIMIT_"), dir(resource)):
    kind = getattr(resource, name)
    soft, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        attempt(name, resource.setrlimit, kind, (soft, hard + 1))
        attempt(name, resource.prlimit, 0, kind, (soft, resource.RLIM_INFINITY))
attempt("nice", os.nice, -1)
attempt("round robin", os.sched_setscheduler, 0, os.SCHED_RR, os.sched_param(1))
attempt("disk first", libc.syscall, {"x86_64": 251}.get(os.uname().machine, 30), 1, 0, 1 << 13)
attempt("lock memory", libc.mlockall, 3)
attempt("never killed", lambda: Path("/proc/self/oom_score_adj").write_text("-1000"))
print(f"tried {tried}; worked:", worked)
