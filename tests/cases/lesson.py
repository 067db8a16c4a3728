# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   lesson:
#     gpu: false
#     limits:
#       cell_seconds: 10
#     minutes: 10
#     prerequisites: []
#     title: Adding
# ---

# %% exercise="add"
def add(a, b):
    ### BEGIN SOLUTION
    return a + b
    ### END SOLUTION


# %% tests="add" points=1
assert add(1, 2) == 3
### BEGIN HIDDEN TESTS
assert add(1, 1) == 2
### END HIDDEN TESTS
