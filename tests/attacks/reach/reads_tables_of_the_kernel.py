# ---
# jupyter:
#   attack:
#     does: reads what Linux tells the root user only, such as whose memory is where
#     statuses: [ok]
#     prints: "tried \\d+; read: \\[\\]"
# ---

# %%
import os

read = []
names = [name for name in os.listdir("/proc") if not name.isdigit()]
for name in names:
    try:
        mode = os.stat(f"/proc/{name}").st_mode
        if os.path.isfile(f"/proc/{name}") and not mode & 0o004:
            descriptor = os.open(f"/proc/{name}", os.O_RDONLY | os.O_NONBLOCK)
            if os.read(descriptor, 4096):
                read.append(name)
    except OSError:
        pass
print(f"tried {len(names)}; read: {read}")
