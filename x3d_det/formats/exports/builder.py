"""Boxes of an export collected into AVA's form: clipping, rows, notes, all faults."""

from collections import Counter
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from x3d_det.errors import DataError
from x3d_det.formats.exports.action_names import ActionNames
from x3d_det.formats.exports.export_videos import ExportVideos
from x3d_det.formats.exports.imported import ImportedAnnotations, ImportOptions
from x3d_det.formats.foreign_files import Faults, FileFault
from x3d_det.io.ava_csv import COORDINATES, AvaAnnotations
from x3d_det.io.ava_rows import MAX_PERSON_ID

if TYPE_CHECKING:
    import pandas as pd

DECIMALS = 6
"""Of the boxes, as AVA-Kinetics has them: a thousandth of a pixel or so."""


class AnnotationBuilder:
    """Collects the boxes of an export and gives them out in AVA's form.

    Its attributes serve the reader of an export: `videos` and `actions` say what the names
    in it stand for, `faults` collects what is wrong with it, `options` are the caller's.

    Args:
        path: the export, for messages.
        options: of the import.

    Raises:
        FileFault: the caller's video id is none that AVA's files can carry.
        DataError: the caller's label map has a name twice.
    """

    def __init__(self, path: str | PathLike[str], options: ImportOptions) -> None:
        self.faults = Faults(path)
        self.options = options
        self.videos = ExportVideos(options)
        self.actions = ActionNames(options.label_map)
        self._left_out: Counter[str] = Counter()
        self._rows: dict[_Row, None] = {}
        self._looked_at: dict[tuple[str, float], bool] = {}

    def look_at(self, video_id: str, second: float) -> float:
        """Note that a keyframe was annotated, with persons or without; return its timestamp.

        Args:
            video_id: the video.
            second: of the file.
        """
        timestamp = round(self.options.video_start_seconds + second, 6)
        self._looked_at.setdefault((video_id, timestamp), False)
        return timestamp

    def add_box(
        self,
        place: str,
        *,
        video_id: str,
        second: float,
        corners_px: Sequence[float],
        size: tuple[float, float],
        actions: Sequence[str],
        person: str | int | None,
    ) -> None:
        """Note one person on one keyframe.

        Args:
            place: of the box, for faults.
            video_id: the video.
            second: of the file.
            corners_px: x1, y1, x2, y2.
            size: (height, width) of the frame.
            actions: names; none leaves the box out.
            person: what the export calls the person within the video; None if nothing.

        Raises:
            FileFault: the box has no area.
        """
        x1, y1, x2, y2 = corners_px
        if not (x1 < x2 and y1 < y2):
            raise FileFault(
                place,
                f"the box from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g}) has no area; remove it, or "
                "draw it again.",
            )
        timestamp = self.look_at(video_id, second)
        height, width = size
        left, top, right, bottom = max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height)
        box = (
            *(round(left / width, DECIMALS), round(top / height, DECIMALS)),
            *(round(right / width, DECIMALS), round(bottom / height, DECIMALS)),
        )
        if box[0] >= box[2] or box[1] >= box[3]:
            self.leave_out("boxes with nothing inside the picture, left out")
            return
        self._looked_at[video_id, timestamp] = True
        if max(left - x1, top - y1, x2 - right, y2 - bottom) > 1:
            self.leave_out("boxes more than a pixel over the edge of the picture, clipped to it")
        names = [name for name in dict.fromkeys(actions) if name]
        if not names:
            self.leave_out("boxes without an action, left out")
        for name in names:
            action_id = self.actions.id_of(name, place)
            if action_id is None:
                continue
            row = _Row(video_id, timestamp, box, action_id, person)
            if row in self._rows:
                self.leave_out("rows that repeat another in full, left out")
            self._rows[row] = None

    def leave_out(self, what: str, count: int = 1) -> None:
        """Count something for the notes, as "boxes without an action, left out"."""
        self._left_out[what] += count

    def result(self) -> ImportedAnnotations:
        """Return the annotations.

        Raises:
            DataError: the faults, all at once; or no box with an action was found.
        """
        self.actions.add_faults(self.faults)
        self.faults.raise_if_any()
        empty = [keyframe for keyframe, has_person in self._looked_at.items() if not has_person]
        notes = [f"{what}: {count:,}" for what, count in self._left_out.items() if count]
        if not self._rows:
            found = f" Found: {'; '.join(notes)}." if notes else ""
            raise DataError(
                f"{self.faults.path}: no box with an action stands on any of the "
                f"{len(self._looked_at):,} annotated keyframes.{found} Are boxes drawn, is the "
                "attribute or label of the actions the right one, and do frames fall on the "
                "keyframes?"
            )
        if empty:
            notes.append(f"annotated keyframes without a person, listed as empty: {len(empty):,}")
        rows, num_named = self._frame()
        if num_named:
            notes.append(f"persons numbered in order of appearance in their video: {num_named:,}")
        annotations = AvaAnnotations(rows, _empty_frame(empty, len(rows)), self.faults.path)
        return ImportedAnnotations(annotations, self.actions.label_map(), tuple(notes))

    def _frame(self) -> "tuple[pd.DataFrame, int]":
        """Return the rows in order, and how many persons were numbered."""
        import pandas as pd

        persons, num_named = _person_numbers(self._rows)
        rows = sorted(
            self._rows,
            key=lambda row: (row.video_id, row.timestamp, persons[row.video_id, row.person]),
        )
        columns: dict[str, object] = {
            "video_id": np.array([row.video_id for row in rows], dtype=object),
            "timestamp": np.array([row.timestamp for row in rows], np.float64),
        }
        boxes = np.array([row.box for row in rows], np.float64).reshape(-1, 4)
        columns |= {name: boxes[:, index] for index, name in enumerate(COORDINATES)}
        columns["action_id"] = np.array([row.action_id for row in rows], np.int64)
        numbers = [persons[row.video_id, row.person] for row in rows]
        columns["person_id"] = np.array(numbers, np.int64)
        columns["line"] = np.arange(1, len(rows) + 1, dtype=np.int64)
        return pd.DataFrame(columns), num_named


class _Row(NamedTuple):
    """One person, one action, one keyframe."""

    video_id: str
    timestamp: float
    box: tuple[float, float, float, float]
    action_id: int
    person: str | int | None


def _person_numbers(rows: Iterable[_Row]) -> tuple[dict[tuple[str, str | int | None], int], int]:
    """Return each person's number, and how many were numbered because names are no numbers.

    A video whose persons all have whole numbers keeps them; in another they are numbered
    from 0 in order of appearance. None is -1.
    """
    videos: dict[str, dict[str | int, None]] = {}
    for row in rows:
        persons = videos.setdefault(row.video_id, {})
        if row.person is not None:
            persons[row.person] = None
    numbers: dict[tuple[str, str | int | None], int] = {}
    num_named = 0
    for video_id, persons in videos.items():
        numbers[video_id, None] = -1
        whole = all(isinstance(person, int) and 0 <= person <= MAX_PERSON_ID for person in persons)
        num_named += 0 if whole else len(persons)
        for index, person in enumerate(persons):
            numbers[video_id, person] = int(person) if whole else index
    return numbers, num_named


def _empty_frame(empty: list[tuple[str, float]], num_rows: int) -> "pd.DataFrame":
    import pandas as pd

    ordered = sorted(empty)
    lines = np.arange(num_rows + 1, num_rows + 1 + len(ordered), dtype=np.int64)
    return pd.DataFrame(
        {
            "video_id": np.array([video_id for video_id, _ in ordered], dtype=object),
            "timestamp": np.array([timestamp for _, timestamp in ordered], np.float64),
            "line": lines,
        }
    )
