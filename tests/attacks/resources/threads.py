# ---
# jupyter:
#   attack:
#     does: starts threads without end
#     statuses: [process limit, ok | not run]
#     limits: {processes: 40}  # their stacks, 8 MiB each, must not meet the memory's limit first
# ---

# %%
import threading
import time

while True:
    threading.Thread(target=time.sleep, args=[600], daemon=True).start()

# %%
assert threading.active_count() > 30
