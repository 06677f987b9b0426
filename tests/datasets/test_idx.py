"""The reader of IDX files, on files that the tests write byte by byte."""

import gzip

import numpy as np
import pytest

from keras_rbcn.datasets import read_idx

# Magic number (unsigned bytes, 2 axes), sizes 2 and 3, six bytes of data.
MATRIX = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255])
COMPRESSED = gzip.compress(MATRIX)

DAMAGED = {
    "empty": (b"", "starts with"),
    "two_bytes": (b"\0\0", "starts with"),
    "html": (b"<html>not found</html>", "starts with the bytes '3c 68 74 6d'"),
    "floats": (bytes([0, 0, 13]) + MATRIX[3:], "starts with"),
    "half_header": (MATRIX[:7], "header ends after 7 bytes"),
    "short": (MATRIX[:-1], r"shape \(2, 3\) needs 6 bytes of data, it has 5"),
    "long": (MATRIX + b"\0", r"shape \(2, 3\) needs 6 bytes of data, it has 7"),
    "huge_shape": (bytes([0, 0, 8, 4]) + b"\xff" * 16, "bytes of data, it has 0"),
    "gzip_short": (COMPRESSED[:-9], "gzip says"),
    "gzip_header": (COMPRESSED[:12], "gzip says"),
    "gzip_checksum": (COMPRESSED[:-8] + b"\0" * 8, "gzip says"),
    "gzip_of_short": (gzip.compress(MATRIX[:-1]), "it has 5"),
}


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_reads_plain_and_compressed_files(tmp_path, compress):
    path = tmp_path / "matrix-idx2-ubyte"
    path.write_bytes(compress(MATRIX))
    found = read_idx(str(path))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [[1, 2, 3], [4, 5, 255]])


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_files_are_refused_by_name(tmp_path, damage):
    content, reason = DAMAGED[damage]
    path = tmp_path / "damaged-idx2-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"damaged-idx2-ubyte\.gz.*{reason}.*delete"):
        read_idx(path)


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "truncated.gz"
    for whole in (MATRIX, COMPRESSED):
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=r"truncated\.gz"):
                read_idx(path)


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "missing")
