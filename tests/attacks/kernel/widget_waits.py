# ---
# jupyter:
#   attack:
#     does: waits for somebody to press a button
#     statuses: [time limit, ok]
#     limits: {cell_seconds: 1}
#     prints: after it
# ---

# %%
import time

import ipywidgets

button = ipywidgets.ToggleButton()
while not button.value:
    time.sleep(0.05)

# %%
print("after it")
