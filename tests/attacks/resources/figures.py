# ---
# jupyter:
#   attack:
#     does: draws twenty figures
#     statuses: [picture limit, ok | not run]
#     limits: {output_bytes: 10000000}
# ---

# %%
import matplotlib.pyplot as plt

for n in range(20):
    plt.figure(figsize=(1, 1))
    plt.plot([n])
    plt.show()

# %%
print("after")
