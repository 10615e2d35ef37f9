"""Lines of small text files, each with its number, and faults that name it."""

import os

from x3d_det.formats.foreign_files import Faults
from x3d_det.io.ava_rows import read_bytes


def read_lines(path: str | os.PathLike[str], faults: Faults) -> list[tuple[int, str]]:
    """Return (1-based number, text) of the lines that are not blank; `.gz` is unpacked.

    Args:
        path: a text file, LF or CRLF.
        faults: takes lines that are not UTF-8, and a byte order mark.

    Raises:
        DataError: the file cannot be read at all.
    """
    content = read_bytes(path)
    if content.startswith(b"\xef\xbb\xbf"):
        faults.add(":1", "the file begins with a byte order mark; save it as UTF-8 without BOM.")
        content = content[3:]
    lines = []
    for number, raw in enumerate(content.splitlines(), start=1):
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            faults.add(
                f":{number}", f"byte 0x{raw[error.start]:02x} is not UTF-8; save it as UTF-8."
            )
            continue
        if text.strip():
            lines.append((number, text))
    return lines
