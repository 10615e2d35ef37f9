"""A look through a checkpoint's pickle before torch reads it: plain data or an error."""

import os
import pickle
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import IO, Any

import torch

from x3d_det.errors import CheckpointError

_ITEM_BYTES = {
    "BFloat16Storage": 2,
    "BoolStorage": 1,
    "ByteStorage": 1,
    "CharStorage": 1,
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "IntStorage": 4,
    "LongStorage": 8,
    "ShortStorage": 2,
    "UntypedStorage": 1,
}


class PickleScanner(pickle._Unpickler):  # type: ignore[name-defined, misc, unused-ignore]
    """Walk through a checkpoint's pickle with inert stand-ins and check every tensor.

    Python's own unpickler, not the faster one in C: its memo is a dict, so a huge
    memo index costs nothing.
    """

    def __init__(
        self, path: str | os.PathLike[str], file: IO[bytes], record_bytes: Mapping[str, int]
    ) -> None:
        super().__init__(file)
        self._path = path
        self._record_bytes = record_bytes

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in for plain data; refuse every other name."""
        if module in ("torch", "torch.storage") and name in _ITEM_BYTES:
            return ("storage type", _ITEM_BYTES[name])
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("collections", "Counter"):  # a learning-rate schedule's steps
            return Counter
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._check_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _nothing
        if (module, name) == ("torch", "Size"):
            return tuple
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return None
        raise CheckpointError(
            f"checkpoint {self._path} asks for {module}.{name}; a checkpoint may hold tensors, "
            "numbers, text, lists and dicts only. It is refused and nothing of it was run."
        )

    def persistent_load(self, pid: Any) -> tuple[int, int]:
        """Check a storage's record; return (elements, bytes an element)."""
        _, (_, item_bytes), key, _, num_items = pid
        found_bytes = self._record_bytes.get(str(key))
        if found_bytes is None or num_items < 0 or num_items * item_bytes > found_bytes:
            raise CheckpointError(
                f"checkpoint {self._path}: storage {key} declares {num_items * item_bytes:,} bytes "
                f"and has {found_bytes or 0:,}; refused."
            )
        return num_items, item_bytes

    def _check_tensor(
        self,
        storage: tuple[int, int],
        offset: int,
        size: tuple[int, ...],
        stride: tuple[int, ...],
        *_rest: Any,
    ) -> None:
        num_items = 1
        last = offset
        for length, step in zip(size, stride, strict=True):
            num_items *= length
            last += (length - 1) * step
        if num_items and (min(offset, *size, *stride, 0) < 0 or last >= storage[0]):
            self._refuse(size, storage)
        if num_items > storage[0]:
            self._refuse(size, storage)

    def _refuse(self, size: tuple[int, ...], storage: tuple[int, int]) -> None:
        raise CheckpointError(
            f"checkpoint {self._path}: a tensor of shape {tuple(size)} stands on a storage of "
            f"{storage[0]:,} numbers; refused."
        )


def _nothing(*_arguments: Any) -> None:
    return None
