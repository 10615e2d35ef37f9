"""Pickle files read without trust: containers, numbers, text and NumPy arrays, nothing else.

Pickle is a program that builds its value; an ordinary loader runs whatever function the file
asks for. Here the names in the file lead to the stand-ins of `pickle_standins` alone, and
NumPy's own unpickling does not run either: arrays are built from bytes whose number has been
compared with shape and type. What a file may cost is bounded by its size.

Python's own unpickler is the base, not the faster one in C: its steps can be replaced one by
one, and its memo is a dict, so a huge memo index costs nothing.
"""

import itertools
import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from x3d_det.errors import DataError
from x3d_det.io.pickle_standins import (
    GLOBALS,
    READ_KINDS,
    REFUSED,
    Draft,
    Fault,
    Global,
    array_of_state,
    checked_key,
    dtype_of_state,
    shown,
)

DEFAULT_MAX_BYTES = 2 << 30

_MAX_STEPS = 32_000_000  # the proposals of AVA's training set take some six million
_MAX_DEPTH = 64
# What Python's unpickler meets in bytes that are no pickle, or a broken one.
_DAMAGE = (
    pickle.UnpicklingError, EOFError, ArithmeticError, AttributeError, LookupError, MemoryError,
    RecursionError, TypeError, ValueError, struct.error,
)  # fmt: skip


def load_plain_pickle(
    path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES
) -> object:
    """Return the value of a pickle file that holds plain data, whoever wrote it.

    Dicts, OrderedDicts, lists, tuples, None, bool, numbers of at most 64 bits, str, bytes;
    NumPy arrays (writable copies), scalars and dtypes of bool, integers, floats of 2 to 8
    bytes, complex numbers, `S` and `U` text. Protocols 0 to 5; the `str` of Python 2 is
    read as Latin-1, one character a byte.

    Args:
        path: the file.
        max_bytes: size of the largest file that is read; the value, with what it holds
            several times counted as often, is no larger either.

    Raises:
        DataError: the file is missing, too large, empty, cut short, damaged, no pickle,
            nested too deeply, or asks for anything else, which it names.
    """
    data = _read_bytes(path, max_bytes)
    unpickler = _PlainUnpickler(data)
    try:
        value = unpickler.load()
        if unpickler.read(1):
            raise Fault("goes on behind the end of its value; it is refused as damaged.")
        _Auditor(max_bytes).weigh(value, 0)
    except Fault as fault:
        raise DataError(f"pickle file {path} {fault}") from None
    except _DAMAGE as error:
        raise DataError(
            f"pickle file {path} is cut short, damaged or no pickle ({len(data):,} bytes that "
            f"start with {data[:8]!r}): {_reason(error)}. Copy or download it again."
        ) from None
    return value


def _read_bytes(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    try:
        num_bytes = os.stat(path).st_size
        if num_bytes > max_bytes:
            raise DataError(
                f"pickle file {path} has {num_bytes:,} bytes; at most {max_bytes:,} are read."
            )
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"pickle file {path} does not exist.") from None
    except OSError as error:
        raise DataError(f"pickle file {path} cannot be read: {error.strerror}.") from None
    if not data:
        raise DataError(f"pickle file {path} is empty (0 bytes).")
    return data


_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined, unused-ignore]


class _PlainUnpickler(_PythonUnpickler):
    """Carries out the harmless steps of a pickle; every other one is a `Fault`."""

    def __init__(self, data: bytes) -> None:
        super().__init__(BytesIO(data), encoding="latin1")
        self.dispatch = _Steps(_STEPS)
        # Data of an array stands in the file once; Python 2 and protocol 2 need a second copy.
        self._free_bytes = 2 * len(data) + 1024

    def find_class(self, module: str, name: str) -> Global:
        """Return the stand-in of an allowed name; nothing is imported."""
        found = GLOBALS.get((module, name))
        if found is None:
            raise Fault(f"asks for {shown(f'{module}.{name}')}; {READ_KINDS}. {REFUSED}")
        return found

    def claim(self, num_bytes: int) -> None:
        """Count memory that one step takes beyond a few bytes; a file may not ask without end."""
        self._free_bytes -= num_bytes
        if self._free_bytes < 0:
            raise Fault(
                "builds more from the same bytes than it has; it is refused as damaged or hostile."
            )

    def step_reduce(self) -> None:
        """Call an allowed function with the tuple on top of the stack."""
        arguments = self.stack.pop()
        function = self.stack[-1]
        if type(function) is not Global or function.make is None:
            raise Fault(f"calls what is no allowed function. {REFUSED}")
        self.stack[-1] = function.make(self.claim, *arguments)

    def step_build(self) -> None:
        """Finish the array or dtype below the state on top of the stack."""
        state = self.stack.pop()
        draft = self.stack[-1]
        if type(draft) is not Draft or draft.value is not None:
            raise Fault(f"sets the state of what is no new array or dtype. {REFUSED}")
        if draft.code is None:
            draft.value = array_of_state(self.claim, *state)
        else:
            draft.value = dtype_of_state(draft.code, *state)
        self.stack[-1] = draft.value

    def step_get(self, plain_step: Callable[[Any], None]) -> None:
        """Fetch from the memo; what was put there as a draft comes back finished."""
        plain_step(self)
        found = self.stack[-1]
        if type(found) is Draft:
            if found.value is None:
                raise Fault(f"uses an array or dtype before its state. {REFUSED}")
            self.stack[-1] = found.value

    def step_dict(self) -> None:
        """Make a dict of the items above the mark."""
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    def step_setitem(self) -> None:
        """Put one key and value into the dict below them."""
        value = self.stack.pop()
        key = self.stack.pop()
        self._fill([key, value])

    def step_setitems(self) -> None:
        """Put the keys and values above the mark into the dict below it."""
        self._fill(self.pop_mark())

    def _fill(self, items: Sequence[Any]) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict):
            raise Fault("sets items of what is no dict; damaged.")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[checked_key(key)] = value

    def step_bytearray8(self) -> None:
        """Read as bytes: Python's own step takes the announced memory before it looks."""
        (num_bytes,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(num_bytes))

    def step_inst(self) -> None:
        """Refuse, with the name asked for."""
        module, name = (self.readline()[:-1].decode("ascii", "replace") for _ in range(2))
        self.find_class(module, name)
        raise Fault(f"makes an object of {shown(f'{module}.{name}')}. {REFUSED}")


class _Steps(dict):
    """Opcode -> step, which refuses those that are not there and counts all."""

    num_steps = 0

    def __getitem__(self, opcode: int) -> Callable[[_PlainUnpickler], None]:
        self.num_steps += 1
        if self.num_steps > _MAX_STEPS:
            raise Fault(f"takes more than {_MAX_STEPS:,} steps to load; it is refused.")
        return super().__getitem__(opcode)

    def __missing__(self, opcode: int) -> Callable[[_PlainUnpickler], None]:
        if self.num_steps == 1 or opcode not in _OPCODE_NAMES:
            raise LookupError(f"there is no opcode 0x{opcode:02x}")
        raise Fault(f"uses the opcode {_OPCODE_NAMES[opcode]}; {READ_KINDS}. {REFUSED}")


def _getter(plain_step: Callable[[Any], None]) -> Callable[[_PlainUnpickler], None]:
    return lambda unpickler: unpickler.step_get(plain_step)


_OPCODE_NAMES = {
    value[0]: name
    for name, value in vars(pickle).items()
    if name in pickle.__all__ and isinstance(value, bytes) and len(value) == 1
}
_PLAIN_STEPS = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE "
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 "
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT "
    "PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL"
)


def _make_steps() -> dict[int, Callable[[Any], None]]:
    python_steps = _PythonUnpickler.dispatch
    plain = (getattr(pickle, name)[0] for name in _PLAIN_STEPS.split())
    steps = {code: python_steps[code] for code in plain}
    for code in (pickle.GET, pickle.BINGET, pickle.LONG_BINGET):
        steps[code[0]] = _getter(python_steps[code[0]])
    own: dict[bytes, Callable[[Any], None]] = {
        pickle.REDUCE: _PlainUnpickler.step_reduce,
        pickle.BUILD: _PlainUnpickler.step_build,
        pickle.DICT: _PlainUnpickler.step_dict,
        pickle.SETITEM: _PlainUnpickler.step_setitem,
        pickle.SETITEMS: _PlainUnpickler.step_setitems,
        pickle.BYTEARRAY8: _PlainUnpickler.step_bytearray8,
        pickle.INST: _PlainUnpickler.step_inst,
    }
    return steps | {code[0]: step for code, step in own.items()}


_STEPS = _make_steps()


class _Auditor:
    """Looks at a finished value: depth, loops, and its size with all that is shared repeated."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._weights: dict[int, int | None] = {}  # None while its items are being looked at

    def weigh(self, value: object, depth: int) -> int:
        """Return about how many bytes the value takes."""
        kind = type(value)
        if kind not in (dict, OrderedDict, list, tuple):
            return _leaf_bytes(value)
        place = id(value)
        if place in self._weights:
            known = self._weights[place]
            if known is None:
                raise Fault("holds a container that contains itself; it is refused.")
            return known
        if depth >= _MAX_DEPTH:
            raise Fault(f"is nested deeper than {_MAX_DEPTH} levels; it is refused.")
        self._weights[place] = None
        items: Iterable[object] = value  # type: ignore[assignment]
        if isinstance(value, dict):
            items = itertools.chain(value, value.values())
        weight = 8 + sum(self.weigh(item, depth + 1) for item in items)
        if weight > self._max_bytes:
            raise Fault(
                f"repeats its parts until they take more than {self._max_bytes:,} bytes; it is "
                "refused."
            )
        self._weights[place] = weight
        return weight


def _leaf_bytes(value: object) -> int:
    if isinstance(value, str):
        if not value.isascii():
            value.encode()  # half a surrogate pair could be neither printed nor written
        return len(value)
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.nbytes
    if value is None or isinstance(value, (bool, float, np.dtype)):
        return 8
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise Fault("holds a whole number of more than 64 bits; it is refused.")
        return 8
    raise Fault(f"ends in what is no value. {REFUSED}")


def _reason(error: BaseException) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return text if len(text) <= 100 and text.isprintable() else type(error).__name__
