# ---
# jupyter:
#   attack:
#     does: fails with a message of 3 MB
#     statuses: [output limit, ok]
#     prints: "after"
# ---

# %%
raise ValueError("x" * 3_000_000)

# %%
print("after")
