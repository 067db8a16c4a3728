"""Both file formats, from bytes to arrays; a file that breaks its format is named and refused."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from data.dataset import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CIFAR_SHAPE = (3, 32, 32)


def read_idx(content: bytes, dimensions: int, name: str) -> NDArray[np.uint8]:
    """An idx file of unsigned bytes as an array with so many dimensions, read-only.

    Four bytes 0, 0, 8 (unsigned byte), dimensions; each length as a big-endian 32-bit integer; then
    the values, last axis fastest (LeCun's description of MNIST). `name` is for messages.
    Raises DataError for another magic number or another length than the header announces.
    """
    import numpy as np

    magic = bytes([0, 0, 8, dimensions])
    if content[:4] != magic:
        raise DataError(
            f"{name}: not an idx file of bytes with {dimensions} dimensions: it begins with "
            f"{content[:4].hex(' ') or 'nothing'}, expected {magic.hex(' ')}"
        )
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise DataError(f"{name}: cut off in its header, {len(content)} bytes of {header}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise DataError(
            f"{name}: {len(content) - header} bytes of values, "
            f"its header announces {' x '.join(map(str, shape))} = {math.prod(shape)}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def read_cifar(content: bytes, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A batch of CIFAR-10's binary version: images (N, 3, 32, 32) and labels (N,), read-only.

    Each record is one label byte, then 3,072 bytes: red, green and blue plane, row by row.
    Raises DataError for an empty file and for a length that is no whole number of records.
    """
    import numpy as np

    record = 1 + math.prod(CIFAR_SHAPE)
    if not content or len(content) % record:
        raise DataError(
            f"{name}: {len(content)} bytes are no whole number of records of {record} bytes"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, record)
    return rows[:, 1:].reshape(-1, *CIFAR_SHAPE), rows[:, 0]
