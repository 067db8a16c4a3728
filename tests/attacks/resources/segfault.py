# ---
# jupyter:
#   attack:
#     does: reads memory that it does not have
#     statuses: [kernel died, not run]
# ---

# %%
import ctypes

ctypes.string_at(0)

# %%
print("after")
