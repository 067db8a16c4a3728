# ---
# jupyter:
#   attack:
#     does: makes folders within folders without end
#     statuses: [disk limit, ok]
#     prints: "True after"
# ---

# %%
import os

depth = 0
try:
    while True:
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
        depth += 1
finally:
    os.chdir(os.environ["HOME"])

# %%
print(depth > 900, "after")
