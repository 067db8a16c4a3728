# ---
# jupyter:
#   attack:
#     does: starts threads without end
#     statuses: [process limit, ok | not run]
# ---

# %%
import threading
import time

while True:
    threading.Thread(target=time.sleep, args=[600], daemon=True).start()

# %%
assert threading.active_count() > 40
