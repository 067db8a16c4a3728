# ---
# jupyter:
#   attack:
#     does: closes its standard output, and puts something else in its place
#     statuses: [ok, error, ok, time limit, not run]
#     limits: {cell_seconds: 2}
#     prints: 'I/O operation on closed file'
# ---

# %%
import sys

sys.stdout.close()

# %%
print(1)

# %%
assert True

# %%
sys.stdout = object()

# %%
pass
