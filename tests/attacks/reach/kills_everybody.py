# ---
# jupyter:
#   attack:
#     does: kills every number that may be a process, then all at once
#     statuses: [ok, kernel died, not run]
#     prints: "others: \\[\\]"
# ---

# %%
import os
import signal
import time

seen = {int(name) for name in os.listdir("/proc") if name.isdigit()}
others = []
for pid in range(2, 100_000):
    try:
        if pid not in seen and pid not in map(int, os.listdir("/proc/self/task")):
            os.kill(pid, signal.SIGKILL)
            others.append(pid)
    except OSError:
        pass
print("others:", others)

# %%
os.kill(-1, signal.SIGKILL)
time.sleep(3)

# %%
"somebody is left"
