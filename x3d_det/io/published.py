"""Files that are published on the web: kept on this machine, and held to one hash.

Where no hash is published, the first one met is recorded beside the file, in `NAME.sha256`, and
every later use is held to it.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from x3d_det.io.download import DownloadError, Progress, download
from x3d_det.io.files import atomic_write

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PublishedFile:
    """A file on the web and its place on this machine."""

    url: str
    path: Path
    sha256: str | None
    """The first digits of the SHA-256, 8 or more; None where nobody publishes any."""


def fetch_published(
    published: PublishedFile,
    *,
    sha256: str | None = None,
    other_way: str,
    progress: Progress | None = None,
    content: str = "weights",
    beginnings: tuple[bytes, ...] = (),
) -> str:
    """Bring a published file to its place, unless it is there; return its SHA-256.

    Args:
        published: where it is on the web, and here.
        sha256: what its SHA-256 must be, or begin with, where none is published or recorded.
        other_way: what else the user can do where it cannot be had, as in `name a copy of it
            with --weights`.
        progress: called with the bytes had, and the bytes in all or None.
        content: what the file holds, for the message.
        beginnings: first bytes of which the file must have one, so that a proxy's page of
            excuses is not recorded as the file; empty: any.

    Raises:
        DownloadError: it cannot be had, or is another file; names URL, path, and the way out.
    """
    path = published.path
    record = path.with_name(f"{path.name}.sha256")
    try:
        known = published.sha256 or _recorded(record)
        fetched = download(published.url, path, sha256=known or sha256, progress=progress)
        if beginnings:
            _check_beginning(path, beginnings, content=content, is_ours=fetched.num_tries > 0)
    except DownloadError as error:
        recorded = f"What it must be stands in {record}. " if record.exists() else ""
        raise DownloadError(
            error.what,
            f"{recorded}Start again later, put {published.url} at {path} by hand, or {other_way}.",
        ) from error
    if known is None:
        _record(record, fetched.sha256)
    return fetched.sha256


def _check_beginning(
    path: Path, beginnings: tuple[bytes, ...], *, content: str, is_ours: bool
) -> None:
    with open(path, "rb") as file:
        found = file.read(16)
    if found.startswith(beginnings):
        return
    if is_ours:  # a file that the user put there stays
        path.unlink()
    raise DownloadError(
        f"{path}: begins with {found!r}, which no {content} do"
        f"{'; it was removed' if is_ours else ''}."
    )


def _recorded(record: Path) -> str | None:
    if not record.exists():
        return None
    match = re.match(r"[0-9a-f]{64}\b", record.read_text(encoding="utf-8", errors="replace"))
    if match is None:
        raise DownloadError(f"{record}: holds no SHA-256; delete it to have it written anew.")
    return match[0]


def _record(record: Path, sha256: str) -> None:
    name = record.name.removesuffix(".sha256")
    with atomic_write(record, "w") as file:
        file.write(f"{sha256}  {name}\n")
    _logger.warning(
        "no SHA-256 is published for %s: the one found, %s, was recorded in %s, and every later "
        "use is held to it",
        name,
        sha256,
        record,
    )
