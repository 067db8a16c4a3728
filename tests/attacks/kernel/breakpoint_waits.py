# ---
# jupyter:
#   attack:
#     does: a debugger waits for commands, by hand and after each error of a test
#     statuses: [error, ok, error, ok]
#     prints: 'frontend does not support input[\s\S]*after it'
# ---

# %%
from IPython import get_ipython

breakpoint()

# %%
get_ipython().run_line_magic("pdb", "on")

# %%
raise AssertionError

# %%
print("after it")
