# ---
# jupyter:
#   attack:
#     does: connects to a server on this machine
#     statuses: [error]
#     prints: "links: \\['lo'\\]"
# ---

# %%
import os
import socket

print("links:", [name for _, name in socket.if_nameindex()])
socket.create_connection(("127.0.0.1", int(os.environ.get("PORT", 8888))), timeout=2)
