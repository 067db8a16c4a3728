# ---
# jupyter:
#   attack:
#     does: leaves as a program would, and as one who was interrupted
#     statuses: [error, error, ok]
#     prints: "SystemExit: 0[\\s\\S]*KeyboardInterrupt[\\s\\S]*after"
# ---

# %%
import sys

sys.exit(0)

# %%
raise KeyboardInterrupt

# %%
print("after")
