"""Files from the web or from a folder: whole and verified under their name, or not there.

The bytes go to `NAME.part`. A try that breaks off, or a process that is killed, leaves them,
and the next one asks for the rest, under the condition that the file is still the same one.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from x3d_det.io.files import sha256_file
from x3d_det.io.partial_file import DownloadError, PartialFile, locked_part, part_path
from x3d_det.io.remote import Body, Fault, open_body, shown, version_of

__all__ = ["Download", "DownloadError", "Progress", "download", "part_path", "remote_size"]

_LONGEST_WAIT_SECONDS = 60.0
# A try that got this much further is no failed one: long files may come in many pieces.
_STEP_BYTES = 1 << 20

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file that stands under its name, whole."""

    path: Path
    num_bytes: int
    sha256: str
    """64 hexadecimal digits."""
    num_resumed_bytes: int
    """Bytes that an earlier run had left."""
    num_tries: int
    """Requests that were sent; 0 where the file stood already."""


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    num_bytes: int | None = None,
    progress: Progress | None = None,
    num_tries: int = 5,
    timeout_seconds: float = 30.0,
    first_wait_seconds: float = 1.0,
) -> Download:
    """Bring a file to `path`; go on where an earlier try stopped.

    A file that stands at `path` is checked and kept, never overwritten.

    Args:
        url: http, https or file URL, or a local path.
        path: the file to make; its folder is made where it is missing.
        sha256: of the content: 64 hexadecimal digits, or the first of them, 8 at least
            (the names of torchvision's weights carry 8).
        num_bytes: of the content.
        progress: called with the bytes had, and the bytes in all or None.
        num_tries: tries in a row that get nowhere before giving up.
        timeout_seconds: longest silence of the server.
        first_wait_seconds: wait after the first failed try; doubled after each, up to a minute.

    Raises:
        DownloadError: the file cannot be had, is not the expected one, the disk is full, or
            another process is at it; says what to do.
        ValueError: a `sha256` that is none.
    """
    expected = _Expected(sha256, num_bytes)
    path = Path(path)
    if path.exists():
        return _standing(path, expected)
    with locked_part(path) as file:
        if path.exists():  # another process was just done with it
            part_path(path).unlink()
            return _standing(path, expected)
        part = PartialFile(path, url, file)
        try:
            return _Transfer(part, expected, progress, timeout_seconds=timeout_seconds).run(
                num_tries, first_wait_seconds
            )
        finally:
            if not part.num_bytes:
                part.discard()


def remote_size(
    url: str,
    *,
    num_tries: int = 3,
    timeout_seconds: float = 30.0,
    first_wait_seconds: float = 1.0,
) -> int | None:
    """Return the length of a file in bytes without fetching it; None where it is not told.

    Args:
        url: as in `download`.
        num_tries, timeout_seconds, first_wait_seconds: as in `download`.

    Raises:
        DownloadError: there is no such file, or no answer.
    """
    for number in range(num_tries):
        try:
            return version_of(url, timeout_seconds=timeout_seconds).num_bytes
        except Fault as fault:
            if not fault.passes or number == num_tries - 1:
                raise DownloadError(f"{shown(url)}: {fault}.") from fault
            _wait(number, first_wait_seconds, fault)
    raise ValueError(f"num_tries is {num_tries}; it must be at least 1.")


def _wait(num_failed: int, first_seconds: float, fault: Fault) -> None:
    """Sleep twice as long after each failed try, and at least as long as the server asks."""
    seconds = min(first_seconds * 2**num_failed, _LONGEST_WAIT_SECONDS)
    time.sleep(max(seconds, fault.wait_seconds or 0.0))


class _Expected:
    """What the caller knows of the content."""

    def __init__(self, sha256: str | None, num_bytes: int | None) -> None:
        if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{8,64}", sha256):
            raise ValueError(f"sha256 is {sha256!r}; it must be 8 to 64 hexadecimal digits.")
        self.sha256 = None if sha256 is None else sha256.lower()
        self.num_bytes = num_bytes

    def is_size(self, num_bytes: int | None) -> bool:
        return self.num_bytes is None or num_bytes is None or num_bytes == self.num_bytes

    def is_hash(self, sha256: str) -> bool:
        return self.sha256 is None or sha256.startswith(self.sha256)


class _Transfer:
    """The tries that fill a part."""

    def __init__(
        self,
        part: PartialFile,
        expected: _Expected,
        progress: Progress | None,
        *,
        timeout_seconds: float,
    ) -> None:
        self._part = part
        self._expected = expected
        self._progress = progress
        self._timeout_seconds = timeout_seconds
        self._num_tries = 0

    def run(self, num_tries: int, first_wait_seconds: float) -> Download:
        """Try until the part is whole, verify it, and give it its name."""
        if not self._part.is_complete:
            self._fill(num_tries, first_wait_seconds)
        self._verify()
        return Download(
            path=self._part.finish(),
            num_bytes=self._part.num_bytes,
            sha256=self._part.sha256,
            num_resumed_bytes=self._part.num_resumed_bytes,
            num_tries=self._num_tries,
        )

    def _fill(self, num_tries: int, first_wait_seconds: float) -> None:
        furthest = self._part.num_bytes
        num_failed = 0
        while True:
            try:
                return self._try()
            except Fault as fault:
                # Measured from the furthest point ever, so that a server that starts over after
                # each break is given up too.
                if self._part.num_bytes >= furthest + _STEP_BYTES:
                    num_failed, furthest = 0, self._part.num_bytes
                num_failed += 1
                if not fault.passes or num_failed >= num_tries:
                    raise self._failure(str(fault)) from fault
                _wait(num_failed - 1, first_wait_seconds, fault)

    def _try(self) -> None:
        part = self._part
        self._num_tries += 1
        with open_body(
            part.url,
            offset=part.num_bytes,
            version=part.version,
            timeout_seconds=self._timeout_seconds,
        ) as body:
            self._check_offer(body)
            if body.start == 0:
                part.restart(body.version)
            part.check_space()
            for chunk in body.chunks:
                part.append(chunk)
                if self._progress is not None:
                    self._progress(part.num_bytes, part.version.num_bytes)
        promised = part.version.num_bytes or self._expected.num_bytes or 0
        if part.num_bytes < promised:
            raise Fault(
                f"the connection ended after {part.num_bytes:,} of {promised:,} bytes", passes=True
            )

    def _check_offer(self, body: Body) -> None:
        """Refuse a file of another length before its bytes come."""
        if not self._expected.is_size(body.version.num_bytes):
            raise self._wrong("bytes", self._expected.num_bytes, body.version.num_bytes)
        if not body.knows_its_end and self._expected.num_bytes is self._expected.sha256 is None:
            raise Fault(
                "the server does not say how long the file is, so a cut one would go unnoticed",
                passes=False,
            )

    def _verify(self) -> None:
        part, expected = self._part, self._expected
        if not expected.is_size(part.num_bytes):
            raise self._wrong("bytes", expected.num_bytes, part.num_bytes)
        if not expected.is_hash(part.sha256):
            raise self._wrong("SHA-256", expected.sha256, part.sha256)
        if part.version.md5 not in (None, part.md5):
            raise self._wrong("the server's MD5", part.version.md5, part.md5)

    def _wrong(self, what: str, expected: object, found: object) -> DownloadError:
        self._part.discard()
        return DownloadError(
            f"{shown(self._part.url)}: is not the file that was expected: {what}: expected "
            f"{expected}, found {found}.",
            "Nothing of it is kept; try again, or another mirror, or put the right file by hand at "
            f"{self._part.path}.",
        )

    def _failure(self, what: str) -> DownloadError:
        return DownloadError(
            f"{shown(self._part.url)}: {what}; tried {self._num_tries} "
            f"time{'s' * (self._num_tries != 1)}. {self._part.kept()}",
            f"Start again later, or put the file by hand at {self._part.path}.",
        )


def _standing(path: Path, expected: _Expected) -> Download:
    """Return the file that stands already, if it is the one asked for."""
    if not path.is_file():
        raise DownloadError(f"{path}: is no file; a download cannot take its place.")
    num_bytes, found = path.stat().st_size, sha256_file(path)
    if not expected.is_size(num_bytes) or not expected.is_hash(found):
        wanted = expected.sha256 if expected.is_size(num_bytes) else f"{expected.num_bytes} bytes"
        raise DownloadError(
            f"{path}: stands already, but is another file: {num_bytes} bytes with SHA-256 {found}; "
            f"expected {wanted}. Move it away or delete it to have it downloaded."
        )
    return Download(path=path, num_bytes=num_bytes, sha256=found, num_resumed_bytes=0, num_tries=0)
