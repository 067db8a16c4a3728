"""Wrong values that are the expected ones times a factor, plus an amount, or both.

These are relations as the module `values` describes them.
"""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from grader.check.arrays import Array, Same, axis_words, varied
from grader.check.failures import Finding


def multiplied(got: Array, want: Array, same: Same) -> Finding | None:
    """One factor for all, named if it is a known number."""
    factor = float((got * want).sum() / (want * want).sum())
    if not math.isfinite(factor) or same(got, -want) or not same(got, factor * want):
        return None
    words, hint = _factor_words(abs(factor), want)
    # Of a single number every other is some multiple, and a factor near 1 may be any small error.
    if not words and (not varied(want) or abs(factor - 1) < 1e-2):
        return None
    sign = "-" if factor < 0 else ""
    return f"the expected one times {sign}{words or f'{abs(factor):.4g}'}", hint


def along_an_axis(got: Array, want: Array, same: Same) -> Finding | None:
    """An amount, a factor, or both: one for all, or one for each index of an axis."""
    if want.size < 2:
        return None
    found = (_factor_and_amount(got, want, rest, each, same) for rest, each in _slicings(want))
    return next(filter(None, found), None)


def _slicings(want: Array) -> Iterator[tuple[tuple[int, ...], str]]:
    """The axes that share one factor or amount, and in words what has its own."""
    yield tuple(range(want.ndim)), ""
    likely = (1, want.ndim - 1) if want.ndim > 1 else ()  # channels of images and of dense layers
    for k in dict.fromkeys((*likely, *range(want.ndim))):
        if want.shape[k] > 1 and want.size >= 2 * want.shape[k]:
            rest = tuple(i for i in range(want.ndim) if i != k)
            yield rest, f" for each index of {axis_words([k], want.ndim)}"


def _factor_and_amount(
    got: Array, want: Array, rest: tuple[int, ...], each: str, same: Same
) -> Finding | None:
    """Least squares over the axes `rest`."""
    mean_got, mean = got.mean(rest, keepdims=True), want.mean(rest, keepdims=True)
    if same(got, want + (mean_got - mean)):
        return f"the expected one plus one amount{each}", "is a bias missing, or added twice?"
    power = (want**2).sum(rest, keepdims=True)
    factor = (got * want).sum(rest, keepdims=True) / np.where(power > 0, power, 1)
    if same(got, factor * want):
        # A slice with one value in it is always a multiple; and 0 rather means "not filled".
        enough = (want != 0).sum(rest, keepdims=True) > 1
        sure = (enough & (factor != 0)) | (abs(factor - 1) < 1e-5) | (power == 0)
        hint = "what is each of these slices multiplied with, or divided by?"
        # One factor for all is for multiplied() to say.
        return (f"the expected one times one factor{each}", hint) if each and sure.all() else None
    if want.size < 6 * mean.size:
        return None
    spread = ((want - mean) ** 2).sum(rest, keepdims=True)
    slope = ((got - mean_got) * (want - mean)).sum(rest, keepdims=True) / spread
    if (slope == 0).any() or not same(got, slope * (want - mean) + mean_got):
        return None
    common = float(slope.mean())
    if not same(got, common * (want - mean) + mean_got):
        hint = "are mean, scale and shift the right ones, and in the right place?"
        return f"the expected one times one factor and plus one amount{each}", hint
    words, hint = _factor_words(common, want)
    return f"the expected one times {words or f'{common:.4g}'} and plus one amount{each}", hint


def _factor_words(factor: float, want: Array) -> tuple[str, str]:
    """The known number that `factor` is (or nothing), and a hint."""

    def near(value: float) -> bool:
        return math.isclose(factor, value, rel_tol=3e-6)

    if not 1e-6 < factor < 1e6:
        return "", ""
    sizes = {f"axis {k}": n for k, n in enumerate(want.shape)}
    sizes |= {"the last two axes": math.prod(want.shape[-2:]), "the whole array": want.size}
    for power, text in (1, "{}"), (-1, "1/{}"):
        n = round(factor**power)
        named = [name for name, size in sizes.items() if size == n]
        if n < 2 or not near(float(n) ** power) or (n > 1000 and not named):
            continue
        if n in (255, 256) and not named:
            return text.format(n), "how often are pixels divided by 255?"
        of = f" ({n} is also the size of {' and of '.join(named[:2])})" if named else ""
        return text.format(n) + of, "a mean where a sum is wanted, or the other way round?"
    for base in (2, 10):
        for power, text in (1, f"log({base})"), (-1, f"1/log({base})"):
            if near(math.log(base) ** power):
                return text, "which base does the logarithm have?"
    for text, ratio in ("{}", Fraction(factor)), ("sqrt({})", Fraction(factor**2)):
        ratio = ratio.limit_denominator(50)
        if varied(want) and near(float(ratio) if text == "{}" else math.sqrt(ratio)):
            by_one = abs(ratio.numerator - ratio.denominator) == 1
            return text.format(ratio), "is n - 1 wanted, or n?" if by_one else ""
    return "", ""
