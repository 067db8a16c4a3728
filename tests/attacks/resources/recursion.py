# ---
# jupyter:
#   attack:
#     does: calls itself without end
#     statuses: [error, error, ok]
#     prints: "RecursionError[\\s\\S]*RecursionError[\\s\\S]*after"
# ---

# %%
import json


def f():
    f()


f()

# %%
json.loads("[" * 10**6)

# %%
print("after")
