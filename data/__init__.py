"""Data sets of the course: see data/README.md.

Nothing is read, drawn or downloaded before a loader is called.
"""

from data.bundled import digits, photograph
from data.dataset import DataError, Dataset
from data.drawing import glyphs
from data.measurements import Measured, measured
from data.official import cifar10, fashion_mnist, mnist

__all__ = [
    "DataError",
    "Dataset",
    "Measured",
    "cifar10",
    "digits",
    "fashion_mnist",
    "glyphs",
    "measured",
    "mnist",
    "photograph",
]
