# ---
# jupyter:
#   attack:
#     does: matches an expression that takes exponential time
#     statuses: [time limit, ok]
#     limits: {cell_seconds: 1}
#     prints: "begun\\n[\\s\\S]*after"
# ---

# %%
import re

print("begun")
re.match("(a+)+$", "a" * 50 + "b")

# %%
print("after")
