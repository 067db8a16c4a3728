# ---
# jupyter:
#   attack:
#     does: "a forged message sets the cell's number: not a number, and large"
#     statuses: [ok, ok]
#     prints: sent
# ---

# %%
from IPython import get_ipython

kernel = get_ipython().kernel
content = {"code": "", "execution_count": "x" * 1_000_000}
kernel.session.send(kernel.iopub_socket, "execute_input", content, parent=kernel.get_parent())
print("sent")

# %%
pass
