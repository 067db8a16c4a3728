# ---
# jupyter:
#   attack:
#     does: "fills memory that is nobody's data: it is shared and has no file"
#     statuses: [memory limit, not run]
# ---

# %%
import mmap

mapped = mmap.mmap(-1, 2 * 10**9)
for place in range(0, len(mapped), 10**7):
    mapped[place : place + 10**7] = bytes(10**7)

# %%
print("after")
