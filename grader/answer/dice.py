"""The random numbers of this process: Python's, NumPy's, and torch's if it has been imported."""

from __future__ import annotations

import random
import sys

import numpy as np


def seed(number: int) -> None:
    """Begin to draw what belongs to `number`."""
    random.seed(number)
    np.random.seed(number % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(number)


class Dice:
    """The state of the random numbers, to come back to."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()
        self._torch = sys.modules["torch"].get_rng_state() if "torch" in sys.modules else None

    def restore(self) -> None:
        """Let them draw again what they drew since."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        if self._torch is not None:
            sys.modules["torch"].set_rng_state(self._torch)
