# ---
# jupyter:
#   attack:
#     does: prints more than it may, and has ended before anybody looks
#     statuses: [ok | output limit]
#     prints: small
#     never: x{1000}
#     wins: what is over the limit is dropped, but the limit is met only where a cell goes on
# ---

# %%
print("small", flush=True)
print("x" * 300_000)
