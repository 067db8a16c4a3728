# ---
# jupyter:
#   attack:
#     does: computes in one call of C code that never lets go of the GIL
#     statuses: [time limit, not run]
#     limits: {cell_seconds: 1}
# ---

# %%
sum(range(10**15))

# %%
print("after")
