# ---
# jupyter:
#   attack:
#     does: draws twenty figures
#     statuses: [picture limit, ok]
#     limits: {output_bytes: 10000000}
#     prints: "after"
# ---

# %%
import matplotlib.pyplot as plt

for n in range(20):
    plt.figure(figsize=(1, 1))
    plt.plot([n])
    plt.show()

# %%
print("after")
