# ---
# jupyter:
#   attack:
#     does: fills every folder that it can write to
#     statuses: [disk limit, disk limit, disk limit, ok]
#     prints: "after"
# ---

# %%
import matplotlib.pyplot as plt


def fill(folder):
    for n in range(1000):
        with open(f"{folder}/{n}", "wb") as file:
            file.write(bytes(10**7))


fill(".")

# %%
fill("/tmp")

# %%
fill("/dev/shm")

# %%
plt.plot([1, 2])
print("after")
