"""Zips that Python's zipfile opens and cannot unpack."""

import io
import zipfile
from typing import Literal


def strange_zip(name: str, kind: Literal["locked", "method"]) -> bytes:
    """Return a zip of one member that wants a password, or is packed by method 99."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr(name, "content")
    content = bytearray(buffer.getvalue())
    # The flags of a member stand in its own header and in the directory, the method behind them.
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(header) + flags
        if kind == "locked":
            content[place] |= 1
        else:
            content[place + 2] = 99
    return bytes(content)
