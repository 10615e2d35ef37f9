"""An unfinished download on the disk: its bytes, their hashes, and what they are a part of.

Private to `io.download`. The bytes lie in `NAME.part`; URL, ETag, date and length stand in
`NAME.part.json`. Whoever has the part open has it locked.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

from x3d_det.errors import X3DDetError
from x3d_det.io.files import atomic_write
from x3d_det.io.remote import Version, shown

_CHUNK_BYTES = 1 << 20
_LOCKED = (errno.EWOULDBLOCK, errno.EACCES)
_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)

_logger = logging.getLogger(__name__)


class DownloadError(X3DDetError):
    """A file that could not be had, or is not the one that was asked for.

    Args:
        what: where, and what happened.
        advice: what to do about it.
    """

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(f"{what} {advice}".strip())
        self.what = what


def part_path(path: Path) -> Path:
    """Return where the bytes of an unfinished download of `path` lie."""
    return path.with_name(f"{path.name}.part")


class PartialFile:
    """The bytes had so far.

    Args:
        path: the file to be made.
        url: where it comes from; what an earlier run had from elsewhere is dropped.
        file: its open part, from `locked_part`.
    """

    def __init__(self, path: Path, url: str, file: IO[bytes]) -> None:
        self.path, self.url = path, url
        self._file = file
        self._notes = path.with_name(f"{path.name}.part.json")
        self.version = self._noted_version()
        self._forget()
        if self.version.condition is None:
            file.truncate(0)
        while chunk := file.read(_CHUNK_BYTES):
            self._count(chunk)
        self.num_resumed_bytes = self.num_bytes

    def _noted_version(self) -> Version:
        """Return the version that an earlier run noted; none where it was of another URL."""
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            return Version(**notes["version"]) if notes["url"] == shown(self.url) else Version()
        except (OSError, ValueError, TypeError, KeyError):
            return Version()  # never written, or not by us: nothing to build on

    def _forget(self) -> None:
        self.num_bytes = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def _count(self, chunk: bytes) -> None:
        self.num_bytes += len(chunk)
        self._sha256.update(chunk)
        self._md5.update(chunk)

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits of the bytes so far."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """32 hexadecimal digits of the bytes so far."""
        return self._md5.hexdigest()

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are there; False where their number is not known."""
        return self.version.num_bytes is not None and self.num_bytes == self.version.num_bytes

    def restart(self, version: Version) -> None:
        """Drop all bytes; those to come are of `version`."""
        # First the bytes, then the note: a kill between them leaves nothing under a wrong note.
        self._file.seek(0)
        self._file.truncate()
        self._forget()
        self.num_resumed_bytes = 0
        self.version = version
        with atomic_write(self._notes, "w") as notes:
            json.dump({"url": shown(self.url), "version": asdict(version)}, notes)

    def append(self, chunk: bytes) -> None:
        """Write bytes.

        Raises:
            DownloadError: the disk takes no more.
        """
        try:
            left = memoryview(chunk)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise self._disk_error(error.strerror) from error
        self._count(chunk)

    def check_space(self) -> None:
        """Raise DownloadError where the rest has no room on the disk."""
        if self.version.num_bytes is None:
            return
        missing = self.version.num_bytes - self.num_bytes
        free = shutil.disk_usage(self.path.parent).free
        if missing > free:
            raise self._disk_error(f"{missing:,} bytes are still to come, {free:,} are free")

    def finish(self) -> Path:
        """Give the file its name, once its bytes are on the disk."""
        try:
            os.fsync(self._file.fileno())
            os.rename(part_path(self.path), self.path)
        except OSError as error:
            raise self._disk_error(error.strerror) from error
        self._notes.unlink(missing_ok=True)
        return self.path

    def discard(self) -> None:
        """Remove the bytes and the note."""
        part_path(self.path).unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def kept(self) -> str:
        """Return what is left for the next run, as a sentence."""
        if not self.num_bytes:
            return "Nothing of it is here yet."
        return f"{self.num_bytes:,} bytes are kept in {part_path(self.path).name}."

    def _disk_error(self, reason: str | None) -> DownloadError:
        return DownloadError(
            f"{self.path}: cannot be written: {reason}. {self.kept()}",
            "Make room, or choose another folder, and start again.",
        )


@contextlib.contextmanager
def locked_part(path: Path) -> Iterator[IO[bytes]]:
    """Give the open part of `path`, kept from all other processes.

    Raises:
        DownloadError: another process has it, or the folder cannot be written to.
    """
    part = part_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _open_locked(part)
    except OSError as error:
        raise DownloadError(f"{part}: cannot be written: {error.strerror}.") from error
    with file:
        yield file


def _open_locked(part: Path) -> IO[bytes]:
    while True:
        # Unbuffered, so that a full disk shows where the bytes are written, not at the end.
        file = open(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)  # noqa: SIM115
        try:
            _lock(file, part)
            # Between opening and locking, its last owner may have given it the final name.
            if part.exists() and os.path.samestat(os.fstat(file.fileno()), part.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: IO[bytes], part: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _LOCKED:
            raise DownloadError(
                f"{part}: another process is writing it; wait for it, or stop it."
            ) from error
        if error.errno not in _NO_LOCKS_HERE:
            raise
        _logger.warning("%s: this file system has no locks; start one download at a time", part)
