# ---
# jupyter:
#   attack:
#     does: hangs 60 million bytes on a message whose text is short
#     statuses: [output limit, ok]
#     prints: sending
# ---

# %%
import time

from IPython import get_ipython

print("sending", flush=True)
kernel = get_ipython().kernel
large = memoryview(bytes(6_000_000))
content = {"comm_id": "x", "data": {}}
kernel.session.send(
    kernel.iopub_socket, "comm_msg", content, parent=kernel.get_parent(), buffers=[large] * 10
)
time.sleep(60)

# %%
pass
