# ---
# jupyter:
#   attack:
#     does: an asyncio task of an earlier cell never gives the kernel back
#     statuses: [ok, time limit, not run]
#     limits: {cell_seconds: 2}
#     prints: begun
# ---

# %%
import asyncio
import time


async def block():
    await begin.wait()
    while True:
        time.sleep(0.1)


begin = asyncio.Event()
task = asyncio.get_running_loop().create_task(block())
print("begun")

# %%
begin.set()
await asyncio.sleep(0.1)  # noqa: F704

# %%
pass
