"""Reader of IDX files, the format of MNIST and of its kin."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import numpy as np

_UNSIGNED_BYTE = 0x08


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, the kind that image data sets use.

    Args:
        path: File in IDX format, compressed by gzip or not.

    Returns:
        uint8 array of the shape that the file states.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is truncated, damaged or no IDX file of unsigned bytes; names
            the file.

    Example:
        >>> path = Path("labels-idx1-ubyte")
        >>> header = bytes([0, 0, 8, 1]) + (3).to_bytes(4, "big")
        >>> _ = path.write_bytes(header + bytes([7, 0, 9]))
        >>> read_idx(path)
        array([7, 0, 9], dtype=uint8)
    """
    content = Path(path).read_bytes()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(path, f"gzip says: {error}") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise _damaged(path, f"it starts with the bytes {content[:4].hex(' ')!r}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise _damaged(path, f"its header ends after {len(content)} bytes")
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    data = np.frombuffer(content, np.uint8, offset=start)
    # Python's integers: the product of four sizes may overflow NumPy's.
    expected = 1
    for size in shape:
        expected *= size
    if data.size != expected:
        raise _damaged(
            path, f"shape {shape} needs {expected} bytes of data, it has {data.size}"
        )
    return data.reshape(shape)


def _damaged(path: str | os.PathLike[str], reason: str) -> ValueError:
    return ValueError(
        f"Expected '{os.fspath(path)}' to be an IDX file of unsigned bytes, but "
        f"{reason}. It is damaged or something else: delete it, and get it again."
    )
