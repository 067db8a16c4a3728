# ---
# jupyter:
#   attack:
#     does: fails with a message of 40 MB
#     statuses: [output limit | time limit, ok | not run]
#     limits: {memory_bytes: 2000000000}
# ---

# %%
raise ValueError("x" * 40_000_000)

# %%
print("after")
