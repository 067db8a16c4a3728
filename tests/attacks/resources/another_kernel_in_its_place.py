# ---
# jupyter:
#   attack:
#     does: starts a kernel anew in its own place
#     statuses: [time limit | kernel died, not run]
#     limits: {cell_seconds: 1}
# ---

# %%
import os
import sys

os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher"])

# %%
print("after")
