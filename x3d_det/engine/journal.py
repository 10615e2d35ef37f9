"""The run's log files: one JSON line a step, one an epoch, and TensorBoard curves."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from x3d_det.errors import X3DDetError


class Journal:
    """A file of JSON lines, ascending in one integer key, that can be cut back and gone on with.

    Args:
        path: is made where it does not stand.
        key: "step" or "epoch"; every line has it.
    """

    def __init__(self, path: str | os.PathLike[str], *, key: str) -> None:
        self.path = Path(path)
        self.key = key
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 (close())

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write one line; not-finite numbers stand as null.

        Raises:
            X3DDetError: the disk is full; names the file.
        """
        line = json.dumps({name: _plain(value) for name, value in entry.items()}) + "\n"
        try:
            self._file.write(line.encode())
        except OSError as error:
            raise X3DDetError(
                f"cannot write {self.path}: {error.strerror} after {self._file.tell():,} bytes. "
                "The last checkpoint is whole; free some space and go on with --resume."
            ) from error

    def cut_after(self, last: int) -> int:
        """Drop the lines after the first whose key exceeds `last`, or that is no whole line.

        Returns:
            The number of lines that stay.
        """
        num_lines = 0
        num_bytes = 0
        for line in self.path.read_bytes().splitlines(keepends=True):
            entry = _parse(line)
            if entry is None or entry.get(self.key, last + 1) > last:
                break
            num_bytes += len(line)
            num_lines += 1
        os.truncate(self.path, num_bytes)
        return num_lines

    def flush_to_disk(self) -> None:
        """Make what is written survive a power cut."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the whole lines of a journal; a half-written last one is left out."""
    entries = [_parse(line) for line in Path(path).read_bytes().splitlines(keepends=True)]
    return [entry for entry in entries if entry is not None]


class Curves:
    """TensorBoard curves in `folder`; after a resume the later points are hidden by TensorBoard.

    Args:
        folder: the event files go there.
        first_step: points after this step, left by a run that was killed, are dropped.
    """

    def __init__(self, folder: str | os.PathLike[str], *, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = Path(folder)
        self._writer: Any = SummaryWriter(
            str(folder), purge_step=first_step + 1 if first_step else None
        )

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point to each named curve.

        Raises:
            X3DDetError: the disk is full; names the folder.
        """
        try:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
        except OSError as error:
            raise X3DDetError(f"cannot write curves to {self.folder}: {error}.") from error

    def close(self) -> None:
        """Write out what is pending and close.

        Raises:
            X3DDetError: the disk is full; names the folder.
        """
        try:
            self._writer.close()
        except OSError as error:
            raise X3DDetError(f"cannot write curves to {self.folder}: {error}.") from error


def _parse(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value
