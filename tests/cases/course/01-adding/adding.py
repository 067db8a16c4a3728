# ---
# jupyter:
#   jupytext:
#     notebook_metadata_filter: lesson,kernelspec,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   lesson:
#     gpu: false
#     limits:
#       cell_seconds: 10
#       submission_seconds: 60
#     minutes: 10
#     prerequisites: []
#     title: Adding
# ---

# %% [markdown]
# # Adding
#
# The smallest lesson that has one of everything.

# %% locked=true
import math

import numpy as np

from grader import check

# %% tags=["parameters"]
profile = "quick"
seed = 0

# %% [markdown]
# ## 1. Two numbers
#
# Write `add`. Numbers and arrays are added alike.


# %% exercise="add"
def add(a, b):
    """Return a + b."""
    ### BEGIN SOLUTION
    summed_up_by_reference = a + b
    return summed_up_by_reference
    ### END SOLUTION


# %% tests="add" points=2
assert add(2, 3) == 5, "add(2, 3) is not 5"
### BEGIN HIDDEN TESTS
assert add(-40, 23) == -17, "add: negative numbers"
### END HIDDEN TESTS

# %% tests="add" part="arrays" points=1
check.close(add(np.array([1.0, 2.0]), np.array([0.5, 0.5])), np.array([1.5, 2.5]), what="add")


### BEGIN HIDDEN TESTS
def _hidden():
    rng = np.random.default_rng(101)
    a, b = rng.standard_normal(7), rng.standard_normal(7)
    check.close(
        add(a, b), np.array([math.fsum(pair) for pair in zip(a, b, strict=True)]), what="add"
    )


_hidden()
del _hidden
### END HIDDEN TESTS

# %%
print(f"{profile}: 2 + 3 = {add(2, 3)}")

# %% [markdown] manual="why_commutes" points=2
# Why is `add(a, b)` equal to `add(b, a)`?
#
# ### BEGIN SOLUTION
# Because counting on from either heap of pebbles ends with the same heap.
# ### END SOLUTION
