# ---
# jupyter:
#   attack:
#     does: closes every descriptor of the kernel
#     statuses: [kernel died | time limit, not run]
#     prints: closing
# ---

# %%
import os
import time

print("closing", flush=True)
time.sleep(1)
os.closerange(3, 1000)
time.sleep(60)

# %%
pass
