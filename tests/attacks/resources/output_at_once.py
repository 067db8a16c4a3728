# ---
# jupyter:
#   attack:
#     does: prints 50 MB in one piece
#     statuses: [output limit, ok]
#     limits: {memory_bytes: 2000000000}
#     prints: "after"
# ---

# %%
print("x" * 50_000_000)

# %%
print("after")
