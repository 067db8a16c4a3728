# ---
# jupyter:
#   attack:
#     does: asks the shell to let it handle the errors of tests itself
#     statuses: [ok, error]
#     prints: handled
# ---

# %%
from IPython import get_ipython


def handle(shell, kind, value, trace, tb_offset=None):
    print("handled")


get_ipython().set_custom_exc((AssertionError,), handle)

# %%
raise AssertionError
