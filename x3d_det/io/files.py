"""Files that are whole or not there: atomic writing and checksums."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from x3d_det.errors import X3DDetError

_CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike[str],
    mode: str = "wb",
    *,
    encoding: str | None = None,
    newline: str | None = None,
) -> Iterator[IO[Any]]:
    """Give a file to write; `path` is replaced by it at a clean end of the block.

    The bytes go to a hidden temporary file in the same folder, are flushed to the
    disk, and are then renamed to `path` in one step. A reader, or a kill at any
    moment, sees the old file or the new one, never a part. After an error in the
    block the old file stands as it was and the temporary one is gone.

    Args:
        path: the file to make or replace; its folder must exist.
        mode: "wb" (bytes) or "w" (text, UTF-8 unless `encoding` says otherwise).
        encoding: for text.
        newline: for text, as `open` has it; None writes "\\n" on every system.

    Raises:
        X3DDetError: the disk is full, the folder read-only or missing, and so on;
            names `path` and the bytes written so far.
        ValueError: another mode.
    """
    if mode not in ("w", "wb"):
        raise ValueError(f"mode is {mode!r}; atomic_write allows 'w' and 'wb'.")
    target = Path(path)
    temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    text = mode == "w"
    position = 0
    try:
        try:
            file = open(  # noqa: SIM115 (closed below; the errors of closing matter)
                temporary,
                mode.replace("w", "x"),
                encoding=(encoding or "utf-8") if text else None,
                newline=("\n" if newline is None else newline) if text else None,
            )
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
            finally:
                position = _bytes_on_disk(temporary)
                file.close()
            os.replace(temporary, target)
            _sync_folder(target.parent)
        except OSError as error:
            if not _concerns(error, temporary, target):
                raise  # an error of the block's own work on another file
            reason = error.strerror or str(error)
            raise X3DDetError(
                f"cannot write {target}: {reason} (after {position:,} bytes; "
                f"{_free_space(target.parent)}). Any earlier file of this name is untouched. "
                "Free some space or choose another folder."
            ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def remove_stale_temporaries(folder: str | os.PathLike[str]) -> list[Path]:
    """Remove what killed writers left in `folder`; return the paths removed.

    Call it only where no other process writes into the folder.
    """
    removed = []
    for path in sorted(Path(folder).glob(".*.tmp")):
        path.unlink(missing_ok=True)
        removed.append(path)
    return removed


def _concerns(error: OSError, temporary: Path, target: Path) -> bool:
    """Return whether the error is about our file: it names it, or names none (a write)."""
    names = {error.filename, error.filename2}
    return names == {None} or bool({str(temporary), str(target), str(target.parent)} & names)


def _bytes_on_disk(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _free_space(folder: Path) -> str:
    try:
        stat = os.statvfs(folder)
    except OSError:
        return f"the folder {folder} cannot be read"
    return f"{stat.f_bavail * stat.f_frsize:,} bytes free there"


def _sync_folder(folder: Path) -> None:
    """Make the rename itself lasting: the folder's own entry goes to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
