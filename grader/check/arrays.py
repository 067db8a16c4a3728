"""From whatever was returned to a plain array, and what several modules ask of an array."""

import itertools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from grader.check.failures import CheckFailed, failure

Array = npt.NDArray[Any]
Same = Callable[[Array, Array], bool]  # within the tolerance, everywhere

LARGEST_PERMUTED = 100_000  # values; orders of the axes cost as much as all the rest together
NUMPY_SCALARS = frozenset(np.sctypeDict.values())


def is_a(value: object, cls: type) -> bool:
    """isinstance, but for objects that lie about their __class__."""
    return issubclass(type(value), cls)


def to_array(value: object, what: str) -> Array:
    """The plain array that `value` is, judged by its type alone; CheckFailed if it is none."""
    cls = type(value)
    torch = sys.modules.get("torch")
    if is_a(value, np.ma.MaskedArray):
        line = f"{what}: returned a masked array, expected a plain one"
        raise failure(line, hint=".filled()")
    if is_a(value, np.ndarray) or cls in NUMPY_SCALARS or cls in (bool, float, complex):
        array = np.asarray(value)
    elif type(value) is int:
        array = np.asarray(value if -(2**63) <= value < 2**64 else math.copysign(math.inf, value))
    elif torch is not None and cls in (torch.Tensor, torch.nn.Parameter):
        array = _from_torch(value, what)
    else:
        line, hint = _refusal(value)
        raise failure(f"{what}: {line}", hint=hint)
    if array.dtype.kind == "O":
        hint = "is there a None in it, or are there rows of different lengths?"
        raise failure(f"{what}: an array of dtype object, expected numbers", hint=hint)
    if array.dtype.kind not in "biufc":
        raise failure(f"{what}: an array of dtype {array.dtype}, expected numbers")
    return array


def expected_array(value: object, what: str) -> Array:
    """The other side: an author may also write a list. (It may come from a student's function.)"""
    try:
        return to_array(np.asarray(value) if type(value) is list else value, what)
    except CheckFailed as error:
        raise CheckFailed(f"{what}: nothing to compare with\n{error}") from None


def _from_torch(tensor: Any, what: str) -> Array:
    try:
        if str(tensor.dtype) == "torch.bfloat16":  # NumPy has none
            tensor = tensor.float()
        return np.asarray(tensor.numpy(force=True))
    except (RuntimeError, TypeError) as error:
        raise failure(f"{what}: this tensor cannot become an array: {error}") from None


def _refusal(value: object) -> tuple[str, str]:
    """Why `value` is no array, and a hint."""
    if value is None:
        return "returned None, expected an array or a number", "is a `return` missing?"
    if value is NotImplemented or value is Ellipsis:
        return f"returned {value!r}: not written yet", ""
    if type(value) is list:
        return "returned a list, expected an array", "return an array: np.array(...) makes one"
    if type(value) is tuple:
        return f"returned a tuple of {len(value)}, expected one array or number", ""
    if type_name(value) in ("function", "method", "builtin_function_or_method"):
        return "returned a function, expected an array or a number", "is a call's () missing?"
    return f"returned an object of type {type_name(value)}, expected an array or a number", ""


def type_name(value: object) -> str:
    """The name of its type; asked of `type`, as a metaclass may have its own idea of __name__."""
    return str(type.__dict__["__name__"].__get__(type(value)))


def shown(value: object) -> str:
    """The student's own value, where showing it runs none of the student's code."""
    if value is None:
        return "None"
    plain = value.item() if type(value) in NUMPY_SCALARS else value  # type: ignore[attr-defined]
    if type(plain) in (bool, int, float, complex, str):
        text = repr(plain)
        return text if len(text) <= 60 else text[:57] + "..."
    return f"an object of type {type_name(value)}"


# --- of plain arrays ----------------------------------------------------------------------------


def wide(array: Array) -> Array:
    """`array` in the widest dtype of its kind, so that differences are exact enough."""
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def varied(array: Array) -> bool:
    """Whether there are different values enough to tell a factor from an amount."""
    values = array[array != 0]
    return values.size > 1 and bool(np.ptp(values) > 1e-3 * np.abs(values).max())


def first(mask: Array) -> list[int]:
    """The index of the first True."""
    return [int(i) for i in np.argwhere(mask)[0]]


def orders(array: Array) -> list[tuple[int, ...]]:
    """The orders of its axes that are worth a try."""
    if array.ndim > 5 or array.size > LARGEST_PERMUTED:
        return []
    return list(itertools.permutations(range(array.ndim)))[1:]


def axis_words(axes: Sequence[int], ndim: int) -> str:
    """Name axes of an array of `ndim` axes."""
    if len(axes) == 1:
        return "the last axis" if axes[0] == ndim - 1 > 0 else f"axis {axes[0]}"
    return f"axes {', '.join(map(str, axes[:-1]))} and {axes[-1]}"
