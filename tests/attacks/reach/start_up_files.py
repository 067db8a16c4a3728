# ---
# jupyter:
#   attack:
#     does: leaves files that Python, IPython and matplotlib read when they start
#     statuses: [ok]
#     prints: "(?s)in its own folders: [1-9]\\d*; elsewhere: \\[\\]"
# ---

# %%
import os
import site
import sys
from pathlib import Path

import IPython
import matplotlib

CODE = "import os; os.environ['LEFT'] = 'by another'\n"
own, elsewhere = 0, []
folders = {site.getusersitepackages(), *sys.path, *site.getsitepackages()}
paths = [Path(folder, name) for folder in folders for name in ("left.pth", "sitecustomize.py")]
for profile in (IPython.paths.get_ipython_dir(), "/etc/ipython", f"{sys.prefix}/etc/ipython"):
    paths += [
        Path(profile, "profile_default/startup/00-left.py"),
        Path(profile, "ipython_config.py"),
    ]
paths += [Path(matplotlib.get_configdir(), "matplotlibrc"), Path(os.__file__).parent / "left.pth"]
paths += [Path(f"{sys.prefix}/share/jupyter/kernels/python3/kernel.json")]
for path in paths:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(CODE)
    except OSError:
        continue
    if str(path.resolve()).startswith(("/home/student", "/tmp/")):
        own += 1
    else:
        elsewhere.append(str(path))
print(f"in its own folders: {own}; elsewhere: {elsewhere}")
