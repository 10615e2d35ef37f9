"""Plain values and arrays, and pickles of them that are right or wrong."""

import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from x3d_det.errors import DataError
from x3d_det.io.safe_pickle import load_plain_pickle

PLAIN = {
    "text": "schön",
    "bytes": [b"", b"\x00\xff"],
    "numbers": [0, -1, 255, 1 << 63, -(1 << 63), 2.5, float("inf"), True, None],
    "nested": [((1, (2,)), [{}, []], ())],
    7: OrderedDict([("b", 1), (("a", 902), 2)]),
}
ARRAYS = {
    "rows": np.arange(6.0).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "turned": np.arange(24, dtype=">i2").reshape(2, 3, 4).transpose(1, 0, 2),
    "empty": np.zeros((0, 5), np.float32),
    "one": np.array(3, np.uint8),
    "half": np.array([0.5], np.float16),
    "complex": np.array([1j]),
    "bool": np.array([True, False]),
    "text": np.array(["v", "schön"]),
    "swapped": np.array(["né"], ">U2"),
    "bytes": np.array([b"ab", b""]),
}


def load_bytes(tmp_path: Path, content: bytes, **options: int) -> object:
    """Return the value of a file of these bytes."""
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    return load_plain_pickle(path, **options)


def error_of(tmp_path: Path, content: bytes, **options: int) -> str:
    """Return why a file of these bytes is refused: one line that names the file."""
    with pytest.raises(DataError) as caught:
        load_bytes(tmp_path, content, **options)
    text = str(caught.value)
    assert text.startswith(f"pickle file {tmp_path / 'x.pkl'} ")
    assert "\n" not in text
    return text


def array_pickle(shape: bytes, data: bytes, dtype: bytes = b"f8", state: bytes = b"") -> bytes:
    """Return a protocol 0 pickle of one array from its pieces, right or wrong."""
    state = state or b"(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    return (
        b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n" + shape + b"cnumpy\ndtype\n(S'" + dtype + b"'\nI00\nI01\ntR" + state + b"I00\n"
        b"B" + struct.pack("<I", len(data)) + data + b"tb."
    )
