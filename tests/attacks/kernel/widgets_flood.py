# ---
# jupyter:
#   attack:
#     does: makes widgets without end
#     statuses: [output limit, ok]
#     limits: {cell_seconds: 20}
#     prints: after it
# ---

# %%
import ipywidgets

kept = []
while True:
    kept.append(ipywidgets.IntSlider())

# %%
print("after it")
