"""What `grader.check` tells a student whose result is wrong, and what it never tells."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grader import check

RNG = np.random.default_rng(20)
Y = RNG.standard_normal((2, 3, 4, 5))
SQUARE = RNG.standard_normal((2, 3, 4, 4))
POSITIVE = np.abs(Y)
EDGES = Y.copy()
EDGES[..., 1:-1, 1:-1] = RNG.standard_normal((2, 3, 2, 3))
INNER = np.zeros_like(Y)
INNER[..., 1:-1, 1:-1] = Y[..., 1:-1, 1:-1]


def message(compare: Callable[..., None], *args: object, **kwargs: Any) -> str:
    with pytest.raises(check.CheckFailed) as failure:
        compare(*args, **kwargs)
    return str(failure.value)


def said(compare: Callable[..., None], *args: object) -> str:
    """What a check says, or nothing if it passes."""
    try:
        compare(*args)
    except check.CheckFailed as failure:
        return str(failure)
    return ""


def only(k: int, kept: int | slice) -> Any:
    """Y where axis k is at `kept`, and zero elsewhere."""
    mask = np.zeros(Y.shape[k], bool)
    mask[kept] = True
    return Y * mask.reshape([-1 if i == k else 1 for i in range(Y.ndim)])


VALUES = [
    (Y[..., ::-1], Y, "flipped along the last axis"),
    (Y[:, :, ::-1], Y, "flipped along axis 2"),
    (Y[::-1], Y, "flipped along axis 0"),
    (Y[..., ::-1, ::-1], Y, "rotated by 180°"),
    (Y[::-1, ::-1, ::-1, ::-1], Y, "flipped along all axes"),
    (SQUARE[0, 0].T, SQUARE[0, 0], "transposed\nhint: are rows and columns exchanged?"),
    (SQUARE.swapaxes(2, 3), SQUARE, "transposed to the axis order (0, 1, 3, 2)"),
    (-Y, Y, "equals the expected one negated\n"),
    (Y / 2, Y, "times 1/2 (2 is also the size of axis 0)\nhint: a mean where a sum is wanted"),
    (Y * 20, Y, "times 20 (20 is also the size of the last two axes)"),
    (Y / 120, Y, "times 1/120 (120 is also the size of the whole array)"),
    (-7 * Y, Y, "times -7\n"),
    (Y / 255, Y, "how often are pixels divided by 255?"),
    (np.log2(POSITIVE), np.log(POSITIVE), "times 1/log(2)\nhint: which base"),
    (Y * 7 / 8, Y, "times 7/8\nhint: is n - 1 wanted, or n?"),
    (Y * math.sqrt(7 / 8), Y, "times sqrt(7/8)\nhint: is n - 1 wanted, or n?"),
    (Y * 0.71337, Y, "times 0.7134"),
    (Y + 0.5, Y, "plus one amount\nhint: is a bias missing"),
    (Y + Y[0, :, :1, :1], Y, "plus one amount for each index of axis 1\nhint: is a bias missing"),
    (Y[0, 0] + Y[0, 1, 0], Y[0, 0], "plus one amount for each index of the last axis"),
    (Y * Y[:, :1, :1, :1], Y, "times one factor for each index of axis 0"),
    (Y * Y[:1, :, :1, :1] + Y[1:, :, :1, :1], Y, "one factor and plus one amount for each index"),
    (
        Y / 3 + Y[:1, :, :1, :1],
        Y,
        "times 1/3 (3 is also the size of axis 1) and plus one amount for",
    ),
    (np.roll(Y, 1, 2), Y, "shifted by one along axis 2\nhint: off by one"),
    (np.pad(Y, ((0, 0),) * 3 + ((0, 1),))[..., 1:], Y, "shifted by one along the last axis"),
    (np.cumsum(Y, 0), Y, "running sum of the expected one along axis 0"),
    (POSITIVE, Y, "the absolute value of the expected one\n"),
    (Y * np.sign(np.roll(Y, 1)), Y, "but for the sign of some values"),
    (np.maximum(Y, 0), Y, "clipped at zero\nhint: is there a ReLU too many?"),
    (Y, np.maximum(Y, 0), "before it is clipped at zero\nhint: is a ReLU missing?"),
    (np.rint(10 * Y), 10 * Y, "rounded to integers"),
    (np.trunc(10 * Y).astype(int), 10 * Y, "cut to integers"),
    (np.floor(10 * Y), 10 * Y, "rounded down"),
    ((999 * POSITIVE % 256).astype(np.uint8), 999 * POSITIVE, "uint8 overflows"),
    (Y**2, POSITIVE, "is a square root missing?"),
    (np.sqrt(POSITIVE), POSITIVE, "is there a square root too many?"),
    (np.exp(Y), Y, "is a logarithm missing?"),
    (Y, np.exp(Y), "is there a logarithm too many?"),
    (1 - Y, Y, "one minus the expected one"),
    (1 / Y, Y, "one divided by the expected one"),
    (Y.transpose(0, 2, 3, 1).reshape(Y.shape), Y, "read in the axis order (0, 2, 3, 1)"),
    (RNG.permutation(Y.ravel()).reshape(Y.shape), Y, "with its values in another order"),
    (0 * Y, Y, "every value is zero\nhint: is the result filled"),
    (0 * Y + 3, Y, "every value of your result is the same"),
    (np.broadcast_to(Y[:, :1], Y.shape), Y, "every index of axis 1 holds the same values"),
    (only(0, 0), Y, "only index 0 of axis 0 is right, elsewhere it is zero"),
    (Y - only(1, 1) ** 2, Y, "it differs only at index 1 of axis 1"),
    (Y - only(2, slice(1, 3)) ** 2, Y, "it differs only at the inner 2 indices of axis 2"),
    (Y - only(2, slice(1, 4)) ** 2, Y, "only index 0 of axis 2 is right\n"),
    (
        only(1, 0),
        Y,
        "only index 0 of axis 1 is right, elsewhere it is zero\nhint: is a return inside",
    ),
    (only(3, slice(3)), Y, "it differs only at the last 2 indices of axis 3"),
    (only(3, slice(4)), Y, "it differs only at the last index of axis 3"),
    (only(3, slice(0, 5, 2)), Y, "every second index of axis 3"),
    (INNER, Y, "only the border differs, and there it is zero\nhint: look at the padding"),
    (EDGES, Y, "only the border is right"),
    (np.where(Y > 0.5, 0, Y), Y, "wherever it differs, your result is zero"),
    (Y.astype(np.float16), Y, "nearly right: the error is 0.0"),
    (np.where(Y > 1, np.nan, Y), Y, "all others are right\nhint: look for 0/0"),
    (np.where(Y > 1, np.inf, 2 * Y), Y, " infinite, first at ["),
    (Y.astype(complex), Y, "dtype complex128, expected a floating one\nhint: is a `.real` missing"),
    (Y > 0, Y, "dtype bool, expected a floating one"),
    (np.array([1, 2]), np.array([1.0, 2.0]), "dtype int64, expected a floating one\nhint: which"),
    (2.0, 16.0, "the value is wrong by 14.0\nyour result equals the expected one times 1/8\n"),
    (0.3, 0.7, "one minus the expected one"),
    (math.nan, 0.7, "the value is NaN\n"),
    (np.array([[3]], np.uint8), np.array([[259.0]]), "modulo 256\nhint: uint8 overflows"),
    (1, True, "dtype int64, expected bool"),
]


@pytest.mark.parametrize(("wrong", "right", "phrase"), VALUES)
def test_wrong_values_are_related_to_the_right_ones(wrong: Any, right: Any, phrase: str) -> None:
    text = message(check.close, wrong, right, "conv2d")
    assert text.startswith("conv2d: ")
    assert phrase in text


@pytest.mark.parametrize(
    ("wrong", "right", "phrase"),
    # Of float64; for the others the dtype is the point.
    [case for case in VALUES if getattr(case[0], "dtype", None) == np.float64],
)
def test_a_tensor_and_a_float32_array_get_the_same_help(
    wrong: Any, right: Any, phrase: str
) -> None:
    wrong = np.ascontiguousarray(wrong, dtype=np.float32)
    assert phrase in message(check.close, wrong, right)
    assert phrase in message(check.close, torch.tensor(wrong, requires_grad=True), right)
    assert phrase in message(check.close, wrong, torch.tensor(np.ascontiguousarray(right)))


SHAPES = [
    (Y.transpose(0, 2, 3, 1), Y, "your result .transpose(0, 3, 1, 2) would be right"),
    (np.ones((2, 3, 5, 4)), Y, "its axes are in another order"),
    (np.ones((2, 3, 4, 6)), Y, "one too many along the last axis\nhint: off by one"),
    (np.ones((2, 3, 3, 4)), Y, "one too few along axes 2 and 3\nhint: off by one"),
    (np.ones((2, 2, 4, 5)), Y, "one too few along axis 1"),
    (np.ones((2, 3, 2, 3)), Y, "2 too few along axes 2 and 3\nhint: it looks as if padding were"),
    (np.ones((2, 3, 7, 9)), Y, "too long along axes 2 and 3\nhint: it looks as if stride=2 were 1"),
    (np.ones((2, 3, 20, 5)), Y, "too long along axis 2\nhint: is padding put on twice"),
    (Y[..., :3, :4], Y, "equals the expected one cut at the end"),
    (Y[..., 1:-1, 1:-1], Y, "equals the expected one cut at both ends\nhint: is padding missing?"),
    (np.pad(Y, 1)[1:-1, 1:-1], Y, "cut at both ends, your result would be right"),
    (
        np.pad(Y, 1)[1:-1, 1:-1, 1:, 1:-1],
        Y,
        "cut at the end, your result would be right\nhint: off by one",
    ),
    (Y[None], Y, "axis 0, of length 1, is too many"),
    (Y[..., None], Y, "axis 4, of length 1, is too many"),
    (Y[0], Y[:1], "axis 0, of length 1, is missing"),
    (Y.mean(1), Y.mean(1, keepdims=True), "axis 1, of length 1, is missing\nhint: keepdims"),
    (Y[0], Y, "axis 0, the batch, is missing"),
    (Y.sum(2), Y, "axis 2 is missing\nhint: is it summed away"),
    (Y, Y.sum(2), "axis 2 is too many\nhint: is a sum or a mean over it missing?"),
    (np.ones((4, 4)), np.ones(4), "(N, 1) and (N,) broadcast to (N, N)"),
    (np.ones((4, 4)), np.ones((4, 1)), "the last axis should have length 1"),
    (Y.reshape(2, 60), Y, "your result .reshape(2, 3, 4, 5) would be right"),
    (np.ones((2, 60)), Y, "the number of values is right\nhint: is a reshape missing"),
    (Y.sum(), Y, "it is a single number"),
    (np.ones(1), 1.0, "shape (1,), expected (), a single number\naxis 0, of length 1, is too many"),
    (np.ones(7), Y, "shape (7,), expected (2, 3, 4, 5)"),
    (Y[0] > 0, Y[0, :, :3] > 0, "one too many along axis 1"),
    (np.array([1, 2, 250], np.uint8), np.array([1, 2], np.uint8), "cut at the end, your result"),
]


@pytest.mark.parametrize(("wrong", "right", "phrase"), SHAPES)
def test_a_wrong_shape_says_what_happened_to_it(wrong: Any, right: Any, phrase: str) -> None:
    text = message(check.close, wrong, right, "conv2d")
    assert text.startswith(f"conv2d: shape {np.shape(wrong)}, expected {np.shape(right)}")
    assert phrase in text


def test_two_relations_that_both_hold_are_both_said() -> None:
    edge = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])  # flipped, it is its negative
    text = message(check.close, -edge, edge)
    assert "negated, or the expected one flipped along the last axis" in text


def test_a_symmetric_result_is_not_called_flipped() -> None:
    symmetric = np.array([1.0, 5.0, 2.0, 5.0, 1.0])
    assert "flipped" not in message(check.close, 3 * symmetric, symmetric)


def test_one_wrong_value_is_found_without_a_guess() -> None:
    wrong = Y.copy()
    wrong[1, 2, 0, 3] += 1
    text = message(check.close, wrong, Y, "conv2d")
    assert text == "conv2d: 1 of 120 values is wrong; largest error 1.0 at [1, 2, 0, 3]"


def test_of_several_results_each_wrong_one_is_named() -> None:
    text = message(check.close, (Y, -Y, None), (Y, Y, None), "back", names=("dx", "dw", "db"))
    assert text.startswith("back, dw: 120 of 120 values are wrong")
    assert "dx" not in text
    assert "back, db: got an object of type ndarray, expected None" in message(
        check.close, (Y, Y, Y), (Y, Y, None), "back", names=("dx", "dw", "db")
    )
    assert "back, result 2 of 2: " in message(check.close, (Y, -Y), (Y, Y), "back")
    assert "results 1 and 2 of 2 have changed places" in message(check.close, (1.0, Y), (Y, 1.0))
    check.close((Y, Y + 0), (Y, Y))
    check.close([Y, Y[0]], [Y, Y[0]])


def test_of_several_results_the_number_and_the_container_count() -> None:
    assert message(check.close, (Y,), (Y, Y), "back") == "back: a tuple of 1, expected 2"
    assert "expected a tuple of 2, got an object of type list" in message(
        check.close, [Y, Y], (Y, Y)
    )
    assert "got None: is a `return` missing?" in message(check.close, None, (Y, Y))
    assert "got an object of type ndarray" in message(check.close, np.array([Y, Y]), (Y, Y))


# --- tolerance ----------------------------------------------------------------------------------


def test_a_sum_that_cancels_in_float32_passes_and_in_float16_fails() -> None:
    terms = RNG.standard_normal((40, 2000))
    exact = terms.sum(1)
    one_by_one = np.cumsum(terms.astype(np.float32), axis=1)[:, -1]
    check.close(one_by_one, exact)
    check.close(one_by_one.astype(np.float64), exact)
    assert "nearly right" in message(check.close, exact.astype(np.float16), exact)


def test_float64_is_not_demanded_and_noncontiguous_results_pass() -> None:
    check.close(Y.astype(np.float32), Y)
    check.close(Y[..., ::-1][..., ::-1], Y)
    check.close(torch.tensor(Y), Y)
    check.close(torch.tensor(Y).float(), Y)
    check.close(torch.nn.Parameter(torch.tensor(Y)), Y)
    with pytest.warns(PendingDeprecationWarning):
        check.close(np.matrix(Y[0, 0]), Y[0, 0])


def test_a_single_integer_may_stand_for_a_float_and_a_list_for_expected_numbers() -> None:
    check.close(0, 0.0)
    check.close(np.int64(3), 3.0)
    check.close(np.array([1.0, 2.0]), [1, 2])
    check.close(np.array([1.0, np.nan, -np.inf]), [1.0, np.nan, -np.inf])
    check.close(10**30, 1e400)


# --- exactly ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        (np.int64(3), 3),
        (np.array(3), 3),
        (torch.tensor(3), 3),
        (2**70, 2**70),
        (True, True),
        (np.True_, True),
        ("same", "same"),
        (None, None),
        ((1, 2), (1, 2)),
        (torch.Size([1, 2]), (1, 2)),
        ([1, (2, "a")], [1, (2, "a")]),
        (0.5, 0.5),
        (2, 2.0),
        (np.dtype("float32"), np.dtype("float32")),
        (np.array([1, 2], np.int32), np.array([1, 2])),
        (np.array([True, False]), np.array([True, False])),
    ],
)
def test_equal_accepts_what_is_equal(value: object, expected: object) -> None:
    check.equal(value, expected)


@pytest.mark.parametrize(
    ("value", "expected", "text"),
    [
        (4, 3, "size: got 4: off by one"),
        (7, 3, "size: got 7, which is not right"),
        (3.0, 3, "size: got 3.0, a float; expected an integer\nhint: // divides integers"),
        (True, 1, "size: got True, a bool; expected an integer"),
        (1, True, "size: got 1, an integer; expected a bool"),
        (None, 3, "size: returned None, expected an array or a number\nhint: is a `return`"),
        ("sam", "same", "size: got 'sam', which is not right"),
        (3, "same", "size: got 3, expected a string"),
        (3, None, "size: got 3, expected None"),
        (3, (3,), "size: expected a tuple of 1, got 3"),
        ([1, 2], (1, 2), "size: expected a tuple of 2, got an object of type list"),
        ((1, 5), (1, 2), "size, result 2 of 2: got 5, which is not right"),
        ("f4", np.dtype("f4"), "size: got 'f4', expected a dtype"),
        (np.dtype("f8"), np.dtype("f4"), "size: got an object of type Float64DType, which is"),
        (np.array([1.0]), np.array([1]), "size: dtype float64, expected int64\nhint: np.zeros"),
        (np.array([2**60 + 1, 0]), np.array([2**60, 0]), "size: 1 of 2 values is wrong"),
        (np.array([2, 0]), np.array([0, 2]), "flipped along axis 0"),
        (np.array([1]), 1, "size: shape (1,), expected (), a single number"),
        (2**70, 2**71, "size: got 1180591620717411303424, which is not right"),
        ("x" * 500, "y", f"size: got '{'x' * 56}..., which"),
    ],
)
def test_equal_refuses_what_only_looks_equal(value: object, expected: object, text: str) -> None:
    assert message(check.equal, value, expected, "size").startswith(text) or text in message(
        check.equal, value, expected, "size"
    )


# --- hostile and odd results --------------------------------------------------------------------


class EqualsAll:
    """Says yes to everything, and pretends to be an array."""

    __class__ = np.ndarray  # type: ignore[assignment]
    shape, dtype, ndim, size = Y.shape, Y.dtype, Y.ndim, Y.size

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __array__(self, dtype: object = None, copy: object = None) -> Any:
        return Y

    def __array_ufunc__(self, *args: object, **kwargs: object) -> bool:
        return True

    def __float__(self) -> float:
        return 1.0


class Explodes:
    """Raises in every hook that a comparison could touch."""

    def _boom(self, *args: object, **kwargs: object) -> Any:
        raise RuntimeError("boom")

    __array__ = __eq__ = __len__ = __bool__ = __iter__ = __repr__ = __str__ = _boom
    __getattr__ = __float__ = __index__ = __array_ufunc__ = __getitem__ = _boom
    __hash__ = None  # type: ignore[assignment]


class Meta(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError("boom")


class Nameless(metaclass=Meta):
    pass


class Tensor:
    """Named like torch's."""

    __module__ = "torch"

    def numpy(self, force: bool = False) -> Any:
        return Y


class SlyFloat(float):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = float.__hash__


class SlyArray(np.ndarray[Any, Any]):
    """An array with wrong numbers that compares equal to everything."""

    def __eq__(self, other: object) -> Any:
        return np.ones(self.shape, bool)

    def __array__(self, *args: object, **kwargs: object) -> Any:
        return Y

    def __array_ufunc__(self, *args: object, **kwargs: object) -> Any:
        return np.zeros(Y.shape)


ODD = [
    (None, "returned None, expected an array or a number\nhint: is a `return` missing?"),
    (NotImplemented, "returned NotImplemented: not written yet"),
    (..., "returned Ellipsis: not written yet"),
    (Y.tolist(), "returned a list, expected an array\nhint: return an array"),
    ((Y, Y), "returned a tuple of 2, expected one array or number"),
    (len, "returned a function, expected an array or a number\nhint: is a call's () missing?"),
    ("text", "returned an object of type str"),
    ({1: 2}, "returned an object of type dict"),
    (Y.astype(object), "an array of dtype object, expected numbers\nhint: is there a None in it"),
    (np.array(["a"]), "an array of dtype <U1, expected numbers"),
    (np.zeros(2, "i4,f4"), "an array of dtype ["),
    (np.datetime64("2020-01-01"), "an array of dtype datetime64[D]"),
    (np.ma.masked_array(Y, Y > 0), "returned a masked array"),
    (torch.tensor(Y).to_sparse(), "this tensor cannot become an array"),
    (EqualsAll(), "returned an object of type EqualsAll"),
    (Explodes(), "returned an object of type Explodes"),
    (Nameless(), "returned an object of type Nameless"),
    (Tensor(), "returned an object of type Tensor"),
    (SlyFloat(1.0), "returned an object of type SlyFloat"),
    ((y for y in Y), "returned an object of type generator"),
    ((Y + 1).view(SlyArray), "120 of 120 values are wrong"),
]


# By number: pytest would look into an object that raises, to find a name for the case.
@pytest.mark.parametrize("case", range(len(ODD)))
def test_what_is_no_array_of_numbers_is_refused_by_name(case: int) -> None:
    odd, phrase = ODD[case]
    text = message(check.close, odd, Y, "conv2d")
    assert text.startswith("conv2d: ")
    assert phrase in text


@pytest.mark.parametrize("case", range(len(ODD)))
@pytest.mark.parametrize(
    "compare",
    [
        lambda odd: check.equal(odd, 3),
        lambda odd: check.equal(odd, "word"),
        lambda odd: check.equal(odd, (1, 2, 3)),
        lambda odd: check.equal((odd, 1), (1, 1)),
        lambda odd: check.close((odd, Y), (Y, Y)),
        lambda odd: check.shape(odd, (9, 9)),
        lambda odd: check.unchanged(Y, odd),
        lambda odd: check.unchanged([Y], odd),
        lambda odd: check.unchanged({"w": Y}, {"w": odd}),
    ],
)
def test_no_odd_object_passes_or_breaks_a_check(
    compare: Callable[[object], None], case: int
) -> None:
    assert message(compare, ODD[case][0])


def test_comparing_with_what_is_no_array_is_said_so() -> None:
    assert "f: nothing to compare with\nf: returned None" in message(check.close, Y, None, "f")


# --- promises, on drawn arrays ------------------------------------------------------------------

unhurried = settings(deadline=None)  # a machine may be busy
floats = st.floats(-1e3, 1e3, width=32)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, max_side=5)
numbers = hnp.arrays(np.float64, shapes, elements=floats)
anything = hnp.arrays(
    hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
)


@unhurried
@given(anything)
def test_an_array_of_numbers_equals_itself(array: Any) -> None:
    assume(array.dtype.kind in "biufc")
    check.close(array, array.copy())
    check.close(array, array, rtol=0, atol=0)
    check.equal(array, array.copy())
    check.unchanged(array.copy(), array)


@unhurried
@given(numbers, st.data(), st.sampled_from([1.0, -1.0, 1e6]))
def test_any_single_wrong_value_fails_and_its_place_is_named(
    array: Any, data: st.DataObject, error: float
) -> None:
    index = data.draw(st.tuples(*(st.integers(0, n - 1) for n in array.shape)))
    wrong = array.copy()
    wrong[index] += error
    for compare in check.close, check.equal:
        text = message(compare, wrong, array, "f")
        if array.ndim:
            assert f"f: 1 of {array.size} value" in text
            assert f"at {list(index)}" in text
        else:
            assert "is wrong by" in text or "which is not right" in text


@unhurried
@given(numbers, st.data())
def test_nan_fails_and_its_place_is_named(array: Any, data: st.DataObject) -> None:
    index = data.draw(st.tuples(*(st.integers(0, n - 1) for n in array.shape)))
    wrong = array.copy()
    wrong[index] = np.nan
    for text in message(check.close, wrong, array), message(check.finite, wrong):
        assert "NaN" in text
        assert array.ndim == 0 or f"first at {list(index)}" in text


@unhurried
@given(anything, anything)
def test_a_check_passes_or_raises_check_failed_and_never_warns(got: Any, want: Any) -> None:
    assume(want.dtype.kind in "biufc")
    cases = [(got, want)]
    if want.size and got.size:
        cases.append((np.resize(got, want.shape), want))
    for compare in check.close, check.equal, check.unchanged:
        for a, e in cases:
            text = said(compare, a, e)
            assert text == "" or text.startswith(("result: ", "x: "))


MISTAKES: list[Callable[[Any], Any]] = [
    lambda y: y[::-1],
    lambda y: -y,
    lambda y: y / 3,
    lambda y: y + 1,
    lambda y: 0 * y,
    lambda y: y**2,
    lambda y: y * 1.001,
    np.rint,
    lambda y: y[None],
    lambda y: y.ravel()[:-1],
    lambda y: (y, y),
]


@unhurried
@given(st.integers(0, 2**32), hnp.array_shapes(max_dims=4, max_side=4), st.sampled_from(MISTAKES))
def test_expected_values_are_never_told(
    seed: int, shape: tuple[int, ...], mistake: Callable[[Any], Any]
) -> None:
    expected = np.random.default_rng(seed).standard_normal(shape) * 100
    text = said(check.close, mistake(expected), expected)
    told = [value for value in expected.flat if f"{abs(value):.4f}" in text]
    assert not told


@unhurried
@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=4, max_side=4), elements=floats), st.data())
def test_a_flip_is_always_called_a_flip(array: Any, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, array.ndim - 1))
    flipped = np.flip(array, axis)
    assume(np.abs(flipped - array).max() > 0.1)
    assert "flipped along" in message(check.close, flipped, array)


# --- the other checks ---------------------------------------------------------------------------


def test_shape_floating_and_finite_pass_and_fail() -> None:
    check.shape(Y, (2, 3, 4, 5))
    check.shape(np.ones(3), 3)
    check.shape(1.0, ())
    assert message(check.shape, Y[0], Y.shape, "conv2d").startswith(
        "conv2d: shape (3, 4, 5), expected (2, 3, 4, 5)\naxis 0, the batch, is missing"
    )
    check.floating(Y)
    check.floating(np.float32(1))
    assert "he: dtype int64, expected a floating one" in message(check.floating, np.arange(3), "he")
    check.finite(Y)
    check.finite(np.arange(3))
    bad = np.array([1.0, np.inf, np.nan])
    assert "2 of 3 values are NaN or infinite, first at [1]" in message(check.finite, bad)


def test_an_argument_changed_in_place_is_noticed() -> None:
    x = Y.copy()
    check.unchanged(Y, x, "x")
    x[0, 1, 2, 3] += 1
    text = message(check.unchanged, Y, x, "x")
    assert text.startswith("x: was changed in place: 1 of 120 values differ, first at [0, 1, 2, 3]")
    assert "float64 (120,)" in message(check.unchanged, Y, Y.reshape(-1), "x")
    assert "w['b'][0]: was changed" in message(
        check.unchanged, {"a": 1, "b": [Y]}, {"a": 1, "b": [x]}, "w"
    )
    assert "'a' is gone" in message(check.unchanged, {"a": Y}, {"b": Y})
    assert "its length or type differs" in message(check.unchanged, [Y], [Y, Y])
    assert "was changed" in message(check.unchanged, {"a": None}, {"a": 1})
    check.unchanged({"a": None, "b": ("s", 1)}, {"a": None, "b": ("s", 1)})


def reject(x: int, *, stride: int = 1) -> int:
    if x < 0:
        raise ValueError("x must not be negative")
    return x


def stub(*args: object, **kwargs: object) -> None:
    raise NotImplementedError


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("boom")


def mute() -> None:
    raise Mute


def test_raises_is_satisfied_by_the_right_exception_only() -> None:
    check.raises(ValueError, reject, -1)
    check.raises((KeyError, ValueError), reject, -1, stride=2)
    text = message(check.raises, ValueError, reject, 1)
    assert text.startswith("reject: nothing was raised, expected ValueError")
    text = message(check.raises, (KeyError, IndexError), reject, -1, what="conv2d")
    assert text == (
        "conv2d: raised ValueError: x must not be negative; expected KeyError or IndexError"
    )
    assert "raised Mute; expected ValueError" in message(check.raises, ValueError, mute)
    assert "raised SystemExit; expected ValueError" in message(check.raises, ValueError, sys.exit)


@pytest.mark.parametrize("asked", [Exception, RuntimeError, NotImplementedError, ValueError])
def test_a_stub_never_satisfies_raises(asked: type[Exception]) -> None:
    assert message(check.raises, asked, stub, 1) == ("stub: not written yet (NotImplementedError)")


@pytest.mark.parametrize("asked", [ValueError, TypeError, Exception])
def test_a_wrong_signature_never_satisfies_raises(asked: type[Exception]) -> None:
    text = message(check.raises, asked, reject, -1, padding=1)
    assert text.startswith(
        "reject: cannot be called: TypeError: reject() got an unexpected keyword"
    )
    assert "missing 1 required" in message(check.raises, asked, reject)
    assert "positional argument" in message(check.raises, asked, reject, 1, 2)


# --- in a notebook ------------------------------------------------------------------------------


def test_ipython_shows_the_message_and_no_traceback(tmp_path: Path) -> None:
    code = "from grader import check; check.close(2.0, 16.0, 'mse')"
    shell = [sys.executable, "-m", "IPython", "--HistoryManager.enabled=False", "-c", code]
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path)}
    done = subprocess.run(shell, capture_output=True, text=True, env=environment, timeout=60)
    shown = (done.stdout + done.stderr).strip()
    assert shown.startswith("mse: the value is wrong by 14.0\nyour result equals")
    assert "Traceback" not in shown
    assert "grader/check" not in shown


def test_check_imports_numpy_and_nothing_else_that_must_be_installed() -> None:
    code = (
        "import sys; from grader import check; "
        "print({m.split('.')[0] for m in sys.modules if sys.modules[m]}"
        " - set(sys.stdlib_module_names) - {'grader', 'numpy', '__mp_main__'})"
    )
    shell = [sys.executable, "-I", "-X", "frozen_modules=on", "-c", code]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60)
    left = {name for name in eval(done.stdout) if not name.startswith(("__editable__", "_"))}
    assert left <= {"sitecustomize", "usercustomize", "distutils-precedence"}
