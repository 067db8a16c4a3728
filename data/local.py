"""Files on this machine: the local data folder, plain or gzip files, and their checksums."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

from data.dataset import DataError

DATA_VARIABLE = "CNN_COURSE_DATA"
CACHE_VARIABLE = "CNN_COURSE_CACHE"


def data_folder(folder: str | Path | None) -> Path | None:
    """The folder asked for by argument or else by CNN_COURSE_DATA; None where neither is given.

    Raises DataError where the folder asked for does not exist.
    """
    asked = folder if folder is not None else os.environ.get(DATA_VARIABLE) or None
    if asked is None:
        return None
    root = Path(asked).expanduser()
    if not root.is_dir():
        by = "" if folder is not None else f" ({DATA_VARIABLE})"
        raise DataError(f"no folder {root}{by}: make it, or name the one that holds your data")
    return root


def cache_folder(cache: str | Path | None) -> Path:
    """Where downloads are kept: the argument, CNN_COURSE_CACHE, or the system's cache folder."""
    asked = cache if cache is not None else os.environ.get(CACHE_VARIABLE) or None
    if asked is not None:
        return Path(asked).expanduser()
    import pooch  # type: ignore[import-untyped, unused-ignore]  # ships no types

    return Path(pooch.os_cache("cnn-course"))


def find_set(root: Path, name: str) -> Path | None:
    """The set's folder: root/name, or else root/name-<number>, as a sample may be called."""
    candidates = [root / name, *sorted(root.glob(f"{name}-[0-9]*"))]
    return next((path for path in candidates if path.is_dir()), None)


def find_file(folder: Path, name: str) -> Path | None:
    """folder/name, or else folder/name.gz, or None."""
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def require_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The paths of all these files, plain or .gz. Raises DataError that lists those missing."""
    found = [(name, find_file(folder, name)) for name in names]
    missing = [name for name, path in found if path is None]
    if missing:
        raise DataError(f"{folder}: missing {', '.join(missing)} (plain or .gz)")
    return [path for _, path in found if path is not None]


def read_content(path: Path) -> bytes:
    """The file's content, unpacked where the name ends in .gz.

    Raises DataError where the file cannot be read, or the gzip data are cut off or damaged.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return file.read()
        return path.read_bytes()
    except EOFError as error:
        raise DataError(f"{path}: cut off, its gzip data end too early") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def md5(content: bytes) -> str:
    """The checksum that tells the official content; it guards against accidents, not attacks."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
