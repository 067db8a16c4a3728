"""Wrong values: what the whole result is to the expected one, if the two are related.

A relation takes (got, want, same), float64 arrays of one shape that differ, and says what `got`
equals. It holds for every value, and in a way that unrelated numbers would not fulfil.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from grader.check.arrays import Array, Same, axis_words, orders, varied
from grader.check.factors import along_an_axis, multiplied
from grader.check.failures import Finding
from grader.check.places import place, repeated

Relation = Callable[[Array, Array, Same], Finding | None]


def value_finding(got: Array, want: Array, wrong: Array, same: Same) -> Finding | None:
    """The first that fits: a relation that holds for every value, a place, a small error."""
    if not got.any():
        return "every value is zero", "is the result filled, and is it the one you return?"
    if got.size > 1 and (got == got.flat[0]).all() and varied(want):
        return "every value of your result is the same", "is the input used at all?"

    def holding(relations: Sequence[Relation], most: int) -> list[Finding]:
        found = (relation(got, want, same) for relation in relations)
        return list(itertools.islice(filter(None, found), most))

    # Two may hold at once (an array whose flip is its negative): then both are said.
    found = holding(RELATIONS, 2) or holding(GENERAL, 1)
    if found:
        return f"your result equals {', or '.join(says for says, _ in found)}", found[0][1]
    return repeated(got, want, same) or place(got, want, wrong) or _nearly(got, want, wrong)


def _nearly(got: Array, want: Array, wrong: Array) -> Finding | None:
    part = float(np.abs(got - want).max() / np.abs(want).max())
    if not part < 1e-2 or wrong.mean() < 0.1:
        return None
    return (
        f"nearly right: the error is {100 * part:.1g} % of the largest value",
        "is an eps at another place, or is something computed in float16?",
    )


def _overflowed(got: Array, want: Array, same: Same) -> Finding | None:
    if same(got, want % 256) or same(got, want // 1 % 256):
        return "the expected one modulo 256", "uint8 overflows: make it float before you compute"
    return None


def _negated(got: Array, want: Array, same: Same) -> Finding | None:
    return ("the expected one negated", "is a minus missing?") if same(got, -want) else None


def _flipped(got: Array, want: Array, same: Same) -> Finding | None:
    hint = "which index runs backwards, and should it?"
    for k in reversed(range(want.ndim)):
        if same(got, np.flip(want, k)):
            return f"the expected one flipped along {axis_words([k], want.ndim)}", hint
    if want.ndim > 1 and same(got, np.flip(want, (-2, -1))):
        return "the expected one rotated by 180° (flipped along its last two axes)", hint
    if want.ndim > 2 and same(got, np.flip(want)):
        return "the expected one flipped along all axes", hint
    return None


def _transposed(got: Array, want: Array, same: Same) -> Finding | None:
    for order in orders(want):
        if same(got, want.transpose(order)):
            to = f" to the axis order {order}" if want.ndim > 2 else ""
            return f"the expected one transposed{to}", "are rows and columns exchanged?"
    return None


def _shifted(got: Array, want: Array, same: Same) -> Finding | None:
    for k in range(want.ndim):
        if want.shape[k] < 3:
            continue
        a, e = np.moveaxis(got, k, 0), np.moveaxis(want, k, 0)
        moved = same(a[1:], e[:-1]) or same(a[:-1], e[1:])
        if moved and varied(e[1:-1]) and not same(e[1:], e[:-1]):
            axis = axis_words([k], want.ndim)
            hint = "off by one: at which index does the first window start?"
            return f"the expected one shifted by one along {axis}", hint
    return None


def _accumulated(got: Array, want: Array, same: Same) -> Finding | None:
    for k in range(want.ndim):
        if want.shape[k] > 1 and same(got, np.cumsum(want, k)):
            axis = axis_words([k], want.ndim)
            hint = "should something that is added to start again from zero?"
            return f"the running sum of the expected one along {axis}", hint
    return None


ELEMENTWISE: tuple[tuple[Callable[[Array], Array], str, str], ...] = (
    (np.abs, "the absolute value of the expected one", "is a sign lost?"),
    (lambda e: np.maximum(e, 0), "the expected one clipped at zero", "is there a ReLU too many?"),
    (np.rint, "the expected one rounded to integers", "which dtype does the result have?"),
    (np.trunc, "the expected one cut to integers", "which dtype? and is it / or //?"),
    (np.floor, "the expected one rounded down", "is it / or //?"),
    (np.square, "the square of the expected one", "is a square root missing?"),
    (np.sqrt, "the square root of the expected one", "is there a square root too many?"),
    (np.exp, "the exponential of the expected one", "is a logarithm missing?"),
    (np.log, "the logarithm of the expected one", "is there a logarithm too many?"),
    (lambda e: 1 - e, "one minus the expected one", "are 0 and 1, or keep and drop, exchanged?"),
    (lambda e: 1 / e, "one divided by the expected one", "multiply or divide?"),
)


def _elementwise(got: Array, want: Array, same: Same) -> Finding | None:
    for f, says, hint in ELEMENTWISE:
        if same(got, f(want)):
            return says, hint
    if same(np.maximum(got, 0), want):
        return "the expected one before it is clipped at zero", "is a ReLU missing?"
    return None


def _resigned(got: Array, want: Array, same: Same) -> Finding | None:
    if same(np.abs(got), np.abs(want)):
        return "the expected one but for the sign of some values", "where is a minus lost?"
    return None


def _reordered(got: Array, want: Array, same: Same) -> Finding | None:
    for order in orders(want):
        if same(got, want.transpose(order).reshape(want.shape)):
            says = f"the expected one read in the axis order {order} and reshaped"
            return says, "reshape moves no axes: is a transpose wanted before it?"
    if varied(want) and same(np.sort(got, axis=None), np.sort(want, axis=None)):
        says = "the expected one with its values in another order"
        return says, "reshape moves no axes, transpose does; which axis is which?"
    return None


RELATIONS: tuple[Relation, ...] = (
    _overflowed,
    _negated,
    _flipped,
    _transposed,
    multiplied,
    _shifted,
    _accumulated,
    _elementwise,
)
# These follow from some of those above, and are asked only where none of them holds.
GENERAL: tuple[Relation, ...] = (along_an_axis, _resigned, _reordered)
