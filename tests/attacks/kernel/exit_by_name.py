# ---
# jupyter:
#   attack:
#     does: asks the kernel to end; it does so a tenth of a second later
#     statuses: [ok, ok, ok]
#     prints: goodbye
# ---

# %%
import asyncio

print("goodbye", flush=True)
exit()

# %%
await asyncio.sleep(2)  # noqa: F704

# %%
pass
