# ---
# jupyter:
#   attack:
#     does: a thread goes on after its cell; it prints and fails while the next one runs
#     statuses: [ok, ok]
#     prints: begun\s+2\.0\s+Exception in thread[\s\S]*the thread has ended
# ---

# %%
import threading


def speak():
    begin.wait()
    print("2.0", flush=True)
    raise AssertionError("of a thread")


begin = threading.Event()
thread = threading.Thread(target=speak)
thread.start()
print("begun")

# %%
begin.set()
thread.join()
print("the thread has ended")
