# ---
# jupyter:
#   attack:
#     does: shows 30 MB of JSON that take 800 MB when read
#     statuses: [output limit, ok | not run]
# ---

# %%
from IPython import get_ipython

kernel = get_ipython().kernel
session = kernel.session
session.pack, pack = (lambda x: x if isinstance(x, bytes) else pack(x)), session.pack
message = session.msg("display_data", parent=kernel.get_parent())
lists = b"[]," * 10_000_000
message["content"] = b'{"data": {"application/json": [' + lists + b'1]}, "metadata": {}}'
kernel.iopub_thread.socket.send_multipart(session.serialize(message, b"display_data"))

# %%
print("after")
