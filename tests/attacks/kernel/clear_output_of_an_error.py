# ---
# jupyter:
#   attack:
#     does: clears the output of a test after it has failed
#     statuses: [ok, error]
#     prints: 'Error: AssertionError'
# ---

# %%
from IPython import get_ipython
from IPython.display import clear_output

get_ipython().events.register("post_run_cell", lambda result: clear_output())

# %%
raise AssertionError
