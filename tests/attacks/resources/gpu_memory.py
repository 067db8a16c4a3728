# ---
# jupyter:
#   attack:
#     does: hoards GPU memory, of which a unit that asks for no GPU has none
#     statuses: [ok, ok]
#     prints: "no GPU[\\s\\S]*devices: \\[\\]"
# ---

# %%
import glob

import torch

hoard = []
while torch.cuda.is_available():
    hoard.append(torch.ones(2**28, device="cuda"))
print("no GPU")

# %%
print("devices:", glob.glob("/dev/nvidia*") + glob.glob("/dev/dri*"))
