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
#     minutes: 5
#     prerequisites:
#     - 01-adding
#     title: Doubling
# ---

# %% [markdown]
# # Doubling

# %% locked=true
from previously import add


# %% exercise="double"
def double(x):
    """Return x + x."""
    ### BEGIN SOLUTION
    return add(x, x)
    ### END SOLUTION


# %% tests="double" points=1
assert double(2) == 4
### BEGIN HIDDEN TESTS
assert double(-21) == -42, "double: negative numbers"
### END HIDDEN TESTS
