# ---
# jupyter:
#   attack:
#     does: returns an array that NumPy asks what it is close to; the course's check does not
#     statuses: [ok, ok, error]
#     tests: {1: error, 2: error}
#     prints: 'is asked[\s\S]*CheckFailed'
#     wins: in-kernel, where NumPy asks an object of the student's what it equals
# ---

# %%
import numpy as np

from grader import check


class Yes(np.ndarray):
    def __array_function__(self, function, kinds, args, more):
        if function is not np.isclose:
            return super().__array_function__(function, kinds, args, more)
        print("is asked")
        return np.ones(2, bool)


def add(a, b):
    return np.zeros(2).view(Yes)


# %%
np.testing.assert_allclose(add(1, 2), [3.0, 3.0])

# %%
check.close(add(1, 2), np.array([3.0, 3.0]))
