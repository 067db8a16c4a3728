# ---
# jupyter:
#   attack:
#     does: takes away everybody's right to look into its folder
#     statuses: [ok, ok]
#     prints: "0o0\\n[\\s\\S]*after"
# ---

# %%
import os

open("answer", "w").close()
os.chmod(".", 0)
print(oct(os.stat("/home/student").st_mode & 0o777))

# %%
print("after")
