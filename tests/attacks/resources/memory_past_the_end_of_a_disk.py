# ---
# jupyter:
#   attack:
#     does: maps more of /dev/shm than there is, and writes
#     statuses: [kernel died, not run]
# ---

# %%
import mmap

hoard = []
for n in range(10):
    with open(f"/dev/shm/{n}", "w+b") as file:
        file.truncate(19_000_000)
        hoard.append(mmap.mmap(file.fileno(), 0))
        hoard[-1].write(bytes(19_000_000))

# %%
print("after")
