"""What stands in a data set's folder, with hashes: written file by file, checked on every run."""

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from x3d_det.errors import DataError
from x3d_det.io.files import atomic_write, sha256_file

_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Record:
    """One file."""

    num_bytes: int
    sha256: str
    mtime_ns: int
    origin: str
    """URL or path it came from; "by hand" for a file that was found in its place."""
    num_frames: int | None = None
    """Of a video that was decoded to its end."""
    cut: Mapping[str, object] | None = None
    """How a cut was made: the settings, the film's hash, what is worth knowing."""


class Manifest:
    """The records of a folder, in its `manifest.json`; safe for several threads.

    Args:
        folder: of the data set.

    Raises:
        DataError: a manifest that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "manifest.json"
        self._folder = folder
        self._lock = threading.Lock()
        self._records = self._read()

    def get(self, name: str) -> Record | None:
        """Return the record of a file, by its path below the folder."""
        return self._records.get(name)

    def record(
        self,
        name: str,
        *,
        origin: str,
        file: Path | None = None,
        num_frames: int | None = None,
        cut: Mapping[str, object] | None = None,
    ) -> Record:
        """Hash a file and note it.

        Args:
            name: its path below the folder.
            origin: where it came from.
            file: where it lies now, if not under its name yet.
            num_frames: of a video that was decoded to its end.
            cut: how it was made.
        """
        path = file or self._folder / name
        facts = path.stat()
        record = Record(
            num_bytes=facts.st_size,
            sha256=sha256_file(path),
            mtime_ns=facts.st_mtime_ns,
            origin=origin,
            num_frames=num_frames,
            cut=cut,
        )
        with self._lock:
            self._records[name] = record
            self._write()
        return record

    def check(self, name: str, *, rehash: bool) -> Record | None:
        """Return the record of a standing file that is still as recorded; None without a record.

        Args:
            name: its path below the folder.
            rehash: read all of it, also where size and date are those recorded.

        Raises:
            DataError: the file is another one now.
        """
        record = self._records.get(name)
        path = self._folder / name
        if record is None or not path.is_file():
            return None
        facts = path.stat()
        if (facts.st_size, facts.st_mtime_ns) == (record.num_bytes, record.mtime_ns) and not rehash:
            return record
        found = sha256_file(path)
        if found != record.sha256:
            raise DataError(
                f"{path}: is not as it was when it came: SHA-256 {found}, recorded was "
                f"{record.sha256} ({record.num_bytes:,} bytes, now {facts.st_size:,}). Delete it "
                "to get it anew."
            )
        return record

    def _read(self) -> dict[str, Record]:
        if not self.path.exists():
            return {}
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if content["version"] != _VERSION:
                raise ValueError(f"version {content['version']}")
            return {name: Record(**fields) for name, fields in content["files"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{self.path}: is no manifest of this command ({error}). Move it away; the files "
                "that stand are then hashed and noted anew."
            ) from error

    def _write(self) -> None:
        files = {name: asdict(record) for name, record in sorted(self._records.items())}
        with atomic_write(self.path, "w") as file:
            json.dump({"version": _VERSION, "files": files}, file, indent=1)
            file.write("\n")
