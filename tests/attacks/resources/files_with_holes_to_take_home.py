# ---
# jupyter:
#   attack:
#     does: leaves files that hold nothing and would fill the grader's disk
#     statuses: [ok]
#     prints: "100 files"
# ---

# %%
for n in range(100):
    with open(f"{n}", "wb") as file:
        file.truncate(19_000_000)
print("100 files of 19 MB")
