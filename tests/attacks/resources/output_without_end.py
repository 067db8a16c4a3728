# ---
# jupyter:
#   attack:
#     does: prints without end
#     statuses: [output limit, ok]
#     prints: "after"
# ---

# %%
while True:
    print("x" * 1000)

# %%
print("after")
