# ---
# jupyter:
#   attack:
#     does: has another program write without end to its standard output
#     statuses: [output limit, ok]
#     prints: "after"
# ---

# %%
import subprocess

subprocess.run(["yes", "x" * 1000])

# %%
print("after")
