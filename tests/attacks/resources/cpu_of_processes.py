# ---
# jupyter:
#   attack:
#     does: computes in processes that have left its session
#     statuses: [CPU time limit, ok]
#     limits: {cell_seconds: 30, cell_cpu_seconds: 1}
#     prints: "after"
# ---

# %%
import os
import time

for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                pass
        os._exit(0)
time.sleep(60)

# %%
print("after")
