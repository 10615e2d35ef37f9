"""Torch's zip files written with a seal and read without trust.

`torch.load` does not check the CRCs of its own format: one flipped bit loads as
another weight. So our files carry the SHA-256 of all their other bytes in the
zip's comment, the last thing in the file. They stay ordinary `torch.save` files.

A file from elsewhere is checked before torch sees it: nothing compressed, no
declared size beyond the bytes that are there, no tensor larger than its storage,
and no name in the pickle that is not plain data. Nothing of the file is executed.
The format before torch 1.6, in which some published weights still are, is read as well
(`torch_legacy`); it has no CRCs.
"""

import hashlib
import io
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from x3d_det.errors import CheckpointError
from x3d_det.io.torch_legacy import LEGACY_MAGIC, check_legacy
from x3d_det.io.torch_scan import PickleScanner

DEFAULT_MAX_BYTES = 8 << 30

_SEAL = re.compile(rb"sha256:([0-9a-f]{64})")
_SEAL_BYTES = 71
_ZIP_BEGINNING = b"PK\x03\x04"
_END_RECORD = b"PK\x05\x06"
_END_RECORD_BYTES = 22


def sealed_bytes(content: Mapping[str, Any]) -> bytes:
    """Return `content` as a `torch.save` file whose zip comment is the hash of the rest."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    body = bytearray(buffer.getvalue())
    assert body[-_END_RECORD_BYTES:].startswith(_END_RECORD), "torch.save wrote a zip comment"
    body[-2:] = struct.pack("<H", _SEAL_BYTES)
    seal = b"sha256:" + hashlib.sha256(body).hexdigest().encode()
    return bytes(body) + seal


def fault_of_seal(data: bytes) -> str | None:
    """Return what is wrong with the sealed file `data` in words, or None where it is whole."""
    if not data:
        return "it is empty (0 bytes)"
    if not data.startswith(b"PK"):
        return f"it is no torch file: it starts with {data[:8]!r}"
    match = _SEAL.fullmatch(data[-_SEAL_BYTES:])
    if match is None:
        return (
            f"it ends without its sha256 after {len(data):,} bytes: "
            "cut short, or not written by x3d_det"
        )
    found = hashlib.sha256(memoryview(data)[:-_SEAL_BYTES]).hexdigest()
    if found != match[1].decode():
        return f"the sha256 differs: {match[1].decode()[:12]}... is recorded, {found[:12]}... found"
    return None


def read_bytes(path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES) -> bytes:
    """Return the whole file.

    Raises:
        CheckpointError: it is missing, unreadable, a folder, or larger than `max_bytes`.
    """
    try:
        size_bytes = os.stat(path).st_size
        if size_bytes > max_bytes:
            raise CheckpointError(
                f"checkpoint {path} has {size_bytes:,} bytes; at most {max_bytes:,} are read."
            )
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint {path} does not exist.") from None
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error.strerror}.") from error


def is_torch_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as `torch.save` begins it, now or before version 1.6.

    Raises:
        CheckpointError: it is missing or cannot be read.
    """
    try:
        with open(path, "rb") as file:
            beginning = file.read(len(LEGACY_MAGIC))
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint {path} does not exist.") from None
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error.strerror}.") from error
    return beginning.startswith(_ZIP_BEGINNING) or beginning == LEGACY_MAGIC


def load_torch_file(
    path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES
) -> dict[str, Any]:
    """Load a `torch.save` file from anywhere: data only, on the CPU.

    A file sealed by us is held against its seal, any other against its CRCs.

    Raises:
        CheckpointError: damaged, not a dict, or asking for code or more memory
            than it has bytes.
    """
    data = read_bytes(path, max_bytes=max_bytes)
    if _SEAL.fullmatch(data[-_SEAL_BYTES:]) and (fault := fault_of_seal(data)):
        raise CheckpointError(f"checkpoint {path} is damaged: {fault}.")
    return parse_torch_bytes(path, data)


def parse_torch_bytes(path: str | os.PathLike[str], data: bytes) -> dict[str, Any]:
    """Check the zip and the pickle of `data` and load it; `path` is for the messages."""
    is_legacy = data.startswith(LEGACY_MAGIC)
    if not data.startswith(b"PK") and not is_legacy:
        found = f"starts with {data[:8]!r}" if data else "is empty (0 bytes)"
        raise CheckpointError(
            f"checkpoint {path} {found}; it must be a zip as torch.save has written since "
            "version 1.6, or what it wrote before. Load and save it again with a current torch."
        )
    try:
        if is_legacy:
            check_legacy(path, data)
        else:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                _check_archive(path, archive, len(data))
                _scan_pickle(path, archive)
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # damage may surface as nearly any exception
        raise CheckpointError(
            f"checkpoint {path} is damaged or no torch file: {_first_line(error)}."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"checkpoint {path} holds a {type(content).__name__}; a dict is needed."
        )
    return content


def _check_archive(
    path: str | os.PathLike[str], archive: zipfile.ZipFile, num_file_bytes: int
) -> None:
    names = set()
    declared_bytes = 0
    for entry in archive.infolist():
        declared_bytes += entry.file_size
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise CheckpointError(
                f"checkpoint {path}: entry {entry.filename} is compressed ({entry.compress_size:,} "
                f"to {entry.file_size:,} bytes); torch.save compresses nothing, so it is refused."
            )
        if entry.filename in names:
            raise CheckpointError(f"checkpoint {path}: entry {entry.filename} is there twice.")
        names.add(entry.filename)
    if declared_bytes > num_file_bytes:
        raise CheckpointError(
            f"checkpoint {path} declares {declared_bytes:,} bytes in {num_file_bytes:,}; refused."
        )
    if damaged := archive.testzip():
        raise CheckpointError(f"checkpoint {path} is damaged: the CRC of {damaged} differs.")


def _scan_pickle(path: str | os.PathLike[str], archive: zipfile.ZipFile) -> None:
    pickles = [name for name in archive.namelist() if name.split("/", 1)[-1] == "data.pkl"]
    if len(pickles) != 1:
        raise CheckpointError(
            f"checkpoint {path} has {len(pickles)} entries data.pkl; torch.save writes one."
        )
    folder = pickles[0].rpartition("/")[0]
    sizes_bytes = {entry.filename: entry.file_size for entry in archive.infolist()}
    record_bytes = {
        name.removeprefix(f"{folder}/data/"): size
        for name, size in sizes_bytes.items()
        if name.startswith(f"{folder}/data/")
    }
    PickleScanner(path, io.BytesIO(archive.read(pickles[0])), record_bytes).load()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
