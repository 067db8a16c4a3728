"""Comparing two results: the tolerance, and the line that says what is wrong.

The module of the whole package, `grader.check`, states the tolerance.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from grader.check.arrays import Array, expected_array, first, is_a, shown, to_array, wide
from grader.check.failures import CheckFailed, failure
from grader.check.shapes import same_values, shape_finding, shape_line
from grader.check.values import value_finding

LARGEST_SEARCHED = 1_000_000  # values; no relation is looked for in a larger result


# --- several results ----------------------------------------------------------------------------


def is_several(expected: object) -> bool:
    """Whether each of them is compared by itself; a list of numbers is rather one array."""
    if type(expected) is list:
        return any(type(item) not in (list, bool, int, float) for item in expected)
    return is_a(expected, tuple)


def compare_each(
    actual: object,
    expected: Any,
    what: str,
    names: Sequence[str] | None,
    compare: Callable[[object, object, str], None],
) -> None:
    """Compare several results one by one; CheckFailed tells of all that are wrong."""
    kind, n = (tuple if is_a(expected, tuple) else list), len(expected)
    if not is_a(actual, kind):
        got = shown(actual) + (": is a `return` missing?" if actual is None else "")
        raise failure(f"{what}: expected a {kind.__name__} of {n}, got {got}")
    items: list[object] = list(kind.__iter__(actual))  # type: ignore[arg-type]  # is_a() has looked
    if len(items) != n:
        raise failure(f"{what}: a {kind.__name__} of {len(items)}, expected {n}")

    def fault(i: int, j: int) -> str:
        label = f"{what}, {names[i] if names else f'result {i + 1} of {n}'}"
        try:
            if expected[i] is None:
                compare_none(items[j], label)
            else:
                compare(items[j], expected[i], label)
        except CheckFailed as error:
            return str(error)
        return ""

    faults = {i: text for i in range(n) if (text := fault(i, i))}
    if len(faults) == 2:
        i, j = faults
        if not fault(i, j) and not fault(j, i):
            raise failure(f"{what}: results {i + 1} and {j + 1} of {n} have changed places")
    if faults:
        raise failure("\n".join(faults.values()))


# --- one ----------------------------------------------------------------------------------------


def compare_arrays(got: Array, want: Array, what: str, rtol: float, atol: float) -> None:
    """Compare shape, kind of dtype and values."""
    narrow = any(a.dtype.kind in "fc" and a.real.dtype.itemsize <= 4 for a in (got, want))
    share = rtol if narrow else rtol / 10

    def same(a: Array, b: Array) -> bool:
        # Relations hold but for rounding, even where values are compared exactly.
        if a.shape != b.shape:
            return False
        return not wrong_values(a, b, max(rtol, 1e-7), max(atol, 1e-9), share).any()

    real = got.dtype.kind != "c" and want.dtype.kind != "c"
    searched = real and max(got.size, want.size) <= LARGEST_SEARCHED
    if got.shape != want.shape:
        finding = shape_finding(got.shape, want.shape)
        if searched:
            with np.errstate(all="ignore"):
                finding = same_values(wide(got), wide(want), same) or finding
        raise failure(shape_line(got.shape, want.shape, what), *finding or ())
    wrong = wrong_values(got, want, rtol, atol, share)
    dtype_fault = _dtype_fault(got, want)
    if not wrong.any():
        if dtype_fault:
            raise failure(f"{what}: {dtype_fault}", hint=dtype_hint(got))
        return
    nonfinite = ~np.isfinite(got) & np.isfinite(want)
    if nonfinite.any():
        others_right = not (wrong & ~nonfinite).any()
        raise nonfinite_failure(got, nonfinite, what, others_right)
    finding = None
    if searched:
        with np.errstate(all="ignore"):
            finding = value_finding(wide(got), wide(want), wrong, same)
    if finding is None and got.dtype == np.float16:
        finding = ("", "float16 keeps three digits: is float32 lost on the way?")
    line = _values_line(got, want, wrong)
    if dtype_fault:
        raise failure(f"{what}: {dtype_fault}; {line}", *finding or ("", dtype_hint(got)))
    raise failure(f"{what}: {line}", *finding or ())


def compare_exactly(actual: object, expected: object, what: str) -> None:
    """Compare numbers and arrays of numbers without a tolerance, and their kinds."""
    if type(actual) is int and type(expected) is int and abs(expected) >= 2**63:
        if actual != expected:  # beyond any dtype
            raise failure(f"{what}: got {shown(actual)}, which is not right")
        return
    got, want = to_array(actual, what), expected_array(expected, what)
    kinds = {"b": "a bool", "i": "an integer", "u": "an integer", "f": "a float", "c": "complex"}
    is_, wanted = kinds[got.dtype.kind], kinds[want.dtype.kind]
    if got.shape == want.shape and is_ != wanted and (is_, wanted) != ("an integer", "a float"):
        line = f"got {shown(actual)}, {is_}; expected {wanted}"
        hint = "// divides integers, / makes a float"
        if got.ndim:
            line = f"dtype {got.dtype}, expected {want.dtype}"
            hint = "np.zeros makes floats: dtype=int?"
        hint = hint if (is_, wanted) == ("a float", "an integer") else ""
        raise failure(f"{what}: {line}", hint=hint)
    if got.shape == want.shape == () and got != want and np.isfinite(got):
        by_one = is_ == "an integer" and abs(int(got) - int(want)) == 1
        near = ": off by one" if by_one else ", which is not right"
        raise failure(f"{what}: got {shown(got[()])}{near}")
    compare_arrays(got, want, what, 0.0, 0.0)


def compare_none(actual: object, what: str) -> None:
    """CheckFailed unless it is None."""
    if actual is not None:
        raise failure(f"{what}: got {shown(actual)}, expected None")


def wrong_values(got: Array, want: Array, rtol: float, atol: float, share: float) -> Array:
    """Where two arrays of one shape differ by more than the tolerance."""
    with np.errstate(all="ignore"):
        right = np.asarray((got == want) | ((got != got) & (want != want)))
        if rtol > 0 or atol > 0:
            a, e = wide(got), wide(want)
            size = np.where(np.isfinite(e), np.abs(e), 0.0)
            allowed = atol + rtol * size + share * size.max(initial=0.0)
            right |= (np.abs(a - e) <= allowed) & np.isfinite(e)
    return ~right


# --- in words -----------------------------------------------------------------------------------


def _dtype_fault(got: Array, want: Array) -> str:
    """What is wrong with the kind of dtype, or nothing."""
    is_, wanted = got.dtype.kind, want.dtype.kind
    names = {"b": "bool", "i": "integers", "u": "integers", "f": "a floating one", "c": "complex"}
    lost = is_ in "iu" and wanted in "fc" and got.ndim > 0
    if (is_ == "b") != (wanted == "b") or (is_ == "c" and wanted != "c") or lost:
        return f"dtype {got.dtype}, expected {names[wanted]}"
    return ""


def dtype_hint(got: Array) -> str:
    """Where a wrong dtype may come from, or nothing."""
    if got.dtype.kind in "iu":
        return "which dtype did np.zeros, np.zeros_like or astype give the result?"
    return "is a `.real` missing?" if got.dtype.kind == "c" else ""


def nonfinite_failure(got: Array, bad: Array, what: str, others_right: bool = False) -> CheckFailed:
    """The failure of a result that is NaN or infinite where `bad`."""
    nans = int(np.isnan(got[bad]).sum())
    kind = "infinite" if not nans else "NaN" if nans == bad.sum() else "NaN or infinite"
    line = f"{_count(bad)} {kind}, first at {first(bad)}" if got.ndim else f"the value is {kind}"
    hint = "look for 0/0, log(0), a square root of less than 0, exp of a large number, np.empty"
    others = "; all others are right" if others_right and not bad.all() else ""
    return failure(f"{what}: {line}{others}", hint=hint)


def _values_line(got: Array, want: Array, wrong: Array) -> str:
    """How many values are wrong, and where by how much."""
    with np.errstate(all="ignore"):
        error = np.where(wrong, np.abs(wide(got) - wide(want)), -1.0)
        error[np.isnan(error)] = np.inf
    size = float(f"{error.max():.3g}")
    if got.ndim == 0:
        return f"the value is wrong by {size}"
    return f"{_count(wrong)} wrong; largest error {size} at {first(error == error.max())}"


def _count(mask: Array) -> str:
    n = int(mask.sum())
    return f"{n} of {mask.size} values {'is' if n == 1 else 'are'}"
