# ---
# jupyter:
#   attack:
#     does: Python's own functions always agree
#     statuses: [ok, ok]
#     tests: {1: error}
#     prints: replaced
#     wins: in-kernel the test runs in the student's own process
# ---

# %%
import builtins

builtins.abs = lambda value: 0
builtins.round = lambda value, digits=0: 3
print("replaced")

# %%
assert abs(1.0 - 2.0) < 1e-6
assert round(4.0) == 3
