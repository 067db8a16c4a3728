"""What the cells of a lesson check a student's results with: `from grader import check`.

A failed check names the bug, as far as the result tells it, and never the expected values:

    conv2d: 12 of 24 values are wrong; largest error 2.0 at [0, 0, 3, 3]
    your result equals the expected one flipped along the last axis
    hint: which index runs backwards, and should it?

This package stands alone (NumPy and the standard library) and trusts nothing that it is given. A
result counts as an array only if its *type* is known (see `arrays`), and plain arrays are all that
is compared: an object that "equals" everything, or whose length lies, is refused by its name.

How close is close? A value passes where

    |actual - expected| <= atol + rtol * |expected| + share * max |expected|

The last term is for sums that cancel. Computed in float32, they are wrong in the digits of their
*terms*, and the largest expected value tells how large those are. `share` is rtol where either side
has 32 bits or fewer, and rtol / 10 otherwise: a float64 result may come from float32 inputs, so
float64 is never demanded. NaN passes for NaN. `atol` is absolute: test with values of order one.

For authors: draw the values of a test at random. On a ramp, or with a symmetric kernel, a turned
kernel gives a result that is merely off by a constant, or negated, and then that is what is said.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from grader.check.arrays import expected_array, first, is_a, shown, to_array, type_name
from grader.check.comparison import (
    compare_arrays,
    compare_each,
    compare_exactly,
    compare_none,
    dtype_hint,
    is_several,
    nonfinite_failure,
    wrong_values,
)
from grader.check.failures import CheckFailed, failure
from grader.check.shapes import shape_finding, shape_line

__all__ = [
    "CheckFailed",
    "close",
    "equal",
    "finite",
    "floating",
    "raises",
    "remote",
    "shape",
    "unchanged",
]

Function = TypeVar("Function", bound=Callable[..., object])


def close(
    actual: object,
    expected: object,
    what: str = "result",
    rtol: float = 1e-5,
    atol: float = 1e-6,
    names: Sequence[str] | None = None,
) -> None:
    """Compare numbers: shape, kind of dtype, every value (the tolerance: see the package).

    actual: what the student's function returned: an array, a torch tensor or a number.
    expected: an array or a number. For several results a tuple (or a list of arrays); `actual` must
        then be a tuple (a list) of the same length. A None among them stands for itself. All that
        are wrong are reported, by their `names` if given: names=("dx", "dw", "db").

    Where floats are expected an array of integers fails; a single integer may stand for a float.
    Raises CheckFailed.
    """
    if is_several(expected):
        compare_each(actual, expected, what, names, lambda a, e, w: close(a, e, w, rtol, atol))
    else:
        compare_arrays(to_array(actual, what), expected_array(expected, what), what, rtol, atol)


def equal(actual: object, expected: object, what: str = "result") -> None:
    """Compare exactly: integers, bools, strings, None, dtypes, arrays, and tuples or lists of them.

    True is not 1, 3.0 is not 3, a list is not a tuple; np.int64(3) is 3. Raises CheckFailed.
    """
    if is_a(expected, tuple) or is_a(expected, list):
        compare_each(actual, expected, what, None, equal)
    elif expected is None:
        compare_none(actual, what)
    elif isinstance(expected, str | np.dtype):
        known = type(actual) in (str, np.str_) or is_a(actual, np.dtype)
        if not known or isinstance(actual, str) != isinstance(expected, str):
            kind = "a string" if isinstance(expected, str) else "a dtype"
            raise failure(f"{what}: got {shown(actual)}, expected {kind}")
        if actual != expected:
            raise failure(f"{what}: got {shown(actual)}, which is not right")
    else:
        compare_exactly(actual, expected, what)


def shape(actual: object, shape: int | Sequence[int], what: str = "result") -> None:
    """Check that `actual` is an array (or a number) of this shape. Raises CheckFailed."""
    got = to_array(actual, what)
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    if got.shape != wanted:
        raise failure(shape_line(got.shape, wanted, what), *shape_finding(got.shape, wanted) or ())


def floating(actual: object, what: str = "result") -> None:
    """Check that `actual` has a floating dtype. Raises CheckFailed."""
    got = to_array(actual, what)
    if got.dtype.kind != "f":
        raise failure(f"{what}: dtype {got.dtype}, expected a floating one", hint=dtype_hint(got))


def finite(actual: object, what: str = "result") -> None:
    """Check that no value is NaN or infinite. Raises CheckFailed."""
    got = to_array(actual, what)
    if not np.isfinite(got).all():
        raise nonfinite_failure(got, ~np.isfinite(got), what)


def unchanged(before: object, after: object, what: str = "x") -> None:
    """Check that an argument was not modified: `before` is a copy, `after` the argument itself.

    Arrays, tensors and numbers, or tuples, lists and dicts of them. Raises CheckFailed.
    """

    def changed(how: str = "") -> CheckFailed:
        hint = "x += 1 and x[...] = 1 change the caller's array: work on x.copy()"
        return failure(f"{what}: was changed in place{how}", hint=hint)

    if isinstance(before, dict | tuple | list):
        if type(after) is not type(before) or len(after) != len(before):
            raise changed(": its length or type differs")
        keys = list(before) if isinstance(before, dict) else range(len(before))
        for key in keys:
            if isinstance(after, dict) and key not in after:
                raise changed(f": {key!r} is gone")
            unchanged(before[key], after[key], f"{what}[{key!r}]")
    elif before is None or isinstance(before, str):
        if type(after) is not type(before) or after != before:
            raise changed()
    else:
        old, new = expected_array(before, what), to_array(after, what)
        if (old.dtype, old.shape) != (new.dtype, new.shape):
            change = f"{old.dtype} {old.shape} became {new.dtype} {new.shape}"
            raise changed(f": {change}")
        differs = wrong_values(new, old, 0.0, 0.0, 0.0)
        if differs.any():
            where = f"{differs.sum()} of {differs.size} values differ, first at {first(differs)}"
            raise changed(f": {where}")


def raises(
    exception: type[BaseException] | tuple[type[BaseException], ...],
    f: Callable[..., object],
    /,
    *args: object,
    what: str | None = None,
    **kwargs: object,
) -> None:
    """Check that `f(*args, **kwargs)` raises `exception`; an unsolved stub never satisfies it.

    Raises CheckFailed if nothing is raised, or something else.
    """
    name = getattr(f, "__name__", None)
    name = name if isinstance(name, str) else "the function"
    what = name if what is None else what
    wanted = exception if isinstance(exception, tuple) else (exception,)
    asked = " or ".join(one.__name__ for one in wanted)
    try:
        f(*args, **kwargs)
    except NotImplementedError:
        raise failure(f"{what}: not written yet (NotImplementedError)") from None
    except (Exception, SystemExit) as error:
        came = _error_words(error)
        if _is_signature_error(error, name):
            hint = "compare the arguments of your function with those in the exercise"
            raise failure(f"{what}: cannot be called: {came}", hint=hint) from None
        if not isinstance(error, wanted):
            raise failure(f"{what}: raised {came}; expected {asked}") from None
        return
    hint = "look at the arguments first, and raise where they make no sense"
    raise failure(f"{what}: nothing was raised, expected {asked}", hint=hint)


def remote(function: Function) -> Function:
    """Mark a helper of a test cell that must run where the student's code runs.

    In a notebook of one's own that is everywhere; a judge replaces this function (see
    docs/authoring.md). For what cannot cross to another process: gradients through a student's
    torch module, say.
    """
    return function


def _error_words(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # a student's exception class may be broken, too
        text = ""
    return f"{type_name(error)}: {text[:200]}" if text else type_name(error)


def _is_signature_error(error: BaseException, name: str) -> bool:
    text = r"unexpected keyword|missing \d+ required|positional argument|multiple values for"
    words = _error_words(error)
    return type(error) is TypeError and f"{name}()" in words and re.search(text, words) is not None


if "JPY_SESSION_NAME" in os.environ and "IPython" in sys.modules:
    from grader.check import session

    session.begin()
