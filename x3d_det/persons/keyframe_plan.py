"""Which keyframes are looked at for persons, in which order, and by which shard.

A plan depends on what was asked for and on nothing that a run finds out, so that every
shard, and every run that goes on with an earlier one, has the same plan.
"""

import hashlib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from x3d_det.data.clips import VIDEO_EXTENSIONS
from x3d_det.errors import DataError, VideoError, did_you_mean
from x3d_det.io.ava_csv import AvaAnnotations
from x3d_det.io.video import iterate_frames, probe_video
from x3d_det.keyframes import format_timestamp

if TYPE_CHECKING:
    import pandas as pd

KEYFRAMES_PER_PIECE = 16
"""Keyframes that are decoded together. They always belong together, whatever the shards and
however often a run was killed: a batch of frames then never depends on either."""

_TIMESTAMP_DECIMALS = 6  # as many as files keep
_NUM_NAMED = 5


@dataclass(frozen=True)
class Shard:
    """One of `count` processes that share the work; `index` counts from 1."""

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(f"shard {self} is none; write i/n with i from 1 to n, as in 1/4.")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return the shard that `i/n` names.

        Raises:
            ValueError: no such text, or i is not from 1 to n.
        """
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal()):
            raise ValueError(f"shard {text!r} is none; write i/n with i from 1 to n, as in 1/4.")
        return cls(int(index), int(count))


@dataclass(frozen=True)
class Piece:
    """Up to `KEYFRAMES_PER_PIECE` keyframes of one video, in rising order."""

    video_id: str
    timestamps: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class KeyframePlan:
    """The keyframes of a run, video after video."""

    timestamps: Mapping[str, tuple[float, ...]]
    """By video id, sorted; seconds of the film, rising, each once, rounded to microseconds."""
    identity: str
    """What was asked for, in words and a hash: equal for equal plans, mended videos or not."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Videos whose length could not be read, and why; they have no keyframes here."""
    notes: tuple[str, ...] = ()
    """What was left out on the way, in words with counts."""

    @property
    def num_keyframes(self) -> int:
        """Keyframes of all videos."""
        return sum(map(len, self.timestamps.values()))

    def pieces(self, shard: Shard) -> Iterator[Piece]:
        """Yield the pieces of one shard in plan order.

        Pieces are dealt out in turn, each video beginning with another shard: whose a piece
        is does not depend on the lengths of other videos, which may be mended in between.
        """
        for place, (video_id, timestamps) in enumerate(self.timestamps.items()):
            for number, first in enumerate(range(0, len(timestamps), KEYFRAMES_PER_PIECE)):
                if (place + number) % shard.count == shard.index - 1:
                    yield Piece(video_id, timestamps[first : first + KEYFRAMES_PER_PIECE])


def find_videos(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the video files by id (the name without its last suffix), sorted by id.

    Args:
        paths: files of any ending, and folders whose videos (not those of folders inside)
            are taken by their endings.

    Raises:
        DataError: nothing there, a folder without videos, two files of one id, or an id that
            no csv file can hold.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for file in _files_in(path) if path.is_dir() else [path]:
            if not file.exists():
                raise DataError(f"{file}: there is no such file or folder of videos.")
            _check_id(file)
            other = found.setdefault(file.stem, file)
            if other.resolve() != file.resolve():
                raise DataError(
                    f"{other} and {file} have the same video id {file.stem}; rename one, or give "
                    "them to two runs."
                )
    return dict(sorted(found.items()))


def plan_every(
    videos: Mapping[str, Path],
    *,
    interval_seconds: float = 1.0,
    first_second: float | None = None,
    last_second: float | None = None,
    video_start_seconds: float = 0.0,
) -> KeyframePlan:
    """Return keyframes at an even distance over video files.

    Args:
        videos: by id.
        interval_seconds: from one keyframe to the next.
        first_second: of the film; None is the first whole second that a file shows.
        last_second: of the film, included; None is each file's end. The files are opened for
            it alone; one that cannot be read gets no keyframes and is named in `unreadable`.
        video_start_seconds: second of the film at which the files start.

    Raises:
        DataError: there is no keyframe at all, though every file can be read.
    """
    first = math.ceil(video_start_seconds) if first_second is None else first_second
    timestamps: dict[str, tuple[float, ...]] = {}
    unreadable: dict[str, str] = {}
    for video_id, path in sorted(videos.items()):
        try:
            timestamps[video_id] = _grid(
                first,
                last_second,
                interval_seconds,
                end=math.inf if last_second is not None else video_start_seconds + _length(path),
            )
        except VideoError as error:
            timestamps[video_id], unreadable[video_id] = (), str(error)
    if not unreadable and not any(timestamps.values()):
        raise DataError(
            f"no keyframe to look at: of {len(videos)} video files none reaches second {first:g}, "
            "the first one asked for."
        )
    if last_second is not None:
        return KeyframePlan(timestamps=timestamps, identity=_identity(timestamps))
    names = hashlib.sha256("\n".join(timestamps).encode()).hexdigest()
    return KeyframePlan(
        timestamps=timestamps,
        identity=f"every {interval_seconds:g} s from second {first:g} to the end of "
        f"{len(videos)} videos, sha256 {names[:16]}",
        unreadable=unreadable,
    )


def plan_annotated_range(
    annotations: AvaAnnotations,
    *,
    exclusions: "pd.DataFrame | None" = None,
    interval_seconds: float = 1.0,
) -> KeyframePlan:
    """Return all keyframes from the first to the last annotated one, for every video.

    Not the annotated ones alone: a detector is also to be judged on keyframes where nobody
    is, and the list of annotated keyframes tells where people are.

    Args:
        annotations: of a split.
        exclusions: keyframes to leave out.
        interval_seconds: keyframes stand at multiples of it.

    Raises:
        DataError: annotated seconds between the multiples would all be missed.

    Source: open-mmlab/mmaction2 issue 1268.
    """
    annotated = _by_video(_annotated_rows(annotations))
    seconds = {second for own in annotated.values() for second in own}
    if not seconds:
        raise DataError(f"{annotations.path}: names no keyframe.")
    first = math.floor(min(seconds) / interval_seconds + 1e-6) * interval_seconds
    grid = _grid(first, max(seconds), interval_seconds, end=math.inf)
    broken = sorted(seconds - set(grid))
    if broken:
        is_whole = interval_seconds == 1
        missed_by = "whole seconds" if is_whole else f"multiples of {interval_seconds:g} s"
        raise DataError(
            f"{annotations.path}: has keyframes at broken seconds, such as "
            f"{format_timestamp(broken[0])}, which {missed_by} miss; add  --keyframes annotated"
        )
    return _listed(dict.fromkeys(annotated, grid), exclusions, ())


def plan_annotated(
    annotations: AvaAnnotations, *, exclusions: "pd.DataFrame | None" = None
) -> KeyframePlan:
    """Return the keyframes that annotations name, those without a person included."""
    return _listed(_by_video(_annotated_rows(annotations)), exclusions, ())


def plan_listed(
    rows: "pd.DataFrame", *, path: str | Path, video_ids: Collection[str] | None = None
) -> KeyframePlan:
    """Return the keyframes of a list.

    Args:
        rows: video_id, timestamp.
        path: the list's file, for messages.
        video_ids: take the keyframes of these videos alone and count the others; None takes all.

    Raises:
        DataError: no keyframe is left.
    """
    listed = _by_video([rows])
    wanted = set(listed if video_ids is None else video_ids)
    taken = {video_id: stamps for video_id, stamps in listed.items() if video_id in wanted}
    if not taken:
        known = ", ".join(list(listed)[:_NUM_NAMED]) or "none"
        nearest = did_you_mean(next(iter(wanted), ""), listed)
        raise DataError(
            f"{path}: has no keyframe of the videos given; its video ids: {known}{nearest}"
        )
    notes = []
    if others := [video_id for video_id in listed if video_id not in taken]:
        num = sum(len(listed[video_id]) for video_id in others)
        notes.append(f"{num:,} keyframes of {len(others)} videos of {path} that were not given")
    if without := sorted(wanted - set(taken)):
        notes.append(f"videos without a keyframe in {path}: {_named(without)}")
    return _listed(taken, None, notes)


def _listed(
    by_video: Mapping[str, Iterable[float]],
    exclusions: "pd.DataFrame | None",
    notes: Sequence[str],
) -> KeyframePlan:
    excluded = {} if exclusions is None else _by_video([exclusions])
    timestamps = {}
    num_excluded = 0
    for video_id, stamps in sorted(by_video.items()):
        found = set(stamps)
        kept = found - excluded.get(video_id, set())
        num_excluded += len(found) - len(kept)
        timestamps[video_id] = tuple(sorted(kept))
    if num_excluded:
        notes = [*notes, f"{num_excluded:,} keyframes of the exclusion list"]
    return KeyframePlan(timestamps=timestamps, identity=_identity(timestamps), notes=tuple(notes))


def _annotated_rows(annotations: AvaAnnotations) -> "list[pd.DataFrame]":
    return [annotations.rows, annotations.empty_keyframes]


def _by_video(tables: "Iterable[pd.DataFrame]") -> dict[str, set[float]]:
    found: dict[str, set[float]] = {}
    for table in tables:
        for video_id, group in table.groupby("video_id", sort=False)["timestamp"]:
            stamps = group.to_numpy().round(_TIMESTAMP_DECIMALS).tolist()
            found.setdefault(str(video_id), set()).update(stamps)
    return found


def _grid(
    first: float, last: float | None, interval_seconds: float, *, end: float
) -> tuple[float, ...]:
    """Return first, first + interval, ...: up to `last`, it included, or before `end`."""
    slack = 1e-6  # a sum of tenths may miss the last one by a rounding
    if last is not None:
        num = math.floor((last - first) / interval_seconds + slack) + 1
    else:
        num = math.ceil((end - first) / interval_seconds - slack)
    return tuple(
        round(first + step * interval_seconds, _TIMESTAMP_DECIMALS) + 0.0 for step in range(num)
    )


def _length(path: Path) -> float:
    """Return the seconds that a video file shows; decodes it where its header does not say."""
    info = probe_video(path)
    if info.duration_seconds is not None:
        return info.duration_seconds
    last_second = 0.0
    for last_second, _ in iterate_frames(path):  # noqa: B007 (the last one is wanted)
        pass
    return last_second + float(1 / info.fps)


def _identity(timestamps: Mapping[str, tuple[float, ...]]) -> str:
    digest = hashlib.sha256()
    for video_id, stamps in timestamps.items():
        digest.update(f"{video_id}\n{' '.join(map(format_timestamp, stamps))}\n".encode())
    num = sum(map(len, timestamps.values()))
    return f"{num:,} keyframes of {len(timestamps)} videos, sha256 {digest.hexdigest()[:16]}"


def _files_in(folder: Path) -> list[Path]:
    endings = {f".{extension}" for extension in VIDEO_EXTENSIONS}
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in endings]
    if not files:
        raise DataError(
            f"{folder}: holds no video; endings looked for: {', '.join(VIDEO_EXTENSIONS)}."
        )
    return files


def _check_id(file: Path) -> None:
    """Refuse now what could not be written, or read back, after hours of work."""
    video_id = file.stem
    bad = [mark for mark in (",", '"', "\r", "\n", "\\", "..") if mark in video_id]
    if bad or video_id != video_id.strip() or not _is_utf8(video_id):
        what = f"holds {bad[0]!r}" if bad else "has blanks at its ends or is not UTF-8"
        raise DataError(
            f"{file}: the name {what}, which a csv file cannot hold as a video id; rename it."
        )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NUM_NAMED
    return ", ".join(names[:_NUM_NAMED]) + (f" and {more} more" if more > 0 else "")
