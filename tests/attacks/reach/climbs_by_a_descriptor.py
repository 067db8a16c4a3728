# ---
# jupyter:
#   attack:
#     does: leaves by a folder of outside that another process of its room holds open
#     statuses: [ok]
#     prints: "tried [1-9]\\d*; outside: \\[\\]"
# ---

# %%
import os

here = os.stat("/")
tried, outside = 0, []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        continue
    for name in names:
        tried += 1
        try:
            above = os.open(f"/proc/{pid}/fd/{name}", os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK)
        except OSError:
            continue
        for _ in range(32):
            below, above = above, os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=above)
            os.close(below)
        if not os.path.samestat(os.fstat(above), here):
            outside.append((pid, os.listdir(above)))
        os.close(above)
print(f"tried {tried}; outside: {outside}")
