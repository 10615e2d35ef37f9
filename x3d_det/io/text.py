"""Bytes of a file as text."""

import os

from x3d_det.errors import DataError


def utf8_text(path: str | os.PathLike[str], content: bytes) -> str:
    """Return UTF-8 bytes as text, a byte order mark taken off.

    Args:
        path: of their file, for the message.
        content: the bytes.

    Raises:
        DataError: they are not UTF-8; says in which line.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: byte 0x{content[error.start]:02x} is not UTF-8; save it as UTF-8."
        ) from error
