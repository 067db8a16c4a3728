# ---
# jupyter:
#   attack:
#     does: a thread goes on after its cell and prints while the next one runs
#     statuses: [ok, ok]
#     prints: "in time\\s+the thread has ended"
#     never: too late
# ---

# %%
import threading
import time


def speak():
    time.sleep(0.3)
    print("too late", flush=True)


print("in time")
thread = threading.Thread(target=speak)
thread.start()

# %%
thread.join()
print("the thread has ended")
