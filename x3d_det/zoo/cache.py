"""The zoo's files on this machine: brought at their first use, verified, and kept."""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from x3d_det.errors import CheckpointError, did_you_mean
from x3d_det.io.download import DownloadError
from x3d_det.io.files import sha256_file
from x3d_det.io.published import PublishedFile, fetch_published
from x3d_det.progress import ProgressLine
from x3d_det.zoo.entries import ZOO, ZooEntry, zoo_entry

CACHE_VARIABLE = "X3D_DET_WEIGHTS"
MIRROR_VARIABLE = "X3D_DET_WEIGHTS_MIRROR"

# torch.save's two formats: a zip archive, and, before torch 1.6, a row of pickles.
_BEGINNINGS = (b"PK\x03\x04", b"\x80\x02")


def default_cache() -> Path:
    """Return the folder that keeps downloads: $X3D_DET_WEIGHTS, or one in the user's cache."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "x3d_det" / "weights"


def weights_path(
    name_or_path: str | Path, *, cache: str | Path | None = None, mirror: str | None = None
) -> Path:
    """Return a file of weights on this machine; one of the zoo is downloaded where it is missing.

    A download goes on where an earlier one stopped, and is held to the publisher's SHA-256; where
    there is none, to the one found at the first use, recorded beside the file.

    Args:
        name_or_path: a name of `ZOO`; else the path of a file, given back as it is.
        cache: folder of the downloads; None: `default_cache()`.
        mirror: folder or URL that holds the zoo's files as a cache does, used in place of the
            publishers'; None: $X3D_DET_WEIGHTS_MIRROR where it is set.

    Raises:
        CheckpointError: neither a name of the zoo nor a file.
        DownloadError: the file cannot be had, or is another one than expected.
    """
    path = Path(name_or_path)
    if str(name_or_path) not in ZOO and _is_meant_as_path(path):
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "does not exist"
            raise CheckpointError(
                f"weights {path}: {found}; give the path of a file of weights, or a name of the "
                f"zoo{did_you_mean(path.stem, ZOO)}."
            )
        return path
    entry = zoo_entry(str(name_or_path))
    mirror = mirror or os.environ.get(MIRROR_VARIABLE) or None
    url = entry.url if mirror is None else f"{mirror.rstrip('/')}/{entry.relative_path.as_posix()}"
    return fetch_entry(entry, cache=default_cache() if cache is None else Path(cache), url=url)


def take_copy(entry: ZooEntry, file: str | Path, *, cache: Path) -> Path:
    """Return a file of the zoo in a cache, copied from a file that the user has.

    Raises:
        CheckpointError: there is no such file.
        DownloadError: it is not the file that the publisher names, or that stands there already.
    """
    file = Path(file)
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file; name a copy of {entry.url}.")
    path = fetch_entry(entry, cache=cache, url=str(file.resolve()))
    if sha256_file(path) != sha256_file(file):
        raise DownloadError(
            f"{path}: stands already, and is another file than {file}.",
            "Delete it, and its .sha256, to have it replaced.",
        )
    return path


def fetch_entry(entry: ZooEntry, *, cache: Path, url: str) -> Path:
    """Return a file of the zoo in a cache, brought from a URL or a local file where it is missing.

    Processes that want the same file take turns, so that all ranks of a run may ask for it.

    Raises:
        DownloadError: the file cannot be had, or is another one than expected.
    """
    place = PublishedFile(url=url, path=cache / entry.relative_path, sha256=entry.sha256)
    with _turn(place.path), ProgressLine(
        f"downloading {entry.name}", None, unit="MB", decimals=1
    ) as line:  # fmt: skip
        fetch_published(
            place,
            other_way=f"bring a copy of it with: download_weights.py {entry.name} --from FILE",
            progress=lambda done, total: line.update(
                done / 1e6, total=None if total is None else total / 1e6
            ),
            content="weights of torch.save",
            beginnings=_BEGINNINGS,
        )
    return place.path


def _is_meant_as_path(path: Path) -> bool:
    """Return whether a text that is no name of the zoo looks like a path, or is one."""
    return path.exists() or len(path.parts) != 1 or bool(re.fullmatch(r"\.[a-z]\w*", path.suffix))


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Wait until no other process is at work on `path`, and keep others waiting."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(lock, "w")  # noqa: SIM115 (closed below)
    except OSError:
        yield  # a cache that cannot be written to may still hold the file
        return
    with file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
