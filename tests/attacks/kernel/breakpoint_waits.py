# ---
# jupyter:
#   attack:
#     does: a debugger waits for commands, by hand and after each error of a test
#     statuses: [error, ok, error, ok]
#     prints: "frontend does not support input(.|\\s)*after it"
# ---

# %%
breakpoint()

# %%
from IPython import get_ipython

get_ipython().run_line_magic("pdb", "on")

# %%
assert False

# %%
print("after it")
