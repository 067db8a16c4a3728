# ---
# jupyter:
#   attack:
#     does: NumPy's comparisons always agree
#     statuses: [ok, ok]
#     tests: {1: error}
#     prints: replaced
#     wins: in-kernel the test runs in the student's own process
# ---

# %%
import numpy as np

np.testing.assert_allclose = np.testing.assert_array_equal = lambda *args, **more: None
np.allclose = np.array_equal = lambda *args, **more: True
print("replaced")

# %%
np.testing.assert_allclose(1.0, 2.0)
np.testing.assert_array_equal([1, 2], [3, 4])
assert np.allclose(1.0, 2.0)
assert np.array_equal([1, 2], [3, 4])
