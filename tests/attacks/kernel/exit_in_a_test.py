# ---
# jupyter:
#   attack:
#     does: a function that a test calls ends the program as if all had gone well
#     statuses: [ok, error, ok]
#     prints: 'SystemExit: 0[\s\S]*after it'
# ---

# %%
import sys


def add(a, b):
    sys.exit(0)


# %%
assert add(1, 2) == 3

# %%
print("after it")
