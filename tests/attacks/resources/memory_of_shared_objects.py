# ---
# jupyter:
#   attack:
#     does: asks multiprocessing for 2 GB of shared memory
#     statuses: [file size limit, ok]
#     prints: "after"
# ---

# %%
from multiprocessing import shared_memory

shared_memory.SharedMemory(create=True, size=2 * 10**9)

# %%
print("after")
