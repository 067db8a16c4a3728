# ---
# jupyter:
#   attack:
#     does: looks through every folder for solutions, hidden tests, gradebooks, other submissions
#     statuses: [ok]
#     prints: "(?s)looked at \\d{2,} names.*; found: \\[\\]"
# ---

# %%
import os
import re
import sys

import grader

WANTED = re.compile(
    r"(^|/)(solutions|submitted|autograded|release|gradebook\.db|graded\.json|misconceptions\.py"
    r"|nbgrader_config\.py|\.git|run-\w+|\S+\.ipynb)$"
)
PACKAGES = ("/proc", "/usr", "/dev", "/nix", sys.prefix, sys.base_prefix)
names, found = [], []
for folder, folders, files in os.walk("/"):
    if folder.startswith(PACKAGES):
        folders.clear()
        continue
    names += [f"{folder}/{name}" for name in (*folders, *files)]
root = os.path.dirname(os.path.dirname(grader.__file__))
found += [name for name in names if WANTED.search(name)]
found += [name for name in ("tests", "solutions", ".git") if os.path.exists(f"{root}/{name}")]
known = ("__init__.py", "check", "answer", "__pycache__")
found += [name for name in os.listdir(f"{root}/grader") if name not in known]
print("looked at", len(names), "names below", root, "and elsewhere; found:", found)
