# ---
# jupyter:
#   attack:
#     does: asks for an array of 16 GB and fills it
#     statuses: [memory limit, ok]
#     prints: "after"
# ---

# %%
import numpy as np

np.ones(2 * 10**9)

# %%
print("after")
