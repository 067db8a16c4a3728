# ---
# jupyter:
#   attack:
#     does: a thread waits for the test's own variable and makes it what the student returned
#     statuses: [ok, ok]
#     tests: {1: error | time limit}
#     prints: 'expected becomes 0'
#     wins: in-kernel the test runs in the student's own process, and the thread too
# ---

# %%
import threading
import time


def add(a, b):
    changed.wait()
    return 0


def watch():
    while "expected" not in globals():
        time.sleep(0.01)
    print("expected becomes 0")
    globals()["expected"] = 0
    changed.set()


changed = threading.Event()
threading.Thread(target=watch, daemon=True).start()

# %%
expected = 3
assert add(1, 2) == expected
