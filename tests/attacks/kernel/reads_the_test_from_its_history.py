# ---
# jupyter:
#   attack:
#     does: looks up the expected value in the text of the test that calls it
#     statuses: [ok, ok]
#     tests: {1: error}
#     prints: 'reads: assert'
#     wins: in-kernel the test runs in the student's own process, and its text with it
# ---

# %%
from IPython import get_ipython


def add(a, b):
    test = get_ipython().user_ns["In"][-1]
    print("reads:", test)
    return float(test.rpartition("==")[2])


# %%
assert add(1, 2) == 3
