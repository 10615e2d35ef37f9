"""The journals of all shards -> one csv of person boxes, and what to say about it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from x3d_det.errors import DataError
from x3d_det.io.ava_csv import write_proposals
from x3d_det.io.film_time import FilmTime
from x3d_det.keyframes import Keyframe
from x3d_det.persons.journal import (
    CORNER_DECIMALS,
    Records,
    Settings,
    check_settings,
    journal_path,
    read_records,
)
from x3d_det.persons.keyframe_plan import KeyframePlan, Shard

BOXES_NAME = "person_boxes.csv"
_COLUMNS = ["x1", "y1", "x2", "y2", "score"]
# Films have keyframes without people; only where half of all have none is something amiss.
_HINT_SHARE = 0.5
_NUM_NAMED = 3
_NUM_REASONS = 20


@dataclass(kw_only=True, eq=False)
class ShardedRun:
    """What the journals of a run hold."""

    plan: KeyframePlan
    settings: Settings
    num_shards: int
    records: dict[int, Records] = field(default_factory=dict)
    """By shard index, of the shards that have ended."""

    @property
    def unfinished(self) -> list[int]:
        """Shards that have not yet gone through all their videos."""
        return [index for index in range(1, self.num_shards + 1) if index not in self.records]

    @property
    def unreadable(self) -> dict[str, str]:
        """Videos that a shard could not read, sorted, and why."""
        found: dict[str, str] = {}
        for records in self.records.values():
            found = {**records.unreadable, **found}
        return dict(sorted(found.items()))

    def require_readable(self) -> None:
        """Raise if a video could not be read.

        Raises:
            DataError: names the videos, why, and the ways on.
        """
        if self.unreadable:
            shards = [str(index) for index, records in self.records.items() if records.unreadable]
            where = "" if self.num_shards == 1 else f" (--shard i/n for i = {', '.join(shards)})"
            raise DataError(
                f"{self.unreadable_text()}\nmend them and run again with --resume{where}, or add "
                "--skip-unreadable to write the file without them"
            )

    def require_keyframes(self) -> None:
        """Raise if there was nothing to look at.

        Raises:
            DataError: no video could be read, or none shows any of its keyframes.
        """
        outside = 0
        for keyframe, records in self.keyframes():
            if not records.is_outside(keyframe):
                return
            outside += 1
        if outside:
            start = self.settings["video_start_seconds"]
            raise DataError(
                f"none of {outside:,} keyframes lies inside its video; the files are taken to "
                f"start at second {start:g} of the film. Set --video-start-seconds (of a data "
                "set: dataset.video_start_seconds) and choose another --output-dir."
            )
        raise DataError(f"no keyframe could be looked at\n{self.unreadable_text()}".rstrip())

    def unreadable_text(self) -> str:
        """Return the unreadable videos and why, a line each; empty where there are none."""
        unreadable = self.unreadable
        if not unreadable:
            return ""
        lines = [f"  {reason}" for reason in unreadable.values()][:_NUM_REASONS]
        if (more := len(unreadable) - _NUM_REASONS) > 0:
            lines.append(f"  and {more:,} more")
        total = len(self.plan.timestamps)
        return "\n".join([f"{len(unreadable):,} of {total:,} videos could not be read:", *lines])

    def keyframes(self) -> Iterator[tuple[Keyframe, Records]]:
        """Yield the keyframes of the ended shards in plan order, unreadable videos left out."""
        owners = {
            Keyframe(piece.video_id, second): records
            for index, records in self.records.items()
            for piece in self.plan.pieces(Shard(index, self.num_shards))
            for second in piece.timestamps
        }
        unreadable = self.unreadable
        for video_id, timestamps in self.plan.timestamps.items():
            if video_id in unreadable:
                continue
            for keyframe in (Keyframe(video_id, second) for second in timestamps):
                if keyframe in owners:
                    yield keyframe, owners[keyframe]


def read_run(
    output_dir: Path, plan: KeyframePlan, *, num_shards: int, settings: Settings
) -> ShardedRun:
    """Return what the shards of a run have found, each keyframe once.

    Raises:
        DataError: the journals contradict the plan or each other: other settings, a keyframe
            twice, of another shard, or missing in a shard that has ended.
    """
    run = ShardedRun(plan=plan, settings=settings, num_shards=num_shards)
    for index in range(1, num_shards + 1):
        shard = Shard(index, num_shards)
        path = journal_path(output_dir, shard)
        if not path.exists():
            continue
        keyframes = shard_keyframes(plan, shard)
        records = read_records(path, keyframes)
        if records.settings is None:
            continue
        check_settings(path, records, shard, settings)
        if records.is_ended:
            _check_complete(path, shard, records, keyframes)
            run.records[index] = records
    return run


def shard_keyframes(plan: KeyframePlan, shard: Shard) -> dict[Keyframe, None]:
    """Return the keyframes of a shard, each once, in plan order."""
    return {
        Keyframe(piece.video_id, second): None
        for piece in plan.pieces(shard)
        for second in piece.timestamps
    }


def write_person_boxes(run: ShardedRun, path: Path, *, time: FilmTime | None = None) -> None:
    """Write the boxes of a run in the form of LFB and PySlowFast: whole, or not at all.

    Rows stand by video, second and falling score; corners have five decimals, scores six at
    most. How many shards there were, and how often they were killed, changes no byte.

    Args:
        run: what was found.
        path: the csv.
        time: of the data set that the boxes are for, which may count frames; None: seconds.

    Raises:
        X3DDetError: the disk is full.
    """
    videos: list[str] = []
    seconds: list[float] = []
    tables = [np.empty((0, len(_COLUMNS)))]
    for keyframe, records in run.keyframes():
        boxes = records.boxes(keyframe)
        videos += [keyframe.video_id] * len(boxes)
        seconds += [keyframe.timestamp] * len(boxes)
        tables.append(boxes)
    rows = pd.DataFrame(np.concatenate(tables), columns=_COLUMNS)
    rows.insert(0, "timestamp", np.array(seconds, np.float64))
    rows.insert(0, "video_id", np.array(videos, dtype=object))
    if time is not None:
        rows = time.as_written(rows)
    write_proposals(rows, path, decimals=CORNER_DECIMALS)


@dataclass(frozen=True, kw_only=True)
class PersonSummary:
    """How many persons a run found, and where it found none."""

    threshold: float
    """Least score of a box that counts as a person here."""
    num_videos: int
    """Videos with a keyframe that was looked at."""
    num_keyframes: int
    """Keyframes looked at."""
    num_boxes: int
    """All boxes of them."""
    num_persons: int
    """Boxes of the threshold or more."""
    highest_without: tuple[float, ...]
    """For each keyframe without a person its highest score, 0 where it has no box."""
    outside: tuple[Keyframe, ...]
    """Keyframes that their videos do not show."""

    def lines(self) -> list[str]:
        """Return the summary in words, a hint added where half of the keyframes have nobody."""
        found = [
            f"{self.num_keyframes:,} keyframes of {self.num_videos:,} "
            f"video{'s' * (self.num_videos != 1)}: {self.num_boxes:,} boxes, {self.num_persons:,} "
            f"of them above {self.threshold:g}",
            *self._without_lines(),
        ]
        if self.outside:
            found.append(
                f"{len(self.outside):,} keyframes lie outside their videos and were skipped: "
                f"{_named(self.outside)}"
            )
        return found

    def _without_lines(self) -> list[str]:
        num = len(self.highest_without)
        if not self.num_keyframes:
            return []
        if not num:
            return [f"each keyframe has a person above {self.threshold:g}"]
        highest = max(self.highest_without)
        line = (
            f"0 persons above {self.threshold:g} in {num:,} of {self.num_keyframes:,} keyframes; "
        )
        lines = [line + (f"highest score {_cut(highest)}" if highest else "not one box there")]
        if num < _HINT_SHARE * self.num_keyframes:
            return lines
        hint = "more persons: a larger --short-side, or another --model"
        if lower := next((step for step in (0.5, 0.3, 0.1) if step <= highest), None):
            left = sum(score < lower for score in self.highest_without)
            hint = (
                f"a lower boxes.score_threshold keeps more (above {lower:g}: 0 persons in {left:,} "
                f"of {self.num_keyframes:,} keyframes); {hint}"
            )
        return [*lines, f"  {hint}"]


def summarize(run: ShardedRun, *, threshold: float) -> PersonSummary:
    """Return the counts of the ended shards, unreadable videos left out."""
    num_keyframes = num_boxes = num_persons = 0
    videos: set[str] = set()
    highest_without: list[float] = []
    outside: list[Keyframe] = []
    for keyframe, records in run.keyframes():
        if records.is_outside(keyframe):
            outside.append(keyframe)
            continue
        scores = records.boxes(keyframe)[:, 4]
        videos.add(keyframe.video_id)
        num_keyframes += 1
        num_boxes += len(scores)
        num_persons += int((scores >= threshold).sum())
        if not (scores >= threshold).any():
            highest_without.append(float(scores.max(initial=0.0)))
    return PersonSummary(
        threshold=threshold,
        num_videos=len(videos),
        num_keyframes=num_keyframes,
        num_boxes=num_boxes,
        num_persons=num_persons,
        highest_without=tuple(highest_without),
        outside=tuple(outside),
    )


def _check_complete(
    path: Path, shard: Shard, records: Records, keyframes: dict[Keyframe, None]
) -> None:
    missing = [
        keyframe
        for keyframe in keyframes
        if keyframe not in records and keyframe.video_id not in records.unreadable
    ]
    if missing:
        raise DataError(
            f"{path}: has ended, but holds no line for {len(missing):,} keyframes: "
            f"{_named(missing)}; go on with it by --shard {shard} --resume."
        )


def _named(keyframes: Sequence[Keyframe]) -> str:
    more = len(keyframes) - _NUM_NAMED
    return ", ".join(map(str, keyframes[:_NUM_NAMED])) + (f" and {more:,} more" if more > 0 else "")


def _cut(score: float) -> str:
    """Return a score cut, not rounded, to two decimals: 0.799 is not above 0.8."""
    return f"{math.floor(round(score * 1e6) / 1e4) / 100:.2f}"
