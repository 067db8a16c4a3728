# ---
# jupyter:
#   attack:
#     does: an output widget takes all that a later test shows
#     statuses: [ok, error, ok]
#     prints: AssertionError
# ---

# %%
import ipywidgets
from IPython import get_ipython

taken = ipywidgets.Output()


def take(info):
    taken.msg_id = get_ipython().kernel.get_parent()["header"]["msg_id"]


get_ipython().events.register("pre_run_cell", take)

# %%
print("swallowed")
assert False

# %%
print(len(taken.outputs))
