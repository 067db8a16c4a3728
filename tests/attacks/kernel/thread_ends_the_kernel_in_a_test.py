# ---
# jupyter:
#   attack:
#     does: a thread ends the kernel while a test runs
#     statuses: [ok, kernel died, not run]
#     prints: waiting
# ---

# %%
import os
import threading


def end():
    begun.wait()
    os._exit(0)


begun = threading.Event()
threading.Thread(target=end).start()
print("waiting")

# %%
begun.set()
threading.Event().wait()

# %%
pass
