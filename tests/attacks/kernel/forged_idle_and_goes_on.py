# ---
# jupyter:
#   attack:
#     does: says that the cell has ended, and works on
#     statuses: [no reply, not run]
#     prints: begins
# ---

# %%
import time

from IPython import get_ipython

print("begins", flush=True)
kernel = get_ipython().kernel
idle = {"execution_state": "idle"}
kernel.session.send(kernel.iopub_socket, "status", idle, parent=kernel.get_parent())
time.sleep(60)

# %%
print("nobody is left")
