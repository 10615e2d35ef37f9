"""What the functions that a pickle may name do here: build arrays, dtypes and OrderedDicts.

They stand for NumPy's and Python's own, check every argument, and take memory only for bytes
that the file has. `safe_pickle` calls them.
"""

import math
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

_MAX_DIMENSIONS = 32
_MAX_KEY_PARTS = 16
_KNOWN_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|[SU][1-9][0-9]{0,8}")
READ_KINDS = (
    "only dicts, lists, tuples, numbers, text, bytes and NumPy arrays of numbers or text are read"
)
REFUSED = "It is refused and nothing of it was run."

Claim = Callable[[int], None]
"""Counts bytes of memory that a step takes; raises `Fault` where they are too many."""


class Fault(Exception):
    """What is wrong with the file, as the rest of a sentence that begins with its name."""


class Global:
    """Stands for a function or class that the file may name."""

    __slots__ = ("make",)

    def __init__(self, make: "Callable[..., object] | None" = None) -> None:
        self.make = make


class Draft:
    """An array or dtype that is named, and whose state comes with a later BUILD step."""

    __slots__ = ("code", "value")

    def __init__(self, code: str | None) -> None:
        self.code = code  # of a dtype; None for an array
        self.value: np.ndarray | np.dtype | None = None


def _array_draft(_claim: Claim, kind: object, shape: object, code: object) -> Draft:
    """Stand for numpy's `_reconstruct`, which always starts from an empty array."""
    if kind is not _NDARRAY or not (_same(shape, (0,)) and (_same(code, "b") or _same(code, b"b"))):
        raise Fault(f"asks for an array that NumPy would not write. {REFUSED}")
    return Draft(None)


def array_of_state(
    claim: Claim,
    version: object,
    shape: object,
    dtype: object,
    is_fortran: object,
    data: object,
) -> np.ndarray:
    """Return the array of the state that `ndarray.__reduce__` writes."""
    if not _same(version, 1) or type(is_fortran) is not bool:
        raise Fault(f"holds an array of an unknown version. {REFUSED}")
    return _array(claim, data, dtype, shape, order="F" if is_fortran else "C")


def _array_of_buffer(
    claim: Claim,
    data: object,
    dtype: object,
    shape: object,
    order: object,
    axes: Any = None,
) -> np.ndarray:
    """Stand for numpy's `_frombuffer`, by which protocol 5 writes an array."""
    if _same(order, "K") and type(axes) is tuple:
        return _array(claim, data, dtype, shape, order="C").transpose(axes)
    if not (_same(order, "C") or _same(order, "F")):
        raise Fault(f"holds an array of an unknown order. {REFUSED}")
    return _array(claim, data, dtype, shape, order=str(order))


def _array(claim: Claim, data: object, dtype: object, shape: object, *, order: str) -> np.ndarray:
    """Return a new writable array of exactly the bytes given."""
    if isinstance(data, list):
        raise Fault(f"holds an array of Python objects; {READ_KINDS}. {REFUSED}")
    if not isinstance(dtype, np.dtype) or type(shape) is not tuple:
        raise TypeError("an array without dtype or shape")
    if len(shape) > _MAX_DIMENSIONS or not all(
        type(length) is int and 0 <= length < 1 << 62 for length in shape
    ):
        raise Fault("holds an array of an impossible shape; damaged.")
    raw = _bytes(claim, data)
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise Fault(
            f"holds an array of shape {shape} and dtype {dtype} with {len(raw):,} bytes of data; "
            "damaged."
        )
    claim(len(raw))
    array = np.frombuffer(raw, dtype).reshape(shape, order=order).copy(order="K")  # type: ignore[call-overload]
    _check_items(array)
    return array


def _scalar(claim: Claim, dtype: object, data: object) -> object:
    return _array(claim, data, dtype, (), order="C")[()]


def _check_items(array: np.ndarray) -> None:
    """Refuse bytes that are no value of the type, which NumPy itself would trust."""
    raw = array.reshape(-1, order="A")
    if array.dtype.kind == "b" and (raw.view(np.uint8) > 1).any():
        raise Fault("holds a bool array with values other than 0 and 1; damaged.")
    if array.dtype.kind == "U":
        units = raw.view(np.dtype("u4").newbyteorder(array.dtype.byteorder))  # type: ignore[arg-type]
        if ((units > 0x10FFFF) | ((units >= 0xD800) & (units < 0xE000))).any():
            raise Fault("holds a text array with impossible characters; damaged.")


def _bytes(claim: Claim, data: object) -> bytes:
    """Return data as bytes; Python 2's arrive as Latin-1 text."""
    if type(data) is str:
        claim(len(data))
        return data.encode("latin1")
    if type(data) is not bytes:
        raise TypeError("data that are no bytes")
    return data


def _dtype_draft(_claim: Claim, code: object, _align: object = 0, _copy: object = 1) -> Draft:
    """Stand for `numpy.dtype`."""
    if type(code) is not str or not _KNOWN_DTYPE.fullmatch(code):
        raise Fault(f"holds an array of dtype {shown(code)}; {READ_KINDS}. {REFUSED}")
    return Draft(code)


def dtype_of_state(code: str, version: object, byte_order: Any, *rest: object) -> np.dtype:
    """Return the dtype of the state that `dtype.__reduce__` writes for a plain type.

    The state repeats what the code says, but for the byte order; so its sizes are compared.
    """
    dtype = np.dtype(code)
    flexible = code[0] in "SU"
    sizes = (dtype.itemsize, dtype.alignment) if flexible else (-1, -1)
    plain = (None, None, None, *sizes)  # neither an item shape, nor field names, nor fields
    is_plain = _same(version, 3) and _same(rest[:5], plain) and len(rest) == 6
    if not is_plain or type(byte_order) is not str or byte_order not in ("<", ">", "|"):
        raise Fault(f"holds an array of a composed dtype; {READ_KINDS}. {REFUSED}")
    return dtype.newbyteorder(byte_order)  # type: ignore[arg-type]


def _encoded(claim: Claim, text: object, encoding: object) -> bytes:
    """Stand for `_codecs.encode`, by which protocol 2 writes bytes."""
    if not _same(encoding, "latin1"):
        raise Fault(f"asks for the codec {shown(encoding)}. {REFUSED}")
    return _bytes(claim, text)


def _ordered_dict(claim: Claim, pairs: object = ()) -> OrderedDict:
    """Stand for `OrderedDict`; Python 2 hands its items over as a list of pairs."""
    if type(pairs) not in (tuple, list):
        raise TypeError("an OrderedDict of no list")
    claim(8 * len(pairs))  # type: ignore[arg-type]
    return OrderedDict((checked_key(key), value) for key, value in pairs)  # type: ignore[attr-defined]


def _empty_bytes(_claim: Claim) -> bytes:
    """Stand for `bytes()`, by which protocol 2 writes b""."""
    return b""


_NDARRAY = Global()
GLOBALS = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): Global(_dtype_draft),
    ("_codecs", "encode"): Global(_encoded),
    ("collections", "OrderedDict"): Global(_ordered_dict),
    ("builtins", "bytes"): Global(_empty_bytes),
    ("__builtin__", "bytes"): Global(_empty_bytes),
}
for _core in ("numpy.core", "numpy._core"):  # renamed in NumPy 2
    GLOBALS[f"{_core}.multiarray", "_reconstruct"] = Global(_array_draft)
    GLOBALS[f"{_core}.multiarray", "scalar"] = Global(_scalar)
    GLOBALS[f"{_core}.numeric", "_frombuffer"] = Global(_array_of_buffer)


def checked_key(key: object) -> Any:
    """Return a key whose hash costs little: Python follows nested tuples without a limit."""
    parts = key if type(key) is tuple else (key,)
    if len(parts) > _MAX_KEY_PARTS or not all(map(_is_key_part, parts)):
        raise Fault(f"has a dict key that is no text, number or short tuple. {REFUSED}")
    return key


def _is_key_part(part: object) -> bool:
    if type(part) is int:
        return abs(part) < 1 << 64
    return isinstance(part, (str, bytes, float, bool, type(None), np.generic))


def _same(found: object, expected: object) -> bool:
    """Return whether both are equal and of one type; unlike ==, safe with arrays inside."""
    if type(found) is not type(expected):
        return False
    if isinstance(expected, tuple):
        assert isinstance(found, tuple)
        return len(found) == len(expected) and all(map(_same, found, expected))
    return bool(found == expected)


def shown(text: object) -> str:
    """Return a name out of the file as one short line."""
    if type(text) is not str:
        return f"<{type(text).__name__}>"
    return text if re.fullmatch(r"[\w.<>|]{1,100}", text, re.ASCII) else ascii(text[:60])
