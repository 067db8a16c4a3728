# ---
# jupyter:
#   attack:
#     does: looks for who listens on this machine, be it a notebook server or a scheduler
#     statuses: [ok]
#     prints: "tried 65535 ports; of others: \\[\\]"
# ---

# %%
import os
import socket

mine = set()
for fd in os.listdir("/proc/self/fd"):
    try:
        with socket.socket(fileno=os.dup(int(fd))) as one:
            mine |= {one.getsockname()[1]} if one.family == socket.AF_INET else set()
    except OSError:
        pass
found = []
for port in range(1, 65536):
    with socket.socket() as one:
        if one.connect_ex(("127.0.0.1", port)) == 0 and port not in mine:
            # A socket can meet itself on a port that nobody has.
            found += [port] if one.getsockname() != one.getpeername() else []
print("tried", port, "ports; of others:", found)
