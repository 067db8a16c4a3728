# ---
# jupyter:
#   attack:
#     does: the kernel refuses all further cells
#     statuses: [ok, error, error]
#     prints: refuses
# ---

# %%
from IPython import get_ipython

get_ipython().kernel._aborting = True
print("refuses")

# %%
pass

# %%
pass
