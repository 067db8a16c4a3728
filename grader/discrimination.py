"""How well an exercise, or a test, tells students apart: corrected item-total correlation.

Pearson's correlation of the points earned in one item with those earned in all others. The item
itself is taken out of the total: it would correlate with that by being a part of it (Henrysson
1963, Psychometrika 28). Where an item is right or wrong, this is the corrected point-biserial
correlation. The interval is Fisher's (1921), by the inverse hyperbolic tangent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 20  # students; of fewer any value may come by chance: at 20 it is sure to +- 0.44
CERTAINTY = 1.96  # standard errors on either side: 95 %


@dataclass(frozen=True)
class Discrimination:
    """A corrected item-total correlation, -1 to 1, and its 95 % interval."""

    value: float
    low: float
    high: float


def discrimination(item: Sequence[float], rest: Sequence[float]) -> Discrimination | None:
    """Return how points in `item` go with those in all other items, or None.

    None where there are too few students (`FEWEST`), or all earned the same in one of both.

    Args:
        item, rest: points of each student, in the same order.
    """
    n = len(item)
    if n < FEWEST or len(set(item)) == 1 or len(set(rest)) == 1:
        return None
    value = float(np.clip(np.corrcoef(item, rest)[0, 1], -1.0, 1.0))
    if abs(value) > 1 - 1e-9:
        return Discrimination(value, value, value)
    middle, wide = math.atanh(value), CERTAINTY / math.sqrt(n - 3)
    return Discrimination(value, math.tanh(middle - wide), math.tanh(middle + wide))
