"""How well an item tells students apart: a value reckoned by hand, and SciPy's beside ours."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats

from grader.discrimination import FEWEST, Discrimination, discrimination


def found(item: list[float], rest: list[float]) -> Discrimination:
    """Return the discrimination, which must be known."""
    result = discrimination(item, rest)
    assert result is not None
    return result


def test_a_case_reckoned_by_hand() -> None:
    """Of 20 students 10 pass; those have 2 or 4 points elsewhere, the others 0 or 2.

    Means of the rest 3 and 1, its standard deviation sqrt(2), half pass: the point-biserial
    correlation is (3 - 1) / sqrt(2) * sqrt(1/2 * 1/2) = 1 / sqrt(2).
    """
    item = [1.0] * 10 + [0.0] * 10
    rest = [2.0, 4.0] * 5 + [0.0, 2.0] * 5
    result = found(item, rest)
    assert result.value == pytest.approx(1 / math.sqrt(2))
    # Fisher: atanh(0.7071) = 0.8814; 1.96 / sqrt(17) = 0.4754; tanh of 0.4060 and of 1.3567
    assert (result.low, result.high) == pytest.approx((0.3851, 0.8757), abs=1e-4)


def test_it_is_scipys_correlation_and_interval() -> None:
    rng = np.random.default_rng(0)
    item = rng.integers(0, 4, 50).astype(float)
    rest = item + rng.normal(0, 2, 50)
    theirs = stats.pearsonr(item, rest)
    ours, interval = found(list(item), list(rest)), theirs.confidence_interval(0.95)
    assert ours.value == pytest.approx(theirs.statistic)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=1e-4)


def test_an_item_that_the_best_fail_is_below_zero() -> None:
    item = [float(n < FEWEST // 2) for n in range(FEWEST)]
    rest = [float(n) for n in range(FEWEST)]
    assert found(item, rest).high < 0


def test_a_perfect_correlation_has_an_interval_of_one_point() -> None:
    points = [float(n) for n in range(FEWEST)]
    assert found(points, points) == Discrimination(1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("item", "rest"),
    [
        ([], []),
        ([0.0, 1.0] * (FEWEST // 2 - 1), [0.0, 1.0] * (FEWEST // 2 - 1)),
        ([1.0] * FEWEST, [float(n) for n in range(FEWEST)]),
        ([float(n) for n in range(FEWEST)], [0.0] * FEWEST),
    ],
    ids=["nobody", "too few", "all earned the same here", "all earned the same elsewhere"],
)
def test_where_it_would_mean_nothing_there_is_none(item: list[float], rest: list[float]) -> None:
    assert discrimination(item, rest) is None


def test_the_interval_holds_the_true_value_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(1), 0
    for _ in range(1000):
        item, noise = rng.normal(size=(2, 30))
        result = found(list(item), list(0.5 * item + math.sqrt(0.75) * noise))
        hits += result.low <= 0.5 <= result.high
    assert 0.93 < hits / 1000 < 0.97


def test_students_order_does_not_matter() -> None:
    pairs = [(float(n % 3), float(n)) for n in range(30)]
    mixed = random.Random(0).sample(pairs, len(pairs))
    one, other = (found([a for a, _ in p], [b for _, b in p]) for p in (pairs, mixed))
    assert one.value == pytest.approx(other.value)
