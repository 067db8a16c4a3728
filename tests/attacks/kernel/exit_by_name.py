# ---
# jupyter:
#   attack:
#     does: asks the kernel to end; it does so a tenth of a second later
#     statuses: [ok | kernel died, kernel died | not run, not run]
#     prints: goodbye
#     wins: it ends in whatever cell runs by then, so that marks depend on the machine's speed
# ---

# %%
import asyncio

print("goodbye", flush=True)
exit()

# %%
await asyncio.sleep(2)  # noqa: F704

# %%
pass
