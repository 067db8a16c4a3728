# ---
# jupyter:
#   attack:
#     does: Python's own functions always agree
#     statuses: [ok, ok]
#     prints: replaced
#     wins: the test runs in the student's own process
# ---

# %%
import builtins

builtins.all = builtins.isinstance = lambda *args: True
builtins.abs = builtins.max = lambda *args: 0
print("replaced")

# %%
assert all([False])
assert isinstance(3, str)
assert abs(1.0 - 2.0) < 1e-6
assert max([5.0]) < 1e-6
