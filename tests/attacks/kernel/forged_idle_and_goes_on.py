# ---
# jupyter:
#   attack:
#     does: says that the cell has ended, and works on
#     statuses: [no reply, not run]
#     limits: {cell_seconds: 20}
#     prints: "begins"
# ---

# %%
import time

kernel = get_ipython().kernel
print("begins", flush=True)
time.sleep(0.1)
kernel.session.send(
    kernel.iopub_socket, "status", {"execution_state": "idle"}, parent=kernel.get_parent()
)
while True:
    time.sleep(0.1)

# %%
"nobody is left"
