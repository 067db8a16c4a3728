"""What the cells of a lesson check a student's results with: `from grader import check`.

A failed check names the bug, as far as the result tells it, and never the expected values:

    conv2d: 12 of 24 values are wrong; largest error 2.0 at [0, 0, 3, 3]
    your result equals the expected one flipped along the last axis
    hint: which index runs backwards, and should it?

This module stands alone (NumPy and the standard library) and trusts nothing that it is given. A
result counts as an array only if its *type* is known (see `_array`), and plain arrays are all that
is compared: an object that "equals" everything, or whose length lies, is refused by its name.

How close is close? A value passes where

    |actual - expected| <= atol + rtol * |expected| + share * max |expected|

The last term is for sums that cancel. Computed in float32, they are wrong in the digits of their
*terms*, and the largest expected value tells how large those are. `share` is rtol where either side
has 32 bits or fewer, and rtol / 10 otherwise: a float64 result may come from float32 inputs, so
float64 is never demanded. NaN passes for NaN. `atol` is absolute: test with values of order one.
"""

import itertools
import math
import re
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Same = Callable[[Array, Array], bool]  # within the tolerance, everywhere
Finding = tuple[str, str]  # what the result is to the expected one; a question that leads on

LARGEST_SEARCHED = 1_000_000  # values; no relation is looked for in a larger result
LARGEST_PERMUTED = 100_000  # values; orders of the axes cost as much as all the rest together
NUMPY_SCALARS = frozenset(np.sctypeDict.values())


class CheckFailed(AssertionError):
    """A result is not what the exercise asks for; the message is written for the student."""

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: a notebook shows the message, not the way through this file."""
        return str(self).splitlines()


# --- what a lesson calls ------------------------------------------------------------------------


def close(
    actual: object,
    expected: object,
    what: str = "result",
    rtol: float = 1e-5,
    atol: float = 1e-6,
    names: Sequence[str] | None = None,
) -> None:
    """Compare numbers: shape, kind of dtype, every value (the tolerance: see the module).

    actual: what the student's function returned: an array, a torch tensor or a number.
    expected: an array or a number. For several results a tuple (or a list of arrays); `actual` must
        then be a tuple (a list) of the same length. A None among them stands for itself. All that
        are wrong are reported, by their `names` if given: names=("dx", "dw", "db").

    Where floats are expected an array of integers fails; a single integer may stand for a float.
    Raises CheckFailed.
    """
    if _is_several(expected):
        _each(actual, expected, what, names, lambda a, e, w: close(a, e, w, rtol, atol))
    else:
        _compare(_array(actual, what), _expected(expected, what), what, rtol, atol)


def equal(actual: object, expected: object, what: str = "result") -> None:
    """Compare exactly: integers, bools, strings, None, dtypes, arrays, and tuples or lists of them.

    True is not 1, 3.0 is not 3, a list is not a tuple; np.int64(3) is 3. Raises CheckFailed.
    """
    if _is(expected, tuple) or _is(expected, list):
        _each(actual, expected, what, None, equal)
    elif expected is None:
        _none(actual, what)
    elif isinstance(expected, str | np.dtype):
        known = type(actual) in (str, np.str_) or _is(actual, np.dtype)
        if not known or isinstance(actual, str) != isinstance(expected, str):
            kind = "a string" if isinstance(expected, str) else "a dtype"
            raise CheckFailed(f"{what}: got {_shown(actual)}, expected {kind}")
        if actual != expected:
            raise CheckFailed(f"{what}: got {_shown(actual)}, which is not right")
    else:
        _exact(actual, expected, what)


def shape(actual: object, shape: int | Sequence[int], what: str = "result") -> None:
    """Check that `actual` is an array (or a number) of this shape. Raises CheckFailed."""
    got = _array(actual, what)
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    if got.shape != wanted:
        raise _failure(_shape_line(got.shape, wanted, what), _shape_finding(got.shape, wanted))


def floating(actual: object, what: str = "result") -> None:
    """Check that `actual` has a floating dtype. Raises CheckFailed."""
    got = _array(actual, what)
    if got.dtype.kind != "f":
        raise _failure(f"{what}: dtype {got.dtype}, expected a floating one", _dtype_finding(got))


def finite(actual: object, what: str = "result") -> None:
    """Check that no value is NaN or infinite. Raises CheckFailed."""
    got = _array(actual, what)
    if not np.isfinite(got).all():
        raise _nonfinite(got, ~np.isfinite(got), what)


def unchanged(before: object, after: object, what: str = "x") -> None:
    """Check that an argument was not modified: `before` is a copy, `after` the argument itself.

    Arrays, tensors and numbers, or tuples, lists and dicts of them. Raises CheckFailed.
    """
    hint = ("", "x += 1 and x[...] = 1 change the caller's array: work on x.copy()")
    if isinstance(before, dict | tuple | list):
        if type(after) is not type(before) or len(after) != len(before):
            raise _failure(f"{what}: was changed in place: its length or type differs", hint)
        keys = list(before) if isinstance(before, dict) else range(len(before))
        for key in keys:
            if isinstance(after, dict) and key not in after:
                raise _failure(f"{what}: was changed in place: {key!r} is gone", hint)
            unchanged(before[key], after[key], f"{what}[{key!r}]")
    elif before is None or isinstance(before, str):
        if type(after) is not type(before) or after != before:
            raise _failure(f"{what}: was changed in place", hint)
    else:
        old, new = _expected(before, what), _array(after, what)
        if (old.dtype, old.shape) != (new.dtype, new.shape):
            change = f"{old.dtype} {old.shape} became {new.dtype} {new.shape}"
            raise _failure(f"{what}: was changed in place: {change}", hint)
        differs = _wrong(new, old, 0.0, 0.0, 0.0)
        if differs.any():
            where = f"{differs.sum()} of {differs.size} values differ, first at {_first(differs)}"
            raise _failure(f"{what}: was changed in place: {where}", hint)


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
    if what is None:
        what = name if isinstance(name, str) else "the function"
    wanted = exception if isinstance(exception, tuple) else (exception,)
    asked = " or ".join(one.__name__ for one in wanted)
    try:
        f(*args, **kwargs)
    except NotImplementedError:
        raise CheckFailed(f"{what}: not implemented yet (NotImplementedError)") from None
    except (Exception, SystemExit) as error:
        came = _error_words(error)
        if _is_signature_error(error, name):
            hint = "compare the arguments of your function with those in the exercise"
            raise _failure(f"{what}: cannot be called: {came}", ("", hint)) from None
        if not isinstance(error, wanted):
            raise CheckFailed(f"{what}: raised {came}; expected {asked}") from None
        return
    hint = "look at the arguments first, and raise where they make no sense"
    raise _failure(f"{what}: nothing was raised, expected {asked}", ("", hint))


# --- from whatever was returned to a plain array ------------------------------------------------


def _is(value: object, cls: type) -> bool:
    """isinstance, but for objects that lie about their __class__."""
    return issubclass(type(value), cls)


def _array(value: object, what: str) -> Array:
    """The plain array that `value` is, judged by its type alone; CheckFailed if it is none."""
    cls = type(value)
    torch = sys.modules.get("torch")
    if _is(value, np.ma.MaskedArray):
        raise CheckFailed(f"{what}: returned a masked array, expected a plain one\nhint: .filled()")
    if _is(value, np.ndarray) or cls in NUMPY_SCALARS or cls in (bool, float, complex):
        array = np.asarray(value)
    elif type(value) is int:
        array = np.asarray(value if -(2**63) <= value < 2**64 else math.copysign(math.inf, value))
    elif torch is not None and cls in (torch.Tensor, torch.nn.Parameter):
        array = _from_torch(value, what)
    else:
        raise CheckFailed(f"{what}: {_refusal(value)}")
    if array.dtype.kind == "O":
        hint = "hint: is there a None in it, or are there rows of different lengths?"
        raise CheckFailed(f"{what}: an array of dtype object, expected numbers\n{hint}")
    if array.dtype.kind not in "biufc":
        raise CheckFailed(f"{what}: an array of dtype {array.dtype}, expected numbers")
    return array


def _from_torch(tensor: Any, what: str) -> Array:
    try:
        if str(tensor.dtype) == "torch.bfloat16":  # NumPy has none
            tensor = tensor.float()
        return np.asarray(tensor.numpy(force=True))
    except (RuntimeError, TypeError) as error:
        raise CheckFailed(f"{what}: this tensor cannot become an array: {error}") from None


def _refusal(value: object) -> str:
    if value is None:
        return "returned None, expected an array or a number\nhint: is a `return` missing?"
    if value is NotImplemented or value is Ellipsis:
        return f"returned {value!r}: not implemented yet"
    if type(value) is list:
        return "returned a list, expected an array\nhint: return an array: np.array(...) makes one"
    if type(value) is tuple:
        return f"returned a tuple of {len(value)}, expected one array or number"
    if _type_name(value) in ("function", "method", "builtin_function_or_method"):
        return "returned a function, expected an array or a number\nhint: is a call's () missing?"
    return f"returned an object of type {_type_name(value)}, expected an array or a number"


def _expected(value: object, what: str) -> Array:
    """The other side: an author may also write a list. (It may come from a student's function.)"""
    try:
        return _array(np.asarray(value) if type(value) is list else value, what)
    except CheckFailed as error:
        raise CheckFailed(f"{what}: nothing to compare with\n{error}") from None


def _is_several(expected: object) -> bool:
    if type(expected) is list:
        return any(type(item) not in (list, bool, int, float) for item in expected)
    return _is(expected, tuple)


def _each(
    actual: object,
    expected: Any,
    what: str,
    names: Sequence[str] | None,
    compare: Callable[[object, object, str], None],
) -> None:
    """Compare several results one by one; CheckFailed tells of all that are wrong."""
    kind, n = (tuple if _is(expected, tuple) else list), len(expected)
    if not _is(actual, kind):
        got = _shown(actual) + (": is a `return` missing?" if actual is None else "")
        raise CheckFailed(f"{what}: expected a {kind.__name__} of {n}, got {got}")
    items: list[object] = list(kind.__iter__(actual))  # type: ignore[arg-type]  # _is() has looked
    if len(items) != n:
        raise CheckFailed(f"{what}: a {kind.__name__} of {len(items)}, expected {n}")

    def fault(i: int, j: int) -> str:
        label = f"{what}, {names[i] if names else f'result {i + 1} of {n}'}"
        try:
            if expected[i] is None:
                _none(items[j], label)
            else:
                compare(items[j], expected[i], label)
        except CheckFailed as error:
            return str(error)
        return ""

    faults = {i: text for i in range(n) if (text := fault(i, i))}
    if len(faults) == 2:
        i, j = faults
        if not fault(i, j) and not fault(j, i):
            raise CheckFailed(f"{what}: results {i + 1} and {j + 1} of {n} have changed places")
    if faults:
        raise CheckFailed("\n".join(faults.values()))


# --- comparing ----------------------------------------------------------------------------------


def _compare(got: Array, want: Array, what: str, rtol: float, atol: float) -> None:
    narrow = any(a.dtype.kind in "fc" and a.real.dtype.itemsize <= 4 for a in (got, want))
    share = rtol if narrow else rtol / 10

    def same(a: Array, b: Array) -> bool:
        # Relations hold but for rounding, even where values are compared exactly.
        if a.shape != b.shape:
            return False
        return not _wrong(a, b, max(rtol, 1e-7), max(atol, 1e-9), share).any()

    searched = max(got.size, want.size) <= LARGEST_SEARCHED
    if got.shape != want.shape:
        finding = _shape_finding(got.shape, want.shape)
        if searched and "c" not in got.dtype.kind + want.dtype.kind:
            finding = _same_values(got, want, same) or finding
        raise _failure(_shape_line(got.shape, want.shape, what), finding)
    wrong = _wrong(got, want, rtol, atol, share)
    dtype_fault = _dtype_fault(got, want)
    if not wrong.any():
        if dtype_fault:
            raise _failure(f"{what}: {dtype_fault}", _dtype_finding(got))
        return
    nonfinite = ~np.isfinite(got) & np.isfinite(want)
    if nonfinite.any():
        raise _nonfinite(got, nonfinite, what, others_right=not (wrong & ~nonfinite).any())
    finding = None
    if searched and "c" not in got.dtype.kind + want.dtype.kind:
        with np.errstate(all="ignore"):
            finding = _value_finding(_wide(got), _wide(want), wrong, same)
    if finding is None and got.dtype == np.float16:
        finding = ("", "float16 keeps three digits: is float32 lost on the way?")
    line = _values_line(got, want, wrong)
    if dtype_fault:
        raise _failure(f"{what}: {dtype_fault}; {line}", finding or _dtype_finding(got))
    raise _failure(f"{what}: {line}", finding)


def _exact(actual: object, expected: object, what: str) -> None:
    if type(actual) is int and type(expected) is int and abs(expected) >= 2**63:
        if actual != expected:  # beyond any dtype
            raise CheckFailed(f"{what}: got {_shown(actual)}, which is not right")
        return
    got, want = _array(actual, what), _expected(expected, what)
    kinds = {"b": "a bool", "i": "an integer", "u": "an integer", "f": "a float", "c": "complex"}
    is_, wanted = kinds[got.dtype.kind], kinds[want.dtype.kind]
    if got.shape == want.shape and is_ != wanted and (is_, wanted) != ("an integer", "a float"):
        line = f"got {_shown(actual)}, {is_}; expected {wanted}"
        hint = "// divides integers, / makes a float"
        if got.ndim:
            line = f"dtype {got.dtype}, expected {want.dtype}"
            hint = "np.zeros makes floats: dtype=int?"
        hint = hint if (is_, wanted) == ("a float", "an integer") else ""
        raise _failure(f"{what}: {line}", ("", hint))
    if got.shape == want.shape == () and got != want and np.isfinite(got):
        by_one = is_ == "an integer" and abs(int(got) - int(want)) == 1
        near = ": off by one" if by_one else ", which is not right"
        raise CheckFailed(f"{what}: got {_shown(got[()])}{near}")
    _compare(got, want, what, 0.0, 0.0)


def _none(actual: object, what: str) -> None:
    if actual is not None:
        raise CheckFailed(f"{what}: got {_shown(actual)}, expected None")


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _wrong(got: Array, want: Array, rtol: float, atol: float, share: float) -> Array:
    """Where two arrays of one shape differ by more than the tolerance."""
    with np.errstate(all="ignore"):
        right = np.asarray((got == want) | ((got != got) & (want != want)))
        if rtol > 0 or atol > 0:
            a, e = _wide(got), _wide(want)
            size = np.where(np.isfinite(e), np.abs(e), 0.0)
            allowed = atol + rtol * size + share * size.max(initial=0.0)
            right |= (np.abs(a - e) <= allowed) & np.isfinite(e)
    return ~right


def _dtype_fault(got: Array, want: Array) -> str:
    """What is wrong with the kind of dtype, or nothing."""
    is_, wanted = got.dtype.kind, want.dtype.kind
    names = {"b": "bool", "i": "integers", "u": "integers", "f": "a floating one", "c": "complex"}
    lost = is_ in "iu" and wanted in "fc" and got.ndim > 0
    if (is_ == "b") != (wanted == "b") or (is_ == "c" and wanted != "c") or lost:
        return f"dtype {got.dtype}, expected {names[wanted]}"
    return ""


def _dtype_finding(got: Array) -> Finding | None:
    if got.dtype.kind in "iu":
        return ("", "which dtype did np.zeros, np.zeros_like or astype give the result?")
    if got.dtype.kind == "c":
        return ("", "is a `.real` missing?")
    return None


# --- words --------------------------------------------------------------------------------------


def _failure(line: str, finding: Finding | None) -> CheckFailed:
    says, hint = finding or ("", "")
    return CheckFailed("\n".join(filter(None, (line, says, hint and f"hint: {hint}"))))


def _nonfinite(got: Array, bad: Array, what: str, others_right: bool = False) -> CheckFailed:
    nans = int(np.isnan(got[bad]).sum())
    kind = "infinite" if not nans else "NaN" if nans == bad.sum() else "NaN or infinite"
    line = f"{_of(bad)} {kind}, first at {_first(bad)}" if got.ndim else f"the value is {kind}"
    hint = "look for 0/0, log(0), a square root of less than 0, exp of a large number, np.empty"
    others = "; all others are right" if others_right and not bad.all() else ""
    return _failure(f"{what}: {line}{others}", ("", hint))


def _values_line(got: Array, want: Array, wrong: Array) -> str:
    with np.errstate(all="ignore"):
        error = np.where(wrong, np.abs(_wide(got) - _wide(want)), -1.0)
        error[np.isnan(error)] = np.inf
    where = np.unravel_index(int(np.argmax(error)), error.shape)
    size = repr(float(f"{error[where]:.3g}"))
    if got.ndim == 0:
        return f"the value is wrong by {size}"
    return f"{_of(wrong)} wrong; largest error {size} at {[int(i) for i in where]}"


def _of(mask: Array) -> str:
    n = int(mask.sum())
    return f"{n} of {mask.size} values {'is' if n == 1 else 'are'}"


def _first(mask: Array) -> list[int]:
    return [int(i) for i in np.argwhere(mask)[0]]


def _type_name(value: object) -> str:
    # Asked of `type` itself: a metaclass may have its own idea of __name__.
    return str(type.__dict__["__name__"].__get__(type(value)))


def _shown(value: object) -> str:
    """The student's own value, where showing it runs none of the student's code."""
    if value is None:
        return "None"
    plain = value.item() if type(value) in NUMPY_SCALARS else value  # type: ignore[attr-defined]
    if type(plain) in (bool, int, float, complex, str):
        text = repr(plain)
        return text if len(text) <= 60 else text[:57] + "..."
    return f"an object of type {_type_name(value)}"


def _error_words(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # a student's exception class may be broken, too
        text = ""
    return f"{_type_name(error)}: {text[:200]}" if text else _type_name(error)


def _is_signature_error(error: BaseException, name: object) -> bool:
    text = r"unexpected keyword|missing \d+ required|positional argument|multiple values for"
    words = _error_words(error)
    return type(error) is TypeError and f"{name}()" in words and re.search(text, words) is not None


def _axis_words(axes: Sequence[int], ndim: int) -> str:
    if len(axes) == 1:
        return "the last axis" if axes[0] == ndim - 1 > 0 else f"axis {axes[0]}"
    return f"axes {', '.join(map(str, axes[:-1]))} and {axes[-1]}"


# --- a wrong shape ------------------------------------------------------------------------------


def _shape_line(got: tuple[int, ...], want: tuple[int, ...], what: str) -> str:
    return f"{what}: shape {got}, expected {want}{', a single number' if want == () else ''}"


def _shape_finding(got: tuple[int, ...], want: tuple[int, ...]) -> Finding | None:
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
    axes, steps = _axis_words(list(off), ndim), set(off.values())
    if all(want[k] == 1 for k in off):
        return f"{axes} should have length 1", "keepdims? or do (N, 1) and (N,) broadcast?"
    if steps in ({1}, {-1}):
        says = f"one too {'many' if steps == {1} else 'few'} along {axes}"
        return says, "off by one: where do the first and the last window start?"
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


def _same_values(got: Array, want: Array, same: Same) -> Finding | None:
    """The right values in a wrong shape: axes turned, another reshape, too much or too little."""
    if got.ndim == want.ndim and sorted(got.shape) == sorted(want.shape):
        for order in _orders(got):
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
            if _varied(e) and same(a, e):
                if kept == want.shape:
                    return f"cut {side}, your result would be right", "where does a loop end?"
                if kept == got.shape:
                    return f"your result equals the expected one cut {side}", "is padding missing?"
    return None


def _cut(array: Array, kept: tuple[int, ...], share: int) -> Array:
    """`array` cut to the lengths `kept`; `share` halves of what goes are cut off at the start."""
    starts = [(n - m) * share // 2 for n, m in zip(array.shape, kept, strict=True)]
    return array[tuple(slice(s, s + m) for s, m in zip(starts, kept, strict=True))]


def _orders(array: Array) -> list[tuple[int, ...]]:
    """The orders of its axes that are worth a try."""
    if array.ndim > 5 or array.size > LARGEST_PERMUTED:
        return []
    return list(itertools.permutations(range(array.ndim)))[1:]


# --- wrong values -------------------------------------------------------------------------------
#
# A relation takes (got, want, same), float64 arrays of one shape that differ, and says what `got`
# equals. It holds for every value, and in a way that unrelated numbers would not fulfil.


def _value_finding(got: Array, want: Array, wrong: Array, same: Same) -> Finding | None:
    """The first that fits: a relation that holds for every value, a place, a small error."""
    if not got.any():
        return "every value is zero", "is the result filled, and is it the one you return?"
    if got.size > 1 and (got == got.flat[0]).all() and _varied(want):
        return "every value of your result is the same", "is the input used at all?"
    found = (relation(got, want, same) for relation in RELATIONS)
    # Two may hold at once (an array whose flip is its negative): then both are said.
    both = list(itertools.islice(filter(None, found), 2))
    both = both or list(filter(None, (relation(got, want, same) for relation in GENERAL)))[:1]
    if both:
        return f"your result equals {', or '.join(says for says, _ in both)}", both[0][1]
    return _repeated(got, want, same) or _place(got, want, wrong) or _nearly(got, want, wrong)


def _varied(want: Array) -> bool:
    """Whether there are different values enough to tell a factor from an amount."""
    values = want[want != 0]
    return values.size > 1 and bool(np.ptp(values) > 1e-3 * np.abs(values).max())


def _negated(got: Array, want: Array, same: Same) -> Finding | None:
    return ("the expected one negated", "is a minus missing?") if same(got, -want) else None


def _flipped(got: Array, want: Array, same: Same) -> Finding | None:
    hint = "which index runs backwards, and should it?"
    for k in reversed(range(want.ndim)):
        if same(got, np.flip(want, k)):
            return f"the expected one flipped along {_axis_words([k], want.ndim)}", hint
    if want.ndim > 1 and same(got, np.flip(want, (-2, -1))):
        return "the expected one rotated by 180° (flipped along its last two axes)", hint
    if want.ndim > 2 and same(got, np.flip(want)):
        return "the expected one flipped along all axes", hint
    return None


def _transposed(got: Array, want: Array, same: Same) -> Finding | None:
    for order in _orders(want):
        if same(got, want.transpose(order)):
            to = f" to the axis order {order}" if want.ndim > 2 else ""
            return f"the expected one transposed{to}", "are rows and columns exchanged?"
    return None


def _multiplied(got: Array, want: Array, same: Same) -> Finding | None:
    factor = float((got * want).sum() / (want * want).sum())
    if not math.isfinite(factor) or same(got, -want) or not same(got, factor * want):
        return None
    words, hint = _factor_words(abs(factor), want)
    # Of a single number every other is some multiple, and a factor near 1 may be any small error.
    if not words and (not _varied(want) or abs(factor - 1) < 1e-2):
        return None
    sign = "-" if factor < 0 else ""
    return f"the expected one times {sign}{words or f'{abs(factor):.4g}'}", hint


def _factor_words(factor: float, want: Array) -> tuple[str, str]:
    """The known number that `factor` is (or nothing), and a hint."""

    def near(value: float) -> bool:
        return math.isclose(factor, value, rel_tol=3e-6)

    sizes = {f"axis {k}": n for k, n in enumerate(want.shape)}
    sizes |= {"the last two axes": math.prod(want.shape[-2:]), "the whole array": want.size}
    for power, text in (1, "{}"), (-1, "1/{}"):
        n = round(min(factor**power, 1e9))
        named = [name for name, size in sizes.items() if size == n]
        if n < 2 or not near(float(n) ** power) or (n > 1000 and not named):
            continue
        if n in (255, 256) and not named:
            return text.format(n), "how often are pixels divided by 255?"
        of = f" ({n} is the size of {' and of '.join(named[:2])})" if named else ""
        return text.format(n) + of, "a mean where a sum is wanted, or the other way round?"
    for base in (2, 10):
        for power, text in (1, f"log({base})"), (-1, f"1/log({base})"):
            if near(math.log(base) ** power):
                return text, "which base does the logarithm have?"
    for text, ratio in ("{}", Fraction(factor)), ("sqrt({})", Fraction(factor**2)):
        ratio = ratio.limit_denominator(50)
        if _varied(want) and near(float(ratio) if text == "{}" else math.sqrt(ratio)):
            by_one = abs(ratio.numerator - ratio.denominator) == 1
            return text.format(ratio), "is n - 1 wanted, or n?" if by_one else ""
    return "", ""


def _along_an_axis(got: Array, want: Array, same: Same) -> Finding | None:
    """An amount, a factor, or both: one for all, or one for each index of an axis."""
    if want.size < 2:
        return None
    cases = [(tuple(range(want.ndim)), "")]
    first = (1, want.ndim - 1) if want.ndim > 1 else ()  # channels of images and of dense layers
    for k in dict.fromkeys((*first, *range(want.ndim))):
        if want.shape[k] > 1 and want.size >= 2 * want.shape[k]:
            rest = tuple(i for i in range(want.ndim) if i != k)
            cases.append((rest, f" for each index of {_axis_words([k], want.ndim)}"))
    for rest, each in cases:
        mean_got, mean = got.mean(rest, keepdims=True), want.mean(rest, keepdims=True)
        if same(got, want + (mean_got - mean)):
            return f"the expected one plus one amount{each}", "is a bias missing, or added twice?"
        power = (want**2).sum(rest, keepdims=True)
        factor = (got * want).sum(rest, keepdims=True) / np.where(power > 0, power, 1)
        enough = (want != 0).sum(rest, keepdims=True) > 1
        if same(got, factor * want):
            # A slice with one value in it is always a multiple; and 0 rather means "not filled".
            sure = (enough & (factor != 0)) | (abs(factor - 1) < 1e-5) | (power == 0)
            if each and sure.all():
                hint = "what is each of these slices multiplied with, or divided by?"
                return f"the expected one times one factor{each}", hint
        elif want.size >= 4 * mean.size:
            spread = ((want - mean) ** 2).sum(rest, keepdims=True)
            slope = ((got - mean_got) * (want - mean)).sum(rest, keepdims=True) / spread
            if same(got, slope * (want - mean) + mean_got):
                hint = "are mean, scale and shift each the right ones, and in the right place?"
                return f"the expected one times one factor and plus one amount{each}", hint
    return None


def _shifted(got: Array, want: Array, same: Same) -> Finding | None:
    for k in range(want.ndim):
        if want.shape[k] < 3:
            continue
        a, e = np.moveaxis(got, k, 0), np.moveaxis(want, k, 0)
        moved = same(a[1:], e[:-1]) or same(a[:-1], e[1:])
        if moved and _varied(e[1:-1]) and not same(e[1:], e[:-1]):
            axis = _axis_words([k], want.ndim)
            hint = "off by one: at which index does the first window start?"
            return f"the expected one shifted by one along {axis}", hint
    return None


def _accumulated(got: Array, want: Array, same: Same) -> Finding | None:
    for k in range(want.ndim):
        if want.shape[k] > 1 and same(got, np.cumsum(want, k)):
            axis = _axis_words([k], want.ndim)
            hint = "should something that is added to start again from zero?"
            return f"the running sum of the expected one along {axis}", hint
    return None


ELEMENTWISE: tuple[tuple[Callable[[Array], Array], str, str], ...] = (
    (np.abs, "the absolute value of the expected one", "is a sign lost?"),
    (lambda e: np.maximum(e, 0), "the expected one clipped at zero", "is there a ReLU too many?"),
    (np.rint, "the expected one rounded to integers", "which dtype does the result have?"),
    (np.trunc, "the expected one cut to integers", "which dtype? and is it / or //?"),
    (np.floor, "the expected one rounded down", "is it / or //?"),
    (lambda e: e % 256, "the expected one modulo 256", "uint8 overflows: first make it float"),
    (lambda e: e // 1 % 256, "the expected one modulo 256", "uint8 overflows: first make it float"),
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
    for order in _orders(want):
        if same(got, want.transpose(order).reshape(want.shape)):
            says = f"the expected one read in the axis order {order} and reshaped"
            return says, "reshape moves no axes: is a transpose wanted before it?"
    if _varied(want) and same(np.sort(got, axis=None), np.sort(want, axis=None)):
        says = "the expected one with its values in another order"
        return says, "reshape moves no axes, transpose does; which axis is which?"
    return None


RELATIONS = (
    _negated,
    _flipped,
    _transposed,
    _multiplied,
    _shifted,
    _accumulated,
    _elementwise,
)
GENERAL = (
    _along_an_axis,
    _resigned,
    _reordered,
)  # follow from those above: asked where none of them holds


def _repeated(got: Array, want: Array, same: Same) -> Finding | None:
    for k in range(want.ndim):
        if want.shape[k] > 1 and want.size > want.shape[k]:
            one, other = (np.broadcast_to(a.take([0], k), a.shape) for a in (got, want))
            if same(got, one) and not same(want, other):
                says = f"every index of {_axis_words([k], want.ndim)} holds the same values"
                return says, "is one image or filter used for all, or a mean taken over too many?"
    return None


def _place(got: Array, want: Array, wrong: Array) -> Finding | None:
    """Where the wrong values lie, if there is a pattern."""
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
            hint = "is there a return inside the loop, or a fixed index?"
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
        side = "last " if last == n - 1 else "first " if first == 0 else ""
        return f"{side}{len(bad)} indices of axis {k}"
    if len(bad) >= n // 2 and (np.diff(bad) == 2).all():
        return f"every second index of axis {k}"
    return ""


def _nearly(got: Array, want: Array, wrong: Array) -> Finding | None:
    part = float(np.abs(got - want).max() / np.abs(want).max())
    if not part < 1e-2 or wrong.mean() < 0.1:
        return None
    return (
        f"nearly right: the error is {100 * part:.1g} % of the largest value",
        "is an eps at another place, or is something computed in float16?",
    )
