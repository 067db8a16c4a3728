# ---
# jupyter:
#   attack:
#     does: opens files until it may open no more, and keeps them
#     statuses: [open files limit, ok]
#     prints: "True after"
# ---

# %%
import os

hoard = []
while True:
    hoard.append(os.open("/dev/null", os.O_RDONLY))

# %%
print(len(hoard) > 300, "after")
