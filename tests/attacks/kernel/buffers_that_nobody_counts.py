# ---
# jupyter:
#   attack:
#     does: hangs 60 million bytes on messages whose text is short
#     statuses: [ok, ok]
#     prints: sent
#     wins: the bytes beside a message's text are received, and not counted as output
# ---

# %%
from IPython import get_ipython

kernel = get_ipython().kernel
large = memoryview(bytes(6_000_000))
content = {"comm_id": "x", "data": {}}
kernel.session.send(
    kernel.iopub_socket, "comm_msg", content, parent=kernel.get_parent(), buffers=[large] * 10
)
print("sent")

# %%
pass
