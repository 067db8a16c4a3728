# ---
# jupyter:
#   attack:
#     does: fills every folder with files that have no content
#     statuses: [disk limit, disk limit, disk limit, ok]
#     prints: "after"
# ---

# %%
def fill(folder):
    for n in range(100_000):
        open(f"{folder}/{n}", "w").close()


fill(".")

# %%
fill("/tmp")

# %%
fill("/dev/shm")

# %%
print("after")
