# ---
# jupyter:
#   attack:
#     does: tells its kernel to shut down and start again; a tenth of a second later it ends
#     statuses: [ok, ok | kernel died, kernel died | not run]
#     prints: "'restart': True"
# ---

# %%
import time

from IPython import get_ipython

print(get_ipython().kernel.do_shutdown(True))

# %%
time.sleep(0.5)

# %%
time.sleep(0.5)
