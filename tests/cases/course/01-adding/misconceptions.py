"""Wrong and other ways to add."""
# ruff: noqa: F811 -- a file of many versions of one function

from grader.misconceptions import alternative, misconception


@misconception("add", "which sign stands between the two numbers?", name="subtracts")
def add(a, b):
    """Subtracts instead."""
    return a - b


@misconception("add", "try it on two arrays", name="numbers_only", fails=["add-arrays"])
def add(a, b):
    """Adds single numbers only."""
    return int(a) + int(b)


@alternative("add", name="backwards")
def add(a, b):
    """Adds the other way round."""
    return b + a
