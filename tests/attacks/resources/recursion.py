# ---
# jupyter:
#   attack:
#     does: calls itself without end
#     statuses: [error, error, ok]
#     prints: "RecursionError[\\s\\S]*RecursionError[\\s\\S]*after"
#     limits: {cell_seconds: 10}  # it once took twenty: IPython looked at each of 3,000 frames
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
