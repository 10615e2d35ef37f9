"""Files of other projects opened safely, and their faults with their places.

A place is a line of XML or csv, or a path in JSON.
"""

import io
import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from x3d_det.errors import DataError
from x3d_det.io.ava_rows import NUMBER
from x3d_det.io.text import utf8_text

LARGEST_NUMBER = 1e15
MAX_FILE_BYTES = 1 << 30
"""Larger files, unpacked, are refused: a zip of 1 MB may hold 1 GB of blanks."""

_SHOWN_FAULTS = 20
_UNPACKING_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # locked with a password, or packed by a method that zipfile does not know
)
_WHOLE = re.compile(r"[+-]?\d{1,15}", re.ASCII)


class FileFault(DataError):
    """One fault of a file.

    Args:
        place: line, as `:12`, or path in the JSON, as `: annotations[3].bbox`; it follows
            the file's name. Empty for the whole file.
        text: what was found, what is allowed, what to do.
    """

    def __init__(self, place: str, text: str) -> None:
        super().__init__(text)
        self.place = place
        self.text = text


class AlreadyTold(FileFault):
    """What cannot be read because of a fault told before; it is not told again."""

    def __init__(self) -> None:
        super().__init__("", "told before")


class Faults:
    """The faults of one file: the first few in full, the rest counted."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.texts: list[str] = []
        self.number = 0

    def add(self, place: str, text: str) -> None:
        """Note one fault."""
        self.number += 1
        if self.number <= _SHOWN_FAULTS:
            self.texts.append(f"{self.path}{place}: {text}")

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note an `FileFault` raised inside and go on behind the block."""
        try:
            yield
        except AlreadyTold:
            pass
        except FileFault as fault:
            self.add(fault.place, fault.text)

    def raise_if_any(self) -> None:
        """Raise all faults as one `DataError`."""
        if not self.number:
            return
        if self.number > _SHOWN_FAULTS:
            rest = self.number - _SHOWN_FAULTS
            self.texts.append(f"{self.path}: and {rest:,} more faults of this kind or another.")
        raise DataError("\n".join(self.texts))


def short(value: object) -> str:
    """Return a value for a message, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def open_foreign(path: str | os.PathLike[str], *, suffix: str) -> IO[bytes]:
    """Return a file, or the one file with this suffix in a zip, open for reading.

    Args:
        path: the file; a zip is known by its content.
        suffix: of the file inside, as ".xml"; `annotations.xml` comes before others.

    Raises:
        DataError: it cannot be opened or unpacked, is larger than 1 GiB unpacked, or the zip
            holds none or several such files.
    """
    try:
        if not zipfile.is_zipfile(path):
            _check_size(path, os.path.getsize(path))
            return open(path, "rb")
        with zipfile.ZipFile(path) as archive, archive.open(_member(path, archive, suffix)) as file:
            return io.BytesIO(file.read(MAX_FILE_BYTES))
    except _UNPACKING_FAULTS as error:
        raise DataError(
            f"{path} cannot be unpacked ({error}); export it again, or unpack it by hand."
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}.") from error


def read_text(path: str | os.PathLike[str], *, suffix: str) -> str:
    """Return the UTF-8 text of a file, a byte order mark taken off.

    Raises:
        DataError: as `open_foreign`; or the bytes are not UTF-8.
    """
    with open_foreign(path, suffix=suffix) as file:
        return utf8_text(path, file.read())


def _check_size(path: str | os.PathLike[str], num_bytes: int) -> None:
    if num_bytes > MAX_FILE_BYTES:
        raise DataError(
            f"{path} holds {num_bytes:,} bytes; at most {MAX_FILE_BYTES:,} are read: "
            "export fewer videos at a time."
        )


def _member(path: str | os.PathLike[str], archive: zipfile.ZipFile, suffix: str) -> zipfile.ZipInfo:
    fitting = [info for info in archive.infolist() if info.filename.lower().endswith(suffix)]
    named = [info for info in fitting if os.path.basename(info.filename) == f"annotations{suffix}"]
    chosen = named if len(named) == 1 else fitting
    if len(chosen) != 1:
        found = ", ".join(short(info.filename) for info in chosen[:5]) or "none"
        raise DataError(
            f"{path} holds {len(chosen)} files that end in {suffix} ({found}); there must be "
            "one: unpack it and name the file."
        )
    _check_size(f"{path}/{chosen[0].filename}", chosen[0].file_size)
    return chosen[0]


def parse_number(text: str, place: str, what: str) -> float:
    """Return the number that a text writes.

    Raises:
        FileFault: it is none, or not finite.
    """
    stripped = text.strip()
    value = float(stripped) if NUMBER.fullmatch(stripped) else math.nan
    if not abs(value) <= LARGEST_NUMBER:
        raise FileFault(place, f"{what} is {short(text)}; it must be a finite number.")
    return value


def parse_whole(text: str, place: str, what: str) -> int:
    """Return the whole number, 0 or more, that a text writes.

    Raises:
        FileFault: it is none.
    """
    if not _WHOLE.fullmatch(text.strip()) or int(text) < 0:
        raise FileFault(place, f"{what} is {short(text)}; it must be a whole number from 0.")
    return int(text)
