# ---
# jupyter:
#   attack:
#     does: shows one display many times, and then gives all of them a long text at once
#     statuses: [ok, output limit]
#     limits: {output_bytes: 1000000}
#     prints: 100 displays
# ---

# %%
import time

from IPython.display import display, update_display

for _ in range(100):
    display({"text/plain": ""}, raw=True, display_id="x")
print("100 displays")

# %%
update_display({"text/plain": "y" * 100_000}, raw=True, display_id="x")
time.sleep(60)
