# ---
# jupyter:
#   attack:
#     does: shows little, and updates it without end
#     statuses: [output limit, ok]
#     prints: after it
# ---

# %%
from IPython.display import display, update_display

display({"text/plain": ""}, raw=True, display_id="x")
while True:
    update_display({"text/plain": "y" * 10_000}, raw=True, display_id="x")

# %%
print("after it")
