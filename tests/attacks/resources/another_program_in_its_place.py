# ---
# jupyter:
#   attack:
#     does: puts another program in place of its kernel
#     statuses: [time limit, not run]
#     limits: {cell_seconds: 1}
# ---

# %%
import os
import sys

os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)"])

# %%
print("after")
