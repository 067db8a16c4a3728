"""Real images that ship inside scikit-learn: no download, no folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.dataset import Dataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def digits() -> Dataset:
    """Handwritten digits, images (1797, 1, 8, 8) with values k/16, k = 0 ... 16, in [0, 1].

    The test part of the UCI "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998):
    32x32 bitmaps, ink pixels counted in 4x4 blocks. Ink is 1, paper is 0.
    """
    import numpy as np
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Dataset(
        images=(bunch.images[:, None] / 16).astype(np.float32),
        labels=bunch.target.astype(np.int64),
        class_names=tuple("0123456789"),
        source="scikit-learn load_digits: UCI Optical Recognition of Handwritten Digits, "
        "Alpaydin & Kaynak 1998 (CC BY 4.0)",
    )


def photograph() -> NDArray[np.uint8]:
    """A photograph of a Chinese temple, (427, 640, 3) uint8, red, green and blue in 0 ... 255.

    scikit-learn's china.jpg, by danielbuechele (CC BY 2.0). Each call gives a fresh array.
    """
    import numpy as np
    from sklearn.datasets import load_sample_image

    return np.array(load_sample_image("china.jpg"), dtype=np.uint8)
