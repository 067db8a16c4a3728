# ---
# jupyter:
#   attack:
#     does: uses magics that take output or names away
#     statuses: [ok, ok, ok, error]
#     never: captured
#     prints: 'NameError: name .answer. is not defined'
# ---

# %%
from IPython import get_ipython

answer = 3
get_ipython().run_cell_magic("capture", "", "print('captured')")

# %%
get_ipython().run_cell_magic("bash", "", "true")

# %%
get_ipython().run_line_magic("reset", "-f")

# %%
assert answer == 3
