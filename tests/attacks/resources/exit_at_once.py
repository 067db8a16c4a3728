# ---
# jupyter:
#   attack:
#     does: ends its kernel without a word
#     statuses: [kernel died, not run]
# ---

# %%
import os

os._exit(0)

# %%
print("after")
