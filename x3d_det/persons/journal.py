"""What a shard has found so far: an append-only file of JSON lines that survives any kill.

    {"journal": "x3d_det persons", "version": 1, "shard": "1/4", "settings": {...}}
    {"video_id": "-5KQ66BBWC4", "timestamp": 902.0, "boxes": [[x1, y1, x2, y2, score], ...]}
    {"video_id": "-5KQ66BBWC4", "timestamp": 1802.0, "outside": true}
    {"end": true, "unreadable": {"_Ca3gOdOHxU": "why"}}

One line a keyframe, also where nobody was found; corners in fractions of the frame. The
end line says that the shard went through all its videos; a run that goes on may add more.
"""

import contextlib
import fcntl
import json
import os
from array import array
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from x3d_det.errors import DataError, X3DDetError
from x3d_det.keyframes import Keyframe
from x3d_det.persons.keyframe_plan import Shard

CORNER_DECIMALS = 5
"""Of corners, as fractions of the frame: 0.02 pixels of 1920, finer than any detector is sure."""
SCORE_DECIMALS = 6
"""Of scores. Rounding hides the last bits, which differ with the size of a batch."""

_KIND = "x3d_det persons"
_VERSION = 1
_VALUES_PER_BOX = 5
_OUTSIDE = -1

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class FoundPersons:
    """What was found at one keyframe."""

    keyframe: Keyframe
    boxes: tuple[tuple[float, ...], ...] = ()
    """x1, y1, x2, y2 in fractions of the frame, and the score."""
    is_outside: bool = False
    """The video shows no such second."""


@dataclass(kw_only=True, eq=False)
class Records:
    """The whole lines of one journal."""

    settings: dict[str, Any] | None = None
    """None where not even the header is there."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Videos that the shard could not read when it last went through, and why."""
    is_ended: bool = False
    """The last line is an end line."""
    num_bytes: int = 0
    """Length of the whole lines; a killed writer may have left half a line behind them."""
    _values: array = field(default_factory=lambda: array("d"))
    _spans: dict[Keyframe, tuple[int, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._spans)

    def __contains__(self, keyframe: object) -> bool:
        return keyframe in self._spans

    def is_outside(self, keyframe: Keyframe) -> bool:
        """Return whether the video was found not to show this second."""
        return self._spans[keyframe][1] == _OUTSIDE

    def boxes(self, keyframe: Keyframe) -> np.ndarray:
        """Return the boxes (N, 5) of a keyframe: x1, y1, x2, y2 in fractions, score."""
        first, num = self._spans[keyframe]
        values = self._values[first : first + max(num, 0) * _VALUES_PER_BOX]
        return np.array(values, np.float64).reshape(-1, _VALUES_PER_BOX)

    def num_persons(self, threshold: float) -> int:
        """Return how many boxes have this score or more."""
        scores = np.array(self._values[_VALUES_PER_BOX - 1 :: _VALUES_PER_BOX])
        return int((scores >= threshold).sum())

    def _add(self, keyframe: Keyframe, boxes: list[list[float]] | None) -> None:
        values = [float(value) for box in boxes or () for value in box]
        num = _OUTSIDE if boxes is None else len(boxes)
        if len(values) != max(num, 0) * _VALUES_PER_BOX:
            raise ValueError("a box of more or fewer numbers")
        self._spans[keyframe] = len(self._values), num
        self._values.extend(values)


def journal_path(output_dir: Path, shard: Shard) -> Path:
    """Return where the journal of a shard lies."""
    return output_dir / f"shard-{shard.index}-of-{shard.count}.jsonl"


def read_records(path: Path, keyframes: Collection[Keyframe]) -> Records:
    """Return the whole lines of a journal; half a last line is left out.

    Args:
        path: the journal.
        keyframes: those that its shard is to look at.

    Raises:
        DataError: a damaged line that is not the last, a keyframe twice or of no plan, each
            with its line, or a file of another kind or version.
    """
    records = Records()
    damaged: int | None = None
    with open(path, "rb") as file:
        for line, text in enumerate(file, start=1):
            if damaged is not None:
                raise DataError(
                    f"{path}:{damaged}: is no whole line of a journal, and is not the last one; "
                    "delete it and go on with --resume."
                )
            try:
                entry = _parsed(text)
                if line > 1:
                    _take(records, entry, keyframes, f"{path}:{line}")
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                if isinstance(error, X3DDetError):
                    raise
                damaged = line
                continue
            if line == 1:
                _check_kind(path, entry)
                records.settings = {"shard": entry.get("shard"), **entry.get("settings", {})}
            records.num_bytes += len(text)
    return records


class PersonJournal:
    """The journal of one shard, opened for writing and locked against other processes.

    A context. What an earlier run wrote is in `records`, and half a last line is cut off.

    Args:
        output_dir: folder of the journals; no journal of another number of shards is in it.
        shard: whose journal.
        settings: what a run that goes on must share, flat or nested, of JSON's types.
        keyframes: those that the shard is to look at.
        resume: go on where there is a journal; without it one is refused.

    Raises:
        X3DDetError: another process is at work on it, or the disk cannot be written to.
        DataError: there is a journal and no `resume`, it was made with other settings (each is
            named), or is damaged.
    """

    def __init__(
        self,
        output_dir: Path,
        shard: Shard,
        *,
        settings: Settings,
        keyframes: Collection[Keyframe],
        resume: bool,
    ) -> None:
        self.path = journal_path(output_dir, shard)
        check_no_other_run(output_dir, shard, resume=resume)
        with _disk_errors(self.path):
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 (close())
        try:
            self._lock()
            self.records = read_records(self.path, keyframes)
            header = {"journal": _KIND, "version": _VERSION, "shard": str(shard)}
            if self.records.settings is None:
                self._file.truncate(0)
                self._write([{**header, "settings": settings}])
            else:
                check_settings(self.path, self.records, shard, settings)
                self._file.truncate(self.records.num_bytes)
        except BaseException:
            self._file.close()
            raise

    def append(self, found: Iterable[FoundPersons]) -> None:
        """Write keyframes, a line each.

        Raises:
            X3DDetError: the disk is full; names the file and the way on.
        """
        self._write(_entry(item) for item in found)

    def end(self, unreadable: Mapping[str, str]) -> None:
        """Write that the shard went through all its videos, and make all of it last.

        Raises:
            X3DDetError: the disk is full.
        """
        if not self.records.is_ended or self.records.unreadable != unreadable:
            self._write([{"end": True, "unreadable": dict(unreadable)}])
        with _disk_errors(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file, which also ends the lock."""
        self._file.close()

    def __enter__(self) -> "PersonJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise X3DDetError(
                f"{self.path}: another process is at work on this shard; wait for its end, or give "
                "each process its own --shard i/n."
            ) from None
        except OSError as error:
            raise X3DDetError(
                f"{self.path}: cannot be locked against a second process ({error.strerror}); "
                "choose an --output-dir on a disk of this machine."
            ) from error

    def _write(self, entries: Iterable[Mapping[str, Any]]) -> None:
        data = "".join(json.dumps(entry, allow_nan=False) + "\n" for entry in entries).encode()
        with _disk_errors(self.path):
            while data:  # a disk that fills up takes a part first
                data = data[self._file.write(data) :]


def check_no_other_run(output_dir: Path, shard: Shard, *, resume: bool) -> None:
    """Refuse a folder that holds another run's journals, before anything heavy is loaded.

    Raises:
        DataError: journals of another number of shards, or this shard's without `resume`.
    """
    own = journal_path(output_dir, shard)
    for path in sorted(output_dir.glob("shard-*-of-*.jsonl")):
        count = path.stem.rpartition("-")[2]
        if count != str(shard.count):
            raise DataError(
                f"{path}: is of a run of {count} shards, this one is of {shard.count}; go on with "
                f"--shard i/{count} --resume, or choose another --output-dir."
            )
    if not resume and own.exists() and b"\n" in _head(own):
        raise DataError(
            f"{own}: an earlier run has begun here; go on with it by --resume, or choose another "
            "--output-dir, or delete the file."
        )


def check_settings(path: Path, records: Records, shard: Shard, settings: Settings) -> None:
    """Refuse a journal of other settings.

    Raises:
        DataError: names each difference.
    """
    expected = json.loads(json.dumps({"shard": str(shard), **settings}))
    old, new = _flat(records.settings or {}), _flat(expected)
    changes = [
        f"{name} was {old.get(name)!r}, is {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if changes:
        raise DataError(
            f"{path}: was made with other settings: {'; '.join(changes)}. Give the same ones to go "
            "on, or choose another --output-dir."
        )


def _take(
    records: Records, entry: dict[str, Any], keyframes: Collection[Keyframe], where: str
) -> None:
    """Add one line behind the header."""
    records.is_ended = bool(entry.get("end"))
    if records.is_ended:
        records.unreadable = dict(entry["unreadable"])
        return
    keyframe = Keyframe(entry["video_id"], float(entry["timestamp"]))
    if keyframe in records:
        raise DataError(f"{where}: the keyframe {keyframe} stands here twice; delete this line.")
    if keyframe not in keyframes:
        raise DataError(
            f"{where}: the keyframe {keyframe} is none of this shard's; the videos have changed "
            "since. Choose another --output-dir."
        )
    records._add(keyframe, None if entry.get("outside") else entry["boxes"])


def _entry(found: FoundPersons) -> dict[str, Any]:
    key = {"video_id": found.keyframe.video_id, "timestamp": found.keyframe.timestamp}
    return {**key, "outside": True} if found.is_outside else {**key, "boxes": found.boxes}


def _parsed(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise ValueError("half a line")
    entry = json.loads(line)
    if not isinstance(entry, dict):
        raise TypeError("no object")
    return entry


def _check_kind(path: Path, header: dict[str, Any]) -> None:
    kind, version = header.get("journal"), header.get("version")
    if kind != _KIND or version != _VERSION:
        raise DataError(
            f"{path}: is no journal of this version (kind {kind!r}, version {version!r}; this "
            f"program writes {_KIND!r}, version {_VERSION}); choose another --output-dir."
        )


def _flat(settings: Settings, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        is_section = isinstance(value, Mapping)
        found |= _flat(value, f"{prefix}{name}.") if is_section else {f"{prefix}{name}": value}
    return found


def _head(path: Path) -> bytes:
    """Return the first bytes; a header is shorter than that."""
    with open(path, "rb") as file:
        return file.read(1 << 16)


@contextlib.contextmanager
def _disk_errors(path: Path) -> Any:
    try:
        yield
    except OSError as error:
        raise X3DDetError(
            f"cannot write {path}: {error.strerror or error}. What was found before is kept; free "
            "some space and go on with --resume."
        ) from error
