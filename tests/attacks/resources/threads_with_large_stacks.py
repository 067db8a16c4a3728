# ---
# jupyter:
#   attack:
#     does: starts threads until their stacks leave the kernel no memory for itself
#     statuses: [process limit | memory limit | kernel died, ok | error | not run]
# ---

# %%
import threading
import time

threading.stack_size(50 * 2**20)
while True:
    threading.Thread(target=time.sleep, args=[600], daemon=True).start()

# %%
print(threading.active_count())
