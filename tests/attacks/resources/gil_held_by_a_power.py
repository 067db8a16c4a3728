# ---
# jupyter:
#   attack:
#     does: computes a number of 160 million bits in one call
#     statuses: [time limit, ok]
#     limits: {cell_seconds: 1}
#     prints: "begun\\n[\\s\\S]*after"
# ---

# %%
print("begun", flush=True)
x = 3**10**8

# %%
print("after")
