# ---
# jupyter:
#   attack:
#     does: makes widgets without end
#     statuses: [output limit, ok | not run]  # not run: busy for three seconds more
#     prints: after it|could not be interrupted
# ---

# %%
import ipywidgets

kept = []
while True:
    kept.append(ipywidgets.IntSlider())

# %%
print("after it")
