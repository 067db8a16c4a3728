# ---
# jupyter:
#   attack:
#     does: overwrites files that others run, and gives them and devices other modes and owners
#     statuses: [ok]
#     prints: "tried \\d{2,}; changed: \\[\\]"
# ---

# %%
import glob
import os
import sys

import numpy

import grader

PATHS = [grader.__file__, numpy.__file__, os.__file__, sys.executable, "/bin/sh", "/etc/passwd"]
PATHS += [*glob.glob(f"{sys.prefix}/lib/python3*/site-packages/*.pth"), "/proc/self/exe"]
PATHS += [os.environ["CNN_COURSE_CACHE"], "/proc/1/exe", "/usr", "/"]
PATHS += [f"/dev/{name}" for name in ("full", "null", "random", "tty", "urandom", "zero")]
WAYS = {
    "write": lambda path: os.path.isfile(path) and os.close(os.open(path, os.O_WRONLY)),
    "cut": lambda path: os.truncate(path, os.path.getsize(path)),
    # To what it is: where this works, nothing is broken by trying.
    "mode": lambda path: os.chmod(path, os.stat(path).st_mode & 0o7777),
    "owner": lambda path: os.chown(path, os.stat(path).st_uid, -1),
    "time": lambda path: os.utime(path, ns=(os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns)),
}
changed = []
for path in filter(os.path.exists, PATHS):
    for what, way in WAYS.items():
        try:
            if way(path) is None:
                changed.append((what, path))
        except OSError:
            pass
print(f"tried {len(PATHS)}; changed:", changed)
