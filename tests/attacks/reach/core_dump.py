# ---
# jupyter:
#   attack:
#     does: asks for a core file, then crashes
#     statuses: [error, kernel died]
#     prints: "ValueError: not allowed to raise maximum limit"
# ---

# %%
import os
import resource

resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

# %%
os.abort()
