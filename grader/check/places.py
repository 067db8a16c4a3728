"""Where the wrong values lie, if there is a pattern."""

import numpy as np

from grader.check.arrays import Array, Same, axis_words
from grader.check.failures import Finding


def repeated(got: Array, want: Array, same: Same) -> Finding | None:
    """Along which axis the result repeats itself, and the expected one does not."""
    for k in range(want.ndim):
        if want.shape[k] > 1 and want.size > want.shape[k]:
            one, other = (np.broadcast_to(a.take([0], k), a.shape) for a in (got, want))
            if same(got, one) and not same(want, other):
                says = f"every index of {axis_words([k], want.ndim)} holds the same values"
                return says, "is one image or filter used for all, or a mean taken over too many?"
    return None


def place(got: Array, want: Array, wrong: Array) -> Finding | None:
    """Where values are wrong, and whether they are zero there."""
    if wrong.all() or wrong.sum() < 2:
        return None
    is_zero = not got[wrong].any()
    zero = ", and there it is zero" if is_zero else ""
    else_zero = ", elsewhere it is zero" if is_zero else ""
    if want.ndim > 1 and min(want.shape[-2:]) > 2:
        border = np.ones(want.shape, bool)
        border[..., 1:-1, 1:-1] = False
        sides = [wrong[..., 0], wrong[..., -1], wrong[..., 0, :], wrong[..., -1, :]]
        if all(side.any() for side in sides) and not wrong[~border].any():
            return f"only the border differs{zero}", "look at the padding"
        if not wrong[border].any() and wrong[~border].mean() > 0.5:
            return f"only the border is right{else_zero}", "what happens away from the border?"
    for k in range(want.ndim):
        wrong_at = _slices(wrong, k)
        if not wrong_at[0] and wrong_at[1:].all():
            hint = "is a return inside the loop, or an index fixed, or a step too long?"
            return f"only index 0 of axis {k} is right{else_zero}", hint
    places = " and ".join(filter(None, (_indices(wrong, k) for k in range(want.ndim))))
    if places:
        hint = "does a loop, or a return inside it, stop too early?" if is_zero else ""
        return f"it differs only at {places}{zero}", hint
    if is_zero:
        return "wherever it differs, your result is zero", "is every place filled?"
    return None


def _slices(wrong: Array, k: int) -> Array:
    """For each index of axis k: is anything wrong there?"""
    return np.asarray(np.moveaxis(wrong, k, 0).reshape(wrong.shape[k], -1).any(1))


def _indices(wrong: Array, k: int) -> str:
    """Which indices of axis k hold the wrong values, in words; nothing if there is no pattern."""
    n = wrong.shape[k]
    bad = np.flatnonzero(_slices(wrong, k))
    first, last = int(bad[0]), int(bad[-1])
    if len(bad) == n:
        return ""
    if len(bad) == 1:
        return f"{'the last index' if first == n - 1 else f'index {first}'} of axis {k}"
    if len(bad) == last - first + 1:
        side = "the last" if last == n - 1 else "the first" if first == 0 else "the inner"
        return f"{side} {len(bad)} indices of axis {k}"
    if len(bad) >= n // 2 and (np.diff(bad) == 2).all():
        return f"every second index of axis {k}"
    return ""
