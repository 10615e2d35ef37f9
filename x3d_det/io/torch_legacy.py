"""Torch's format before version 1.6, checked before torch reads it.

Five pickles stand one after the other (a magic number, a version, a dict about the
machine, the value, the keys of its storages), and behind them each storage: the
number of its items and their bytes. Nothing tells a flipped bit.
"""

import io
import os
import struct
from typing import Any

from x3d_det.errors import CheckpointError
from x3d_det.io.torch_scan import PickleScanner

LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The whole first pickle: the number 0x1950a86a20f9469cfc6c in protocol 2."""


def check_legacy(path: str | os.PathLike[str], data: bytes) -> None:
    """Check pickles and storages of a file that begins with `LEGACY_MAGIC`.

    Raises:
        CheckpointError: a pickle asks for more than plain data; a storage has other bytes
            than it declares.
        Exception: nearly any, where the file is damaged.
    """
    file = io.BytesIO(data)
    for _ in range(3):
        _LegacyScanner(path, file, {}).load()
    value = _LegacyScanner(path, file, {}, num_file_bytes=len(data))
    value.load()
    for key in _LegacyScanner(path, file, {}).load():
        num_items, item_bytes = value.storages.pop(key)
        (found,) = struct.unpack("<q", file.read(8))
        start = file.tell()
        if found != num_items or start + num_items * item_bytes > len(data):
            raise CheckpointError(
                f"checkpoint {path} is damaged: storage {key} declares {num_items:,} numbers and "
                f"has {min(found, (len(data) - start) // item_bytes):,}; download it again."
            )
        file.seek(start + num_items * item_bytes)
    if value.storages:
        raise CheckpointError(
            f"checkpoint {path} is damaged: storage {next(iter(value.storages))} is not in it."
        )


class _LegacyScanner(PickleScanner):
    """The scanner, for storages whose bytes come only behind the pickle."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        file: io.BytesIO,
        record_bytes: dict[str, int],
        *,
        num_file_bytes: int = 0,
    ) -> None:
        super().__init__(path, file, record_bytes)
        self._num_file_bytes = num_file_bytes
        self.storages: dict[str, tuple[int, int]] = {}

    def persistent_load(self, pid: Any) -> tuple[int, int]:
        """Note a storage; all of them together must be smaller than the file."""
        kind, (_, item_bytes), key, _, num_items, view = pid
        if kind != "storage" or view is not None:
            raise CheckpointError(
                f"checkpoint {self._path} holds a module or part of a storage, as torch wrote "
                "before version 0.4; load and save it again with a current torch."
            )
        self.storages[key] = (num_items, item_bytes)
        declared_bytes = sum(items * size for items, size in self.storages.values())
        if num_items < 0 or declared_bytes > self._num_file_bytes:
            raise CheckpointError(
                f"checkpoint {self._path}: its storages declare {declared_bytes:,} bytes in a "
                f"file of {self._num_file_bytes:,}; refused."
            )
        return num_items, item_bytes
