# ---
# jupyter:
#   attack:
#     does: an asyncio task goes on after its cell, prints and raises while the next one runs
#     statuses: [ok, ok, ok]
#     prints: 'begun\s+waited\s+Turned'
#     never: too late
# ---

# %%
import asyncio


async def go_on():
    await begin.wait()
    print("too late")
    raise ValueError("Turned")


begin = asyncio.Event()
task = asyncio.get_running_loop().create_task(go_on())
print("begun")

# %%
begin.set()
await asyncio.wait([task])  # noqa: F704
print("waited")

# %%
print(task.exception())
