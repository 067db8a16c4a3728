# ---
# jupyter:
#   attack:
#     does: looks into the homes of people and of the root user
#     statuses: [ok]
#     prints: "looked at [1-9]\\d*; found: \\[\\]"
# ---

# %%
import glob
import os
import sys

import grader

HIDDEN = (".bashrc", ".profile", ".bash_history", ".ssh", ".netrc", ".gitconfig", ".config")
shown = (sys.prefix, sys.base_prefix, os.path.dirname(grader.__file__))
homes = {"/root", "/home/student", *glob.glob("/home/*"), *glob.glob("/Users/*")}
below = ("/home/", *(f"{home}/" for home in homes))
homes |= {"/".join(path.split("/")[:3]) for path in shown if path.startswith(below)}
found = []
for home in homes:
    found += [f"{home}/{name}" for name in HIDDEN if os.path.lexists(f"{home}/{name}")]
    for name in os.listdir(home) if os.path.isdir(home) else ():
        path = f"{home}/{name}"
        if home != "/home/student" and os.path.isfile(path):
            found.append(path)
print(f"looked at {len(homes)}; found: {found}")
