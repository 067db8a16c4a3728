# ---
# jupyter:
#   attack:
#     does: reads its own and others' environment for a sign that it is graded, and for secrets
#     statuses: [ok]
#     prints: "variables: \\d\\d.*processes: [1-9]"
#     never: "(?i)nbgrader|pytest|papermill|autograde|jupyterhub|secret|token|passw|: CI=|SSH_|AWS_"
# ---

# %%
import glob
import os

mine = [f"{name}={value}" for name, value in os.environ.items()]
others = []
for path in (*glob.glob("/proc/[0-9]*/environ"), *glob.glob("/proc/[0-9]*/task/*/environ")):
    try:
        with open(path) as file:
            others.append(file.read().split("\0"))
    except OSError:
        pass
print("variables:", len(mine), "processes:", len(others))
for variable in sorted({*mine, *(one for some in others for one in some)}):
    print(":", variable)
