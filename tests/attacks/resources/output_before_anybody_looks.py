# ---
# jupyter:
#   attack:
#     does: prints 1 MB and is done
#     statuses: [output limit, ok]
#     prints: "after"
# ---

# %%
print("x" * 1_000_000)

# %%
print("after")
