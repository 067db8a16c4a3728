# ---
# jupyter:
#   attack:
#     does: displays one object of 10 MB
#     statuses: [output limit, ok]
#     prints: "after"
# ---

# %%
from IPython.display import HTML

HTML("x" * 10**7)

# %%
print("after")
