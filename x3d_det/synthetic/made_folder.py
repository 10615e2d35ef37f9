"""A folder of made files that can be stopped, completed, checked and found again.

`manifest.json` is written last: a folder with it is complete. `progress.json` lists the files made
so far; a later run with the same settings keeps those whose bytes are still the same.
"""

import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from x3d_det.errors import DataError
from x3d_det.io.files import atomic_write, sha256_file

MANIFEST = "manifest.json"
_PROGRESS = "progress.json"

ProgressFunction = Callable[[int, int], None]
"""Called with the number of videos that stand and the number of all videos."""


@dataclass(frozen=True, kw_only=True)
class MadeFile:
    """One file of a set: its name relative to the folder, and its sha256."""

    name: str
    sha256: str


Job = TypeVar("Job")
Made = TypeVar("Made", bound=MadeFile)


@dataclass(frozen=True, kw_only=True)
class MadeSummary:
    """What there is to say of every made set.

    Attributes:
        output_dir: the folder.
        seconds: that the making took; None: nothing had to be made.
        num_bytes: of all files together.
    """

    output_dir: Path
    seconds: float | None
    num_bytes: int

    @property
    def reused(self) -> bool:
        """Whether nothing had to be made."""
        return self.seconds is None

    def last_line(self) -> str:
        """Return where the set is, whether it was made now, and how large it is."""
        done = "stands already" if self.seconds is None else f"made in {self.seconds:.0f} s"
        return f"{self.output_dir}: {done}, {self.num_bytes / 1e6:.1f} MB"


class MadeFolder:
    """One output folder and the settings that decide its bytes.

    Args:
        folder: made where missing.
        settings: plain values by name, all that decide the bytes but for the code, of which a
            digest is added; two kinds of set have different names.
        kind: in words, for messages, such as "generated AVA".
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any], *, kind: str) -> None:
        self.folder, self._kind = Path(folder), kind
        self.seconds: float | None = None
        """That the making took; None before its end, and where nothing had to be made."""
        self._started = time.monotonic()
        everything = {**settings, "generator": _generator_digest()}
        # As the file will give them back: tuples are lists there.
        self._settings: dict[str, Any] = json.loads(json.dumps(everything))
        self._made: dict[str, str] = {}

    def complete_manifest(self) -> dict[str, Any] | None:
        """Return the manifest of a complete set of the same settings, every file checked."""
        manifest = _read_json(self.folder / MANIFEST)
        if manifest.get("settings") != self._settings:
            return None
        whole = all(_matches(self.folder / n, d) for n, d in manifest["sha256"].items())
        return manifest if whole else None

    def start(self, subfolders: Iterable[str]) -> dict[str, str]:
        """Prepare the folder; return the kept files of an earlier run, name to sha256.

        Files of an earlier set of the same kind with other settings are removed.

        Raises:
            DataError: the folder holds anything else.
        """
        earlier = [_read_json(self.folder / name) for name in (MANIFEST, _PROGRESS)]
        self._refuse_foreign(earlier)
        for found in earlier:
            digests = found.get("sha256", {})
            if found.get("settings") == self._settings:
                self._made |= digests
            else:
                for name in digests:
                    (self.folder / name).unlink(missing_ok=True)
        for part in subfolders:
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        self._made = {n: d for n, d in self._made.items() if _matches(self.folder / n, d)}
        self._write(_PROGRESS, sha256=self._made)
        (self.folder / MANIFEST).unlink(missing_ok=True)
        return dict(self._made)

    def fill(
        self,
        make: Callable[[Job], Made],
        jobs: Sequence[Job],
        *,
        workers: int,
        progress: ProgressFunction | None,
    ) -> Iterator[Made]:
        """Yield the file of each job, in any order, noted so that a later run keeps it.

        Args:
            make, jobs: can be pickled.
            workers: processes; the result does not depend on it.
            progress: told after each file.
        """
        for done, file in enumerate(_in_processes(make, jobs, workers=workers), start=1):
            self._made[file.name] = file.sha256
            self._write(_PROGRESS, sha256=self._made)
            if progress is not None:
                progress(done, len(jobs))
            yield file

    def finish(self, counts: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
        """Write and return the manifest over the named files, the whole set."""
        digests = {name: sha256_file(self.folder / name) for name in sorted(names)}
        manifest = self._write(MANIFEST, counts=dict(counts), sha256=digests)
        (self.folder / _PROGRESS).unlink(missing_ok=True)
        self.seconds = time.monotonic() - self._started
        return manifest

    def num_bytes(self, manifest: Mapping[str, Any]) -> int:
        """Return the size of all files of the manifest together."""
        return sum((self.folder / name).stat().st_size for name in manifest["sha256"])

    def _refuse_foreign(self, earlier: Sequence[Mapping[str, Any]]) -> None:
        kinds = [set(found["settings"]) for found in earlier if "settings" in found]
        if not kinds and not (self.folder.is_dir() and any(self.folder.iterdir())):
            return
        if not kinds or any(kind != set(self._settings) for kind in kinds):
            raise DataError(
                f"{self.folder} holds files that are not of a {self._kind}; "
                "give an empty or new folder."
            )

    def _write(self, name: str, **content: Any) -> dict[str, Any]:
        everything = {"settings": self._settings, **content}
        with atomic_write(self.folder / name, "w") as file:
            json.dump(everything, file, indent=1)
        return everything


def check_at_least(kind: str, numbers: Iterable[tuple[str, int, int]]) -> None:
    """Check (name, value, least value) of the numbers that a set is asked for.

    Raises:
        DataError: names every number that is too low.
    """
    faults = [
        f"{name} = {value} is below {least}" for name, value, least in numbers if value < least
    ]
    if faults:
        raise DataError(f"the {kind} cannot be made: " + "; ".join(faults) + ".")


def _in_processes(
    make: Callable[[Job], Made], jobs: Sequence[Job], *, workers: int
) -> Iterator[Made]:
    if workers == 1:  # the calling process does it all
        yield from map(make, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        futures = [pool.submit(make, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _generator_digest() -> str:
    """Return a digest of this package's own text: changed code makes a new set."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _matches(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_file(path) == digest


def _read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one where the file is missing or spoiled."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
