# ---
# jupyter:
#   attack:
#     does: overflows the stack of the interpreter itself
#     statuses: [kernel died, not run]
# ---

# %%
import sys

sys.setrecursionlimit(10**9)
nest = ()
for _ in range(10**6):
    nest = (nest,)
repr(nest)

# %%
print("after")
