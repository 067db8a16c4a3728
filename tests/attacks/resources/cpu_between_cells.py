# ---
# jupyter:
#   attack:
#     does: computes on when its cell has ended
#     statuses: [ok, CPU time limit, CPU time limit | not run]
#     limits: {cell_seconds: 30, submission_cpu_seconds: 2}
# ---

# %%
import threading
import time


def work():
    while True:
        pass


threading.Thread(target=work, daemon=True).start()

# %%
time.sleep(20)

# %%
time.sleep(20)
