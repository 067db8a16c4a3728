# ---
# jupyter:
#   attack:
#     does: a hook before each cell raises SystemExit
#     statuses: [ok, error, error]
#     prints: SystemExit
# ---

# %%
from IPython import get_ipython


def end(info):
    raise SystemExit


get_ipython().events.register("pre_run_cell", end)

# %%
assert True

# %%
pass
