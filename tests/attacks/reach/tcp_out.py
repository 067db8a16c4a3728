# ---
# jupyter:
#   attack:
#     does: connects to a machine outside
#     statuses: [error, error]
#     prints: "(?s)links: \\['lo'\\].*Network is unreachable"
# ---

# %%
import socket

print("links:", [name for _, name in socket.if_nameindex()])
socket.create_connection(("192.0.2.1", 443), timeout=2)

# %%
socket.socket(socket.AF_INET6, socket.SOCK_STREAM).connect(("2001:db8::1", 443))
