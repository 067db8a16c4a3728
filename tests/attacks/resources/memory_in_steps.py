# ---
# jupyter:
#   attack:
#     does: hoards until there is no more, and keeps what it has
#     statuses: [memory limit, ok]
#     prints: "True after"
# ---

# %%
hoard = []
while True:
    hoard.append(bytearray(10**7))

# %%
print(len(hoard) > 20, "after")
