# ---
# jupyter:
#   attack:
#     does: makes a file of 10 TB with nothing in it, in three ways
#     statuses: [file size limit, file size limit, file size limit, ok]
#     prints: "^0 after|\\n0 after"
# ---

# %%
import os

file = os.open("sparse", os.O_CREAT | os.O_WRONLY)
os.truncate(file, 10**13)

# %%
os.posix_fallocate(file, 10**13, 1)

# %%
os.pwrite(file, b"x", 10**13)

# %%
print(os.path.getsize("sparse"), "after")
