# ---
# jupyter:
#   attack:
#     does: an asyncio task of an earlier cell never gives the kernel back
#     statuses: [ok, time limit, not run]
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


task = asyncio.get_running_loop().create_task(block())
print("begun")

# %%
await asyncio.sleep(0.5)  # noqa: F704

# %%
pass
