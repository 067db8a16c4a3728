# ---
# jupyter:
#   attack:
#     does: an output widget takes all that a later test shows
#     statuses: [ok, error, ok]
#     prints: AssertionError[\s\S]*taken from .+_\d+
# ---

# %%
import ipywidgets
from IPython import get_ipython

taken = ipywidgets.Output()
events = get_ipython().events


def take(info):
    taken.msg_id = get_ipython().kernel.get_parent()["header"]["msg_id"]
    events.unregister("pre_run_cell", take)


events.register("pre_run_cell", take)

# %%
print("swallowed")
raise AssertionError

# %%
print("taken from", taken.msg_id)
