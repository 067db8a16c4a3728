# ---
# jupyter:
#   attack:
#     does: tells its kernel to shut down and start again, and goes on
#     statuses: [ok, ok, ok]
#     prints: "'restart': True[\\s\\S]*after"
# ---

# %%
import time

from IPython import get_ipython

print(get_ipython().kernel.do_shutdown(True))

# %%
time.sleep(0.5)

# %%
print("after")
