# ---
# jupyter:
#   attack:
#     does: looks for sockets that know no namespaces (vsock leads out of a virtual machine)
#     statuses: [ok]
#     prints: "families: \\[1, 2(, 10)?(, 16)?\\] raw: \\[\\]"
# ---

# %%
import socket


def opens(family, kind, protocol=0):
    try:
        socket.socket(family, kind, protocol).close()
    except OSError:
        return False
    return True


families = [f for f in range(1, 64) if any(opens(f, kind) for kind in (1, 2, 3, 4, 5))]
raw = [
    (family, protocol)
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_PACKET)
    for protocol in (0, 1, 6, 17, 58, 255, 0x300)
    if opens(family, socket.SOCK_RAW, protocol)
]
print("families:", families, "raw:", raw)
