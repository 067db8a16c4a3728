# ---
# jupyter:
#   attack:
#     does: says that the cell has ended, so that nobody listens to what it prints then
#     statuses: [ok, ok]
#     prints: first\s+third
#     never: second
# ---

# %%
from IPython import get_ipython

print("first", flush=True)
kernel = get_ipython().kernel
idle = {"execution_state": "idle"}
kernel.session.send(kernel.iopub_socket, "status", idle, parent=kernel.get_parent())
print("second")

# %%
print("third")
