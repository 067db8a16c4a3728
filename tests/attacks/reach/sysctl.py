# ---
# jupyter:
#   attack:
#     does: changes settings of the machine (core_pattern and modprobe name programs that root runs)
#     statuses: [ok]
#     prints: "tried \\d{3,}; writable: \\[\\]"
# ---

# %%
import os

tried, writable = 0, []
for folder, _, files in os.walk("/proc"):
    if folder.startswith("/proc/") and folder.split("/")[2].isdigit():
        continue
    for name in files:
        if folder.endswith("/pressure"):
            continue  # writable for everybody, and no setting
        tried += 1
        try:
            os.close(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_NONBLOCK))
            writable.append(f"{folder}/{name}")
        except OSError:
            pass
writable.sort(key=lambda path: "core_pattern" not in path)
print(f"tried {tried}; writable: {writable[:5]}")
