# ---
# jupyter:
#   attack:
#     does: "returns an array that equals everything: NumPy asks it, the course's check does not"
#     statuses: [ok, ok, error]
#     prints: CheckFailed
#     wins: the test runs in the student's own process, and NumPy asks an object what it equals
# ---

# %%
import numpy as np


class Yes(np.ndarray):
    def __array_ufunc__(self, *args, **more):
        return np.True_

    def __array_function__(self, *args, **more):
        return np.True_


def add(a, b):
    return np.zeros(2).view(Yes)


# %%
np.testing.assert_allclose(add(1, 2), [3.0, 3.0])
assert np.allclose(add(1, 2), [3.0, 3.0])

# %%
from grader import check

check.close(add(1, 2), np.array([3.0, 3.0]))
