# ---
# jupyter:
#   attack:
#     does: ignores interrupts and computes on, in C, until Linux ends it
#     statuses: [CPU time limit, not run]
#     limits: {cell_seconds: 30, submission_cpu_seconds: 1}
# ---

# %%
import collections
import itertools

collections.deque(itertools.count(), maxlen=0)

# %%
print("after")
