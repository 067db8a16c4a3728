# ---
# jupyter:
#   attack:
#     does: fails with a message of 3 MB
#     statuses: [output limit, ok | not run]
# ---

# %%
raise ValueError("x" * 3_000_000)

# %%
print("after")
