# ---
# jupyter:
#   attack:
#     does: draws a figure of 40 thousand by 40 thousand dots
#     statuses: [ok | memory limit, ok]
#     prints: "MemoryError[\\s\\S]*after"
# ---

# %%
import matplotlib.pyplot as plt

plt.figure(figsize=(400, 400), dpi=100)
plt.plot([1, 2])
plt.show()

# %%
print("after")
