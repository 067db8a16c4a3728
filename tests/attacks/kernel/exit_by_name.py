# ---
# jupyter:
#   attack:
#     does: asks the kernel to end, and is not asked whether it means it
#     statuses: [ok, kernel died | ok, not run | ok]
#     prints: goodbye
# ---

# %%
print("goodbye")
exit()

# %%
import asyncio

await asyncio.sleep(0.5)

# %%
pass
