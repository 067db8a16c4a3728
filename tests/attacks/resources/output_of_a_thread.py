# ---
# jupyter:
#   attack:
#     does: prints without end while other cells run
#     statuses: [ok | output limit, output limit, ok | output limit]
# ---

# %%
import threading
import time


def work():
    while True:
        print("x" * 1000)


threading.Thread(target=work, daemon=True).start()

# %%
time.sleep(60)

# %%
print("after")
