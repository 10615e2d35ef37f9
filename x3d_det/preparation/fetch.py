"""One file of the data set at a time: from the first place that has it, checked, to its name."""

import gzip
import hashlib
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from x3d_det.errors import DataError, X3DDetError
from x3d_det.io.ava_csv import read_annotations, read_exclusions, read_proposals
from x3d_det.io.download import DownloadError, Progress, download, part_path, remote_size
from x3d_det.io.files import atomic_write
from x3d_det.io.label_map import read_label_map
from x3d_det.preparation.catalog import EDITIONS, Form, Source, Wanted

STAGING_FOLDER = ".downloads"
_MAX_MEMBER_BYTES = 2 << 30
_ARCHIVE_FAULTS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # a zip locked with a password, or packed by a method that zipfile does not know
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A source that answered."""

    source: Source
    num_bytes: int | None
    """Of the file, or of the archive that holds it."""


@dataclass(frozen=True, kw_only=True)
class FetchSettings:
    """How files are asked for.

    Args:
        accepts_changed: take annotation files that are readable but not the official ones.
        num_tries, timeout_seconds, first_wait_seconds: as in `io.download.download`.
    """

    accepts_changed: bool = False
    num_tries: int = 5
    timeout_seconds: float = 30.0
    first_wait_seconds: float = 1.0


class Fetcher:
    """Brings files into a folder; what is unfinished lies in its `.downloads`.

    Args:
        folder: the files go below it.
        settings: how files are asked for.
        home: the data set's folder, to be named in errors; None: `folder`.
    """

    def __init__(self, folder: Path, settings: FetchSettings, *, home: Path | None = None) -> None:
        self.folder = folder
        self._home = home or folder
        self.settings = settings
        self._archives: dict[str, Path | DownloadError] = {}

    def locate(self, wanted: Wanted) -> Place:
        """Return the first source that has the file, without fetching it.

        Raises:
            DownloadError: none has it.
        """
        refusals = []
        for source in wanted.sources:
            try:
                return Place(source=source, num_bytes=self._size(source.url))
            except DownloadError as error:
                refusals.append(error.what)
        raise _nowhere(wanted, self._home, refusals)

    def fetch(
        self,
        wanted: Wanted,
        *,
        progress: Progress | None = None,
        check: Callable[[Path], object] | None = None,
    ) -> str:
        """Bring a file to its place; return the URL it came from.

        Args:
            wanted: the file.
            progress: as in `io.download.download`.
            check: a further look at the file before it gets its name; raises X3DDetError.

        Raises:
            DownloadError: no source has it, or what they have is not the file.
        """
        refusals = []
        for source in wanted.sources:
            staged = self._staging(source.url, wanted.path)
            try:
                if source.member is None:
                    self._download(source.url, staged, progress)
                else:
                    self._extract(source, staged, progress)
                check_content(staged, wanted, accepts_changed=self.settings.accepts_changed)
                if check is not None:
                    check(staged)
            except DownloadError as error:
                refusals.append(error.what)
                continue
            except X3DDetError as error:
                staged.unlink(missing_ok=True)
                refusals.append(f"{source.url}: {error}")
                continue
            target = self.folder / wanted.path
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(target)
            return source.url
        raise _nowhere(wanted, self._home, refusals)

    def num_staged_bytes(self, wanted: Wanted, place: Place) -> int:
        """Return how much of a file an earlier run has left."""
        part = part_path(self._staging(place.source.url, wanted.path))
        return part.stat().st_size if part.exists() else 0

    def remove_staging(self) -> None:
        """Remove unpacked archives, and the staging folder where nothing is left in it."""
        for archive in self._archives.values():
            if isinstance(archive, Path):
                archive.unlink(missing_ok=True)
        self._archives.clear()
        staging = self.folder / STAGING_FOLDER
        if staging.is_dir() and not any(staging.iterdir()):
            staging.rmdir()

    def _staging(self, url: str, path: str) -> Path:
        """Return where a file waits for its check: one place for each URL, so that all resume."""
        key = hashlib.sha256(url.encode()).hexdigest()[:8]
        return self.folder / STAGING_FOLDER / f"{key}-{path.replace('/', '+')}"

    def _size(self, url: str) -> int | None:
        settings = self.settings
        return remote_size(
            url,
            num_tries=settings.num_tries,
            timeout_seconds=settings.timeout_seconds,
            first_wait_seconds=settings.first_wait_seconds,
        )

    def _download(self, url: str, path: Path, progress: Progress | None) -> None:
        settings = self.settings
        download(
            url,
            path,
            progress=progress,
            num_tries=settings.num_tries,
            timeout_seconds=settings.timeout_seconds,
            first_wait_seconds=settings.first_wait_seconds,
        )

    def _extract(self, source: Source, path: Path, progress: Progress | None) -> None:
        assert source.member is not None
        archive = self._archive(source.url, progress)
        with _opened_member(archive, source.member) as member, atomic_write(path) as file:
            shutil.copyfileobj(member, file, 1 << 20)

    def _archive(self, url: str, progress: Progress | None) -> Path:
        """Return an archive, fetched once; a failure is remembered too."""
        if url not in self._archives:
            path = self._staging(url, url.rpartition("/")[2])
            try:
                self._download(url, path, progress)
                self._archives[url] = path
            except DownloadError as error:
                self._archives[url] = error
        archive = self._archives[url]
        if isinstance(archive, DownloadError):
            raise archive
        return archive


def git_blob_id(path: Path) -> str:
    """Return what `git hash-object` prints for a file."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def check_content(path: Path, wanted: Wanted, *, accepts_changed: bool) -> None:
    """Check that a file is the official one, or, where that is not known, can be read.

    Args:
        path: where it lies.
        wanted: what it is to be.
        accepts_changed: an official hash that differs is no fault.

    Raises:
        DataError: it is not.
    """
    if wanted.git_blob is not None:
        found = git_blob_id(path)
        if found == wanted.git_blob:
            return
        if not accepts_changed:
            edition = f" ({EDITIONS[found]})" if found in EDITIONS else ""
            raise DataError(
                f"{path}: is not the official {wanted.name}: git hash-object gives "
                f"{found}{edition}, the official one has {wanted.git_blob}. Move it away, or give "
                "--accept-changed to use it all the same."
            )
    if reader := _READERS.get(wanted.form):
        reader(path)


_READERS: dict[Form, Callable[[Path], object]] = {
    "annotations": read_annotations,
    "person boxes": read_proposals,
    "keyframes": read_exclusions,
    "label map": read_label_map,
}


@contextmanager
def _opened_member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    """Give the file of this name in a zip or tar, whatever folder it is in."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                sizes = {info.filename: info.file_size for info in packed.infolist()}
                with packed.open(_member(sizes, archive, name)) as file:
                    yield file
        else:
            with tarfile.open(archive) as tar:
                sizes = {info.name: info.size for info in tar if info.isfile()}
                assert tar.fileobj is not None
                while tar.fileobj.read(1 << 20):  # to the end, where gzip keeps its checksum
                    pass
                member = tar.extractfile(_member(sizes, archive, name))
                assert member is not None  # it is a regular file
                with member:
                    yield member
    except _ARCHIVE_FAULTS as error:
        raise DataError(f"{archive}: is no archive that can be read: {error}.") from error


def _member(sizes: dict[str, int], archive: Path, name: str) -> str:
    found = [path for path in sizes if path.rpartition("/")[2] == name]
    if not found:
        raise DataError(f"{archive.name}: holds no {name}.")
    if sizes[found[0]] > _MAX_MEMBER_BYTES:
        raise DataError(f"{archive.name}: {name} would unpack to {sizes[found[0]]:,} bytes.")
    return found[0]


def _nowhere(wanted: Wanted, folder: Path, refusals: list[str]) -> DownloadError:
    reasons = "; ".join(text.rstrip(".") for text in refusals)
    return DownloadError(
        f"{wanted.path}: {reasons}. docs/get_ava.md says where else to look; "
        f"the file belongs at {folder / wanted.path}."
    )
