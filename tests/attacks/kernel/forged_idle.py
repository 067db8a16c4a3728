# ---
# jupyter:
#   attack:
#     does: "says that the cell has ended; what it prints then is not its output any more"
#     statuses: [ok, ok]
#     prints: "^first.*third$"
#     never: second
# ---

# %%
import time

kernel = get_ipython().kernel
print("first", flush=True)
time.sleep(0.1)
kernel.session.send(
    kernel.iopub_socket, "status", {"execution_state": "idle"}, parent=kernel.get_parent()
)
time.sleep(0.1)
print("second")

# %%
print("third")
