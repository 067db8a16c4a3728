"""What every loader returns, and the one exception that the loaders raise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # NumPy is only needed once data are loaded: `import data` stays cheap.
    import numpy as np
    from numpy.typing import NDArray


class DataError(Exception):
    """Data that cannot be had or must not be used; the message says which file, why, what next."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Labelled images, all of one size.

    images       (N, C, H, W) float32 in [0, 1]
    labels       (N,) int64, indices into `class_names`
    class_names  one name a class
    source       one line: where the data came from and under which licence

    Raises DataError where the arrays are not as promised.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.ndim != 4 or images.dtype != "float32":
            raise DataError(f"images: {images.dtype} {images.shape}, expected float32 (N, C, H, W)")
        if labels.shape != images.shape[:1] or labels.dtype != "int64":
            raise DataError(
                f"labels: {labels.dtype} {labels.shape}, expected int64 ({len(images)},)"
            )
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.class_names):
            raise DataError(
                f"labels: {labels.min()} to {labels.max()}, expected 0 to "
                f"{len(self.class_names) - 1} for {len(self.class_names)} classes"
            )

    def __len__(self) -> int:
        """The number of images, N."""
        return len(self.images)

    def __repr__(self) -> str:
        size = "x".join(str(side) for side in self.images.shape[1:])
        return (
            f"<Dataset: {len(self)} images {size}, {len(self.class_names)} classes; {self.source}>"
        )
