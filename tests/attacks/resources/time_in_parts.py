# ---
# jupyter:
#   attack:
#     does: keeps the limit of each cell, and not the limit of all
#     statuses: [ok, time limit, not run]
#     limits: {cell_seconds: 30, submission_seconds: 3}
# ---

# %%
import time

time.sleep(1)

# %%
time.sleep(20)

# %%
print("after")
