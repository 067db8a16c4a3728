# ---
# jupyter:
#   attack:
#     does: returns an object that equals everything
#     statuses: [ok, ok]
#     tests: {1: error}
#     prints: is asked
#     wins: in-kernel, where an object of the student's is asked what it equals
# ---

# %%
class Yes:
    def __eq__(self, other):
        print("is asked")
        return True

    __hash__ = None
    __le__ = __lt__ = __ge__ = __gt__ = __eq__
    __sub__ = __rsub__ = __abs__ = lambda self, *other: self


def add(a, b):
    return Yes()


# %%
assert add(1, 2) == 3
assert add(2, 2) == 4
assert abs(add(1, 2) - 3) < 1e-6
