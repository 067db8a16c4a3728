# ---
# jupyter:
#   attack:
#     does: looks up the expected value in the program that calls it
#     statuses: [ok, ok]
#     tests: {1: error}
#     prints: 'finds: 3'
#     wins: in-kernel the test runs in the student's own process, and its program with it
# ---

# %%
import sys


def add(a, b):
    constants = sys._getframe(1).f_code.co_consts
    expected = next(value for value in constants if value not in (a, b, None))
    print("finds:", expected)
    return expected


# %%
assert add(1, 2) == 3
