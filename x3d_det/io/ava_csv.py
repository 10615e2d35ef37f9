"""AVA's csv files as tables: annotations, person boxes, detections, excluded keyframes.

Tables are pandas DataFrames with the columns `video_id`, `timestamp` (seconds,
float64) and `x1, y1, x2, y2` (float64, fractions of the frame), then what the
kind of file adds; `line` is each row's 1-based line, so that later checks can
name file and line. Every reader takes `.csv` and `.csv.gz`, commas, LF or CRLF.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from x3d_det.io import ava_rows
from x3d_det.io.ava_faults import RowFaults
from x3d_det.io.ava_lines import read_line_by_line, read_with_faults
from x3d_det.io.ava_rows import CLIP_TOLERANCE, COORDINATES, MAX_PERSON_ID, RawTable, read_fast
from x3d_det.io.ava_write import (
    write_annotations,
    write_detections,
    write_exclusions,
    write_proposals,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COORDINATES",
    "AvaAnnotations",
    "check_annotations",
    "check_exclusions",
    "check_proposals",
    "read_annotations",
    "read_detections",
    "read_exclusions",
    "read_proposals",
    "write_annotations",
    "write_detections",
    "write_exclusions",
    "write_proposals",
]


@dataclass(frozen=True)
class AvaAnnotations:
    """The annotations of one file.

    Args:
        rows: video_id (str), timestamp, x1, y1, x2, y2, action_id (int64), person_id
            (int64, -1 where the file has none), line.
        empty_keyframes: video_id, timestamp, line of the rows of two columns, which
            name keyframes looked at and found without a person.
        path: the file, for messages.
        unreadable_person_lines: lines whose person id is no number; strict reading
            refuses them, ActivityNet's evaluators stop at them.
    """

    rows: "pd.DataFrame"
    empty_keyframes: "pd.DataFrame"
    path: str
    unreadable_person_lines: tuple[int, ...] = ()


def read_annotations(
    path: str | os.PathLike[str],
    *,
    strict: bool = True,
    action_ids: Collection[int] | None = None,
) -> AvaAnnotations:
    """Return the annotations of an AVA csv file.

    Args:
        path: rows of 8 columns (AVA v2.x), 7 (v1.0, AVA-Kinetics: no person id) or
            2 (a keyframe without a person).
        strict: True, for training: any fault is an error; coordinates up to 0.001
            outside [0, 1] are clipped. False, for evaluation: as tolerant as the
            official programs; boxes and action ids are kept as they are.
        action_ids: the ids that strict reading allows; None allows any from 1.

    Raises:
        DataError: all faults of the file, each with line, value and remedy: columns,
            header, quotes, tabs, byte order mark, not UTF-8, not a number, coordinate
            outside [0, 1], x2 <= x1 or y2 <= y1, unknown action id, repeated row,
            video id that is no bare name, empty file.
    """
    form = ava_rows.ANNOTATIONS
    table = read_fast(path, form)
    if table is None or _has_fault(table, form, strict=strict, action_ids=action_ids):
        table = read_line_by_line(path, form, strict=strict, action_ids=action_ids)
    elif strict:
        _clip(table)
    return _annotations(table, path)


def check_annotations(
    path: str | os.PathLike[str], *, action_ids: Collection[int] | None = None
) -> tuple[AvaAnnotations, RowFaults]:
    """Return the rows in order of an annotation file, and the faults of all others.

    Args:
        path, action_ids: as for `read_annotations`, which raises at the same faults
            in strict mode.

    Raises:
        DataError: the file cannot be read at all.
    """
    table, faults = _checked(path, ava_rows.ANNOTATIONS, action_ids)
    return _annotations(table, path), faults


def _annotations(table: RawTable, path: str | os.PathLike[str]) -> AvaAnnotations:
    rows = _frame(table, text_ids=True)
    rows["action_id"] = table.labels
    persons = np.where(_is_person_id(table.tails), table.tails, -1)
    rows["person_id"] = persons.astype(np.int64)
    rows["line"] = table.lines
    empty = _keyframe_frame(table.keyframe_rows)
    return AvaAnnotations(rows, empty, str(path), table.unreadable_person_lines)


def read_proposals(path: str | os.PathLike[str]) -> "pd.DataFrame":
    """Return the person boxes of a file in the form of LFB and PySlowFast.

    Rows of one box (the same four coordinates on one keyframe), which those files
    repeat for each known action, become one row with the highest of their scores.
    The label column (empty, -1 or an action id) is checked and dropped.

    Returns:
        video_id (str), timestamp, x1, y1, x2, y2, score (that it is a person, 0 to
        1), line (of the box's first row), in the file's order.

    Raises:
        DataError: as `read_annotations` in strict mode; a repeated row is none here.
    """
    form = ava_rows.PROPOSALS
    table = read_fast(path, form)
    if table is None or _has_fault(table, form, strict=True, action_ids=None):
        table = read_line_by_line(path, form, strict=True)
    else:
        _clip(table)
    return _proposals(table)


def check_proposals(path: str | os.PathLike[str]) -> "tuple[pd.DataFrame, RowFaults]":
    """Return the person boxes in order, as `read_proposals` does, and the faults of the others.

    Raises:
        DataError: the file cannot be read at all.
    """
    table, faults = _checked(path, ava_rows.PROPOSALS)
    return _proposals(table), faults


def _proposals(table: RawTable) -> "pd.DataFrame":
    import pandas as pd

    rows = _frame(table, text_ids=True)
    rows["score"] = table.tails
    rows["line"] = table.lines
    box = ["video_id", "timestamp", *COORDINATES]
    if rows.duplicated(box).any():
        rows["score"] = rows.groupby(box, sort=False)["score"].transform("max")
        rows = rows.drop_duplicates(box, ignore_index=True)
    assert isinstance(rows, pd.DataFrame)
    return rows


def read_detections(path: str | os.PathLike[str]) -> "pd.DataFrame":
    """Return the detections of a results file, as tolerant as the official evaluators.

    Boxes, action ids and scores are kept as they are; the file may be empty.

    Returns:
        video_id (pandas Categorical: five million rows share a few names), timestamp,
        x1, y1, x2, y2, action_id (int64), score (NaN where the row has none), line.
        `attrs` holds "path", "num_unscored" (rows without a score) and "keyframe_lines"
        (lines of two columns, which carry no detection).

    Raises:
        DataError: a row that is not 8, 7 or 2 columns of numbers; all of them at once.
    """
    form = ava_rows.DETECTIONS
    table = read_fast(path, form)
    if table is None or _has_fault(table, form, strict=False, action_ids=None):
        table = read_line_by_line(path, form, strict=False)
    rows = _frame(table, text_ids=False, action_id=table.labels, score=table.tails)
    rows["line"] = table.lines
    rows.attrs["path"] = str(path)
    rows.attrs["num_unscored"] = int(np.isnan(table.tails).sum())
    rows.attrs["keyframe_lines"] = tuple(line for *_, line in table.keyframe_rows)
    return rows


def read_exclusions(path: str | os.PathLike[str]) -> "pd.DataFrame":
    """Return video_id (str), timestamp and line of a list of keyframes (two columns).

    Raises:
        DataError: the faults of the file; an empty file is an empty list.
    """
    return _keyframe_frame(read_line_by_line(path, ava_rows.KEYFRAMES, strict=True).keyframe_rows)


def check_exclusions(path: str | os.PathLike[str]) -> "tuple[pd.DataFrame, RowFaults]":
    """Return the keyframes of a list, as `read_exclusions` does, and the faults of its rows.

    Raises:
        DataError: the file cannot be read at all.
    """
    table, faults = read_with_faults(path, ava_rows.KEYFRAMES, strict=True)
    return _keyframe_frame(table.keyframe_rows), faults


def _checked(
    path: str | os.PathLike[str],
    form: ava_rows.RowForm,
    action_ids: Collection[int] | None = None,
) -> tuple[RawTable, RowFaults]:
    table = read_fast(path, form)
    if table is None or _has_fault(table, form, strict=True, action_ids=action_ids):
        return read_with_faults(path, form, strict=True, action_ids=action_ids)
    _clip(table)
    return table, RowFaults(str(path))


def _frame(table: RawTable, *, text_ids: bool, **further: np.ndarray) -> "pd.DataFrame":
    """Return the columns that every table begins with, without copying them."""
    import pandas as pd

    if text_ids:
        names = np.array([*table.video_names, ""], dtype=object)
        videos: object = names[table.video_codes]
    else:
        videos = pd.Categorical.from_codes(
            table.video_codes, pd.Index(table.video_names, dtype=object)
        )
    boxes = dict(zip(COORDINATES, table.boxes, strict=True))
    columns = {"video_id": videos, "timestamp": table.timestamps, **boxes, **further}
    return pd.DataFrame(columns, copy=False)


def _keyframe_frame(keyframe_rows: list[tuple[str, float, int]]) -> "pd.DataFrame":
    import pandas as pd

    videos, seconds, lines = zip(*keyframe_rows, strict=True) if keyframe_rows else ((), (), ())
    return pd.DataFrame(
        {
            "video_id": np.array(videos, dtype=object),
            "timestamp": np.array(seconds, np.float64),
            "line": np.array(lines, np.int64),
        }
    )


def _clip(table: RawTable) -> None:
    table.boxes = [np.clip(corner, 0, 1) for corner in table.boxes]


def _has_fault(
    table: RawTable,
    form: ava_rows.RowForm,
    *,
    strict: bool,
    action_ids: Collection[int] | None,
) -> bool:
    """Return whether the line-by-line reader would find a fault in these values."""
    numbers = [table.timestamps, *table.boxes]
    if len(table) and not np.isnan(table.tails).all():
        numbers.append(table.tails)
    # A sum is finite only where every term is (overflow sends the file to the slow reader).
    if not all(np.isfinite(column.sum()) for column in numbers):
        return True
    seconds = [row[1] for row in table.keyframe_rows]
    if not np.isfinite(seconds).all():
        return True
    if not strict:
        return False
    names = [*table.video_names, *(row[0] for row in table.keyframe_rows)]
    if any(_is_bad_name(name) for name in names) or not len(table) + len(seconds):
        return True
    if min(seconds, default=0.0) < 0:
        return True
    if not len(table):
        return False
    if table.timestamps.min() < 0:
        return True
    low, high = -CLIP_TOLERANCE, 1 + CLIP_TOLERANCE
    if any(corner.min() < low or corner.max() > high for corner in table.boxes):
        return True
    x1, y1, x2, y2 = (np.clip(corner, 0, 1) for corner in table.boxes)
    if (x1 >= x2).any() or (y1 >= y2).any():
        return True
    if form.kind == "person boxes":
        return bool(table.labels.min() < -1 or table.tails.min() < 0 or table.tails.max() > 1)
    has_person = not np.isnan(table.tails).all()
    if has_person and not _is_person_id(table.tails).all():
        return True
    if action_ids is None:
        unknown = table.labels < 1
    else:
        unknown = ~np.isin(table.labels, np.fromiter(action_ids, np.int64, len(action_ids)))
    return bool(unknown.any()) or _has_repeated_rows(table, (x1, y1, x2, y2))


def _is_person_id(tails: np.ndarray) -> np.ndarray:
    return (tails == np.floor(tails)) & (np.abs(tails) <= MAX_PERSON_ID)


def _has_repeated_rows(table: RawTable, corners: tuple[np.ndarray, ...]) -> bool:
    import pandas as pd

    columns = (table.video_codes, table.timestamps, *corners, table.labels, table.tails)
    return bool(pd.DataFrame(dict(enumerate(columns)), copy=False).duplicated().any())


def _is_bad_name(name: str) -> bool:
    return (
        not name or name != name.strip() or any(bad in name for bad in ("/", "\\", "..", "\0", '"'))
    )
