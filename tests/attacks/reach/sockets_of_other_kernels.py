# ---
# jupyter:
#   attack:
#     does: looks for the zygote's and other kernels' sockets, whose folders its own sockets betray
#     statuses: [ok]
#     prints: "(?s)own: \\[.*warm-.*seen: \\[\\] reached: \\[\\]"
# ---

# %%
import glob
import os
import socket

own = set()
for fd in os.listdir("/proc/self/fd"):
    try:
        with socket.socket(fileno=os.dup(int(fd))) as one:
            name = one.getsockname()
            own |= {name} if isinstance(name, str) and name else set()
    except OSError:
        pass
folders = {os.path.dirname(name) for name in own}
seen = [*glob.glob("/tmp/warm-*"), *(folder for folder in folders if os.path.exists(folder))]
reached = []
for name in own:
    with socket.socket(socket.AF_UNIX) as one:
        if one.connect_ex(name) == 0:
            reached.append(name)
print("own:", sorted(own), "seen:", seen, "reached:", reached)
