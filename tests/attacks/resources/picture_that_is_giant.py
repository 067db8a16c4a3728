# ---
# jupyter:
#   attack:
#     does: shows one picture of 3 MB
#     statuses: [picture limit, ok]
#     limits: {output_bytes: 10000000}
#     prints: "after"
# ---

# %%
import os

from IPython.display import Image

Image(data=os.urandom(3_000_000), format="png")

# %%
print("after")
