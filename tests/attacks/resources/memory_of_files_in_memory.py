# ---
# jupyter:
#   attack:
#     does: fills memory that no process has mapped, with memfd_create
#     statuses: [memory limit, not run]
# ---

# %%
import os
import time

hoard = [os.memfd_create("x") for _ in range(40)]
for file in hoard:
    os.write(file, bytes(19_000_000))
time.sleep(60)

# %%
print("after")
