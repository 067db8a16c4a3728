# ---
# jupyter:
#   attack:
#     does: an asyncio task of an earlier cell never gives the kernel back
#     statuses: [ok, time limit | no reply, not run | ok]
#     limits: {cell_seconds: 1}
#     prints: begun
# ---

# %%
import asyncio
import time


async def block():
    await asyncio.sleep(0.1)
    while True:
        time.sleep(0.1)


task = asyncio.ensure_future(block())
print("begun")

# %%
await asyncio.sleep(0.5)

# %%
pass
