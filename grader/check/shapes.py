"""A wrong shape: what the two shapes tell, and whether the values are right all the same."""

import math

from grader.check.arrays import Array, Same, axis_words, orders, varied
from grader.check.failures import Finding

_FIRST_LAST = "off by one: where do the first and the last window start?"


def shape_line(got: tuple[int, ...], want: tuple[int, ...], what: str) -> str:
    """What is wrong."""
    return f"{what}: shape {got}, expected {want}{', a single number' if want == () else ''}"


def shape_finding(got: tuple[int, ...], want: tuple[int, ...]) -> Finding | None:
    """What the two shapes alone tell."""
    for k in range(len(got)):
        if got[:k] + got[k + 1 :] == want:
            if got[k] == 1:
                return f"axis {k}, of length 1, is too many", "keepdims? [:, None]? i:i + 1?"
            if got[k] in want:
                return f"axis {k} is too many", "arrays (N, 1) and (N,) broadcast to (N, N)"
            return f"axis {k} is too many", "is a sum or a mean over it missing?"
    for k in range(len(want)):
        if want[:k] + want[k + 1 :] == got:
            if want[k] == 1:
                return f"axis {k}, of length 1, is missing", "keepdims=True or [:, None] keeps it"
            if k == 0 and len(want) > 1:
                return (
                    "axis 0, the batch, is missing",
                    "is this one item's result, or are the items summed?",
                )
            return f"axis {k} is missing", "is it summed away, or indexed by one number?"
    if len(got) == len(want):
        return _lengths_finding(got, want)
    if math.prod(got) == math.prod(want):
        return "the number of values is right", "is a reshape missing, or one too many?"
    if got == ():
        return "it is a single number", "is a sum or a mean taken over too many axes?"
    return None


def _lengths_finding(got: tuple[int, ...], want: tuple[int, ...]) -> Finding | None:
    """What two shapes with the same number of axes tell."""
    ndim = len(want)
    if sorted(got) == sorted(want):
        return "its axes are in another order", "which axis is which: N, C, H, W?"
    off = {k: got[k] - want[k] for k in range(ndim) if got[k] != want[k]}
    axes, steps = axis_words(list(off), ndim), set(off.values())
    if all(want[k] == 1 for k in off):
        return f"{axes} should have length 1", "keepdims? a padded axis? (N, 1) and (N,)?"
    if steps in ({1}, {-1}):
        says = f"one too {'many' if steps == {1} else 'few'} along {axes}"
        return says, _FIRST_LAST
    if min(off) < ndim - 2:
        return None
    if min(steps) > 0:
        for stride in (2, 3, 4):
            if all((got[k] - 1) // stride + 1 == want[k] for k in off):
                return f"too long along {axes}", f"it looks as if stride={stride} were 1"
        return f"too long along {axes}", "is padding put on twice, or is nothing cut off?"
    if len(steps) == 1:
        return f"{-min(steps)} too few along {axes}", "it looks as if padding were missing"
    return None


def same_values(got: Array, want: Array, same: Same) -> Finding | None:
    """The right values in a wrong shape: axes turned, another reshape, too much or too little."""
    if got.ndim == want.ndim and sorted(got.shape) == sorted(want.shape):
        for order in orders(got):
            if same(got.transpose(order), want):
                says = f"your result .transpose{order} would be right"
                return says, "which axis is which: N, C, H, W?"
    elif got.size == want.size:
        if got.squeeze().shape != want.squeeze().shape and same(got.reshape(want.shape), want):
            return f"your result .reshape{want.shape} would be right", ""
    elif got.ndim == want.ndim:
        kept = tuple(map(min, got.shape, want.shape))
        for side, share in (("at the end", 0), ("at the start", 2), ("at both ends", 1)):
            a, e = _cut(got, kept, share), _cut(want, kept, share)
            if varied(e) and same(a, e):
                if kept == want.shape:
                    hint = "is there padding that nobody asked for?" if share == 1 else _FIRST_LAST
                    return f"cut {side}, your result would be right", hint
                if kept == got.shape:
                    hint = "is padding missing?" if share == 1 else _FIRST_LAST
                    return f"your result equals the expected one cut {side}", hint
    return None


def _cut(array: Array, kept: tuple[int, ...], share: int) -> Array:
    """`array` cut to the lengths `kept`; `share` halves of what goes are cut off at the start."""
    starts = [(n - m) * share // 2 for n, m in zip(array.shape, kept, strict=True)]
    return array[tuple(slice(s, s + m) for s, m in zip(starts, kept, strict=True))]
