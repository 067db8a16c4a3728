# ---
# jupyter:
#   attack:
#     does: writes one file without end
#     statuses: [file size limit, ok]
#     prints: "20000000 after"
# ---

# %%
with open("huge", "wb", buffering=0) as file:
    while True:
        file.write(bytes(10**6))

# %%
import os

print(os.path.getsize("huge"), "after")
