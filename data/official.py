"""MNIST, Fashion-MNIST and CIFAR-10, from a local folder, the cache or a download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data.cache import alone, fetch, unpack
from data.dataset import DataError, Dataset
from data.formats import read_cifar, read_idx
from data.local import (
    cache_folder,
    data_folder,
    find_file,
    find_set,
    md5,
    read_content,
    require_files,
)
from data.origins import CIFAR10, FASHION_MNIST, MNIST, Origin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Place = str | Path | None

SIDE = 28  # pixels, MNIST and Fashion-MNIST
CLASSES = "batches.meta.txt"  # beside CIFAR's batches: one class name a line


def mnist(split: str = "train", *, folder: Place = None) -> Dataset:
    """MNIST: "train" (60000, 1, 28, 28) or "test" (10000, 1, 28, 28), ink 1 on paper 0.

    folder  a local data folder that holds mnist/; default CNN_COURSE_DATA. Files that are not the
            official ones are read from there only, and `source` says so. Where it holds no mnist/,
            or none is given, the official files come from the cache or are downloaded (11 MB).

    Raises DataError for an unknown split, for missing or damaged files, and without a connection.
    """
    return load_idx(MNIST, split, folder=folder)


def fashion_mnist(split: str = "train", *, folder: Place = None) -> Dataset:
    """Fashion-MNIST: "train" (60000, 1, 28, 28) or "test" (10000, 1, 28, 28), background 0.

    As `mnist`, with fashion-mnist/ as the local folder and 30 MB to download.
    """
    return load_idx(FASHION_MNIST, split, folder=folder)


def cifar10(split: str = "train", *, folder: Place = None) -> Dataset:
    """CIFAR-10: "train" (50000, 3, 32, 32) or "test" (10000, 3, 32, 32); red, green, blue.

    As `mnist`, with cifar-10-batches-bin/ as the local folder and 170 MB to download. A local
    folder may hold some of the training batches only; `source` says how many there were.
    """
    return load_cifar(CIFAR10, split, folder=folder)


def load_idx(
    origin: Origin,
    split: str,
    *,
    folder: Place = None,
    cache: Place = None,
    progress: bool = True,
) -> Dataset:
    """A set of two idx files a split, images (N, 28, 28) and labels (N,). See `mnist`."""
    names = _names(origin, split)
    place = _local(origin, folder)
    if place is not None:
        paths = require_files(place, names)
    else:
        remotes = {remote.name: remote for remote in origin.remotes}
        store = cache_folder(cache) / origin.folder
        paths = [fetch(remotes[f"{name}.gz"], store, progress=progress) for name in names]
    contents = [read_content(path) for path in paths]
    images = read_idx(contents[0], 3, str(paths[0]))
    labels = read_idx(contents[1], 1, str(paths[1]))
    if images.shape[1:] != (SIDE, SIDE):
        size = " x ".join(map(str, images.shape[1:]))
        raise DataError(f"{paths[0]}: images of {size} pixels, expected {SIDE} x {SIDE}")
    if len(images) != len(labels):
        raise DataError(f"{paths[0]}: {len(images)} images, but {paths[1]}: {len(labels)} labels")
    _check_labels(labels, origin, paths[1])
    source = _source(origin, split, place, _others(origin, names, contents))
    return _dataset(origin, images[:, None], labels, source)


def load_cifar(
    origin: Origin,
    split: str,
    *,
    folder: Place = None,
    cache: Place = None,
    progress: bool = True,
) -> Dataset:
    """A set of batches in CIFAR-10's binary format. See `cifar10`."""
    import numpy as np

    names = _names(origin, split)
    place = _local(origin, folder)
    if place is not None:
        present = [name for name in names if find_file(place, name)]
        paths = require_files(place, present or names)
        _check_classes(place, origin)
    else:
        present = list(names)
        paths = _cifar_cache(origin, cache_folder(cache), names, progress=progress)
    contents = [read_content(path) for path in paths]
    batches = [read_cifar(c, str(path)) for c, path in zip(contents, paths, strict=True)]
    for (_, labels), path in zip(batches, paths, strict=True):
        _check_labels(labels, origin, path)
    source = _source(origin, split, place, _others(origin, present, contents))
    if len(present) < len(names):
        source += f"; {len(present)} of {len(names)} batches: {', '.join(present)}"
    images = np.concatenate([images for images, _ in batches])
    return _dataset(origin, images, np.concatenate([labels for _, labels in batches]), source)


def _names(origin: Origin, split: str) -> tuple[str, ...]:
    if split not in origin.splits:
        known = " and ".join(f'"{name}"' for name in origin.splits)
        raise DataError(f"{origin.name}: no split {split!r}; there are {known}")
    return origin.splits[split]


def _local(origin: Origin, folder: Place) -> Path | None:
    root = data_folder(folder)
    return find_set(root, origin.folder) if root else None


def _cifar_cache(
    origin: Origin, cache: Path, names: tuple[str, ...], *, progress: bool
) -> list[Path]:
    """The unpacked batches in the cache, downloaded where one is missing or damaged."""
    target = cache / origin.folder
    paths = [target / name for name in names]

    def whole() -> bool:
        return all(p.is_file() and md5(read_content(p)) == origin.md5[p.name] for p in paths)

    if not whole():
        with alone(cache, origin.folder):
            if not whole():  # another process may have been faster
                archive = fetch(origin.remotes[0], cache, progress=progress)
                unpack(archive, origin.md5, target)
                archive.unlink()  # the batches are whole: 170 MB less to keep
    return paths


def _others(origin: Origin, names: Sequence[str], contents: Sequence[bytes]) -> list[str]:
    """The names of those files that are not the published ones."""
    return [n for n, c in zip(names, contents, strict=True) if md5(c) != origin.md5[n]]


def _source(origin: Origin, split: str, place: Path | None, others: list[str]) -> str:
    local = f" in the local folder {place.name}" if place is not None else ""
    files = f"not the official files: {', '.join(others)}" if others else "official files"
    return f"{origin.name} {split}, {files}{local}; {origin.about}"


def _check_labels(labels: NDArray[np.uint8], origin: Origin, path: Path) -> None:
    classes = len(origin.class_names)
    if not labels.size:
        raise DataError(f"{path}: no images in it")
    if labels.max() >= classes:
        where = int((labels >= classes).argmax())
        raise DataError(
            f"{path}: label {labels[where]} of image {where}, expected 0 to {classes - 1}"
        )


def _check_classes(place: Path, origin: Origin) -> None:
    path = find_file(place, CLASSES)
    if path is None:
        return
    names = tuple(read_content(path).decode("utf-8", "replace").split())
    if names != origin.class_names:
        raise DataError(f"{path}: classes {names}, expected {origin.class_names}")


def _dataset(
    origin: Origin, images: NDArray[np.uint8], labels: NDArray[np.uint8], source: str
) -> Dataset:
    import numpy as np

    return Dataset(
        images=np.divide(images, np.float32(255), dtype=np.float32),
        labels=labels.astype(np.int64),
        class_names=origin.class_names,
        source=source,
    )
