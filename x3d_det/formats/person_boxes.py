"""Person boxes in the files of other projects: csv, dense-proposal pickle, COCO json.

The csv of LFB and PySlowFast has a row for each box, or for each box and action; its
seventh column is empty (nothing known), -1 (the box matches nobody) or the id of an
action that was matched. Here that column is kept; `io.ava_csv.read_proposals`, which
training uses, drops it and makes one row of each box.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from x3d_det.errors import DataError
from x3d_det.formats.rows import (
    corner_texts,
    join_columns,
    key_texts,
    needed_decimals,
    write_lines,
)
from x3d_det.io import ava_rows
from x3d_det.io.ava_csv import COORDINATES, read_proposals
from x3d_det.io.ava_lines import read_line_by_line
from x3d_det.io.ava_rows import CLIP_TOLERANCE, RawTable, read_bytes, read_fast

if TYPE_CHECKING:
    import pandas as pd

BOX_KEY = ["video_id", "timestamp", *COORDINATES]


@dataclass(frozen=True)
class PersonBoxes:
    """The person boxes of one file, row by row.

    Args:
        rows: video_id (str), timestamp, x1, y1, x2, y2, label (Int64; <NA> where the file
            has none, -1 as written), score (0 to 1), line (its place from 1 where the file
            has no lines).
        empty_keyframes: video_id, timestamp, line of keyframes that the file names without
            a box; a csv cannot.
        notes: what was left out or assumed, in words with counts.
    """

    rows: "pd.DataFrame"
    empty_keyframes: "pd.DataFrame"
    notes: tuple[str, ...] = ()


def read_person_boxes(
    path: str | os.PathLike[str], *, images: str | os.PathLike[str] | None = None
) -> "pd.DataFrame":
    """Return the person boxes of a csv, MMAction2 pickle or COCO json, by the file's suffix.

    Args:
        path: `.csv` or `.csv.gz` (LFB, PySlowFast), `.pkl` (MMAction2), `.json` (COCO: a data
            set, or a list of results).
        images: COCO json whose images a list of results counts.

    Returns:
        video_id (str), timestamp, x1, y1, x2, y2, score, line, each box once with the
        highest of its scores, as `io.ava_csv.read_proposals` has it.

    Raises:
        DataError: the faults of the file; another suffix.
    """
    suffix = Path(path).suffix.lower()
    if str(path).lower().endswith((".csv", ".csv.gz")):
        return read_proposals(path)
    if suffix in (".pkl", ".pickle"):
        from x3d_det.formats.mmaction2 import read_dense_proposals

        boxes = read_dense_proposals(path)
    elif suffix == ".json":
        from x3d_det.formats.coco_persons import read_coco_persons

        boxes = read_coco_persons(path, images=images)
    else:
        raise DataError(
            f"{path}: person boxes are read from .csv, .csv.gz, .pkl (MMAction2) and .json (COCO); "
            f"this is {suffix or 'a file without suffix'}: rename or convert it."
        )
    return merged_boxes(boxes.rows)


def merged_boxes(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Return each box of a keyframe once, with the highest of its scores and without a label."""
    kept = rows.drop(columns="label")
    kept["score"] = rows.groupby(BOX_KEY, sort=False)["score"].transform("max")
    return kept.drop_duplicates(BOX_KEY, ignore_index=True)


def read_labelled_person_boxes(path: str | os.PathLike[str]) -> PersonBoxes:
    """Return every row of a person-box csv, with its label as it stands.

    Raises:
        DataError: the faults that `io.ava_csv.read_proposals` finds.
    """
    import pandas as pd

    form = ava_rows.PROPOSALS
    table = read_fast(path, form)
    if table is None or not _is_in_order(table):
        table = read_line_by_line(path, form, strict=True)
    names = np.array([*table.video_names, ""], dtype=object)
    columns = {"video_id": names[table.video_codes], "timestamp": table.timestamps}
    columns |= {
        name: np.clip(corner, 0, 1) for name, corner in zip(COORDINATES, table.boxes, strict=True)
    }
    label = pd.array(table.labels, dtype="Int64")
    label[_has_no_label(path, table)] = pd.NA
    rows = pd.DataFrame({**columns, "label": label, "score": table.tails, "line": table.lines})
    return PersonBoxes(rows, rows.loc[rows.index[:0], ["video_id", "timestamp", "line"]])


def write_labelled_person_boxes(
    rows: "pd.DataFrame", path: str | os.PathLike[str], *, decimals: int | None = None
) -> None:
    """Write person boxes in the form of LFB and PySlowFast; `.gz` packs them.

    Args:
        rows: video_id, timestamp, x1, y1, x2, y2, score, and label where there is one; a
            label of <NA> is written empty. Scores are written in full.
        path: the file.
        decimals: of the coordinates; None writes as many as they have, at least three.

    Raises:
        DataError: a video id that a csv cannot hold; the file cannot be written.
    """
    if decimals is None:
        decimals = needed_decimals(rows)
    columns = key_texts(rows, path) + corner_texts(rows, decimals)
    columns.append(_label_texts(rows))
    columns.append([repr(score) for score in rows["score"].tolist()])
    write_lines(join_columns(columns), path)


def _label_texts(rows: "pd.DataFrame") -> list[str]:
    if "label" not in rows.columns:
        return [""] * len(rows)
    is_absent = rows["label"].isna().to_numpy()
    numbers = rows["label"].fillna(-1).astype(np.int64).tolist()
    return ["" if no else str(value) for value, no in zip(numbers, is_absent, strict=True)]


def _has_no_label(path: str | os.PathLike[str], table: RawTable) -> np.ndarray:
    """Return (N,) bool: the label column is empty. The table has -1 there, as for a written -1."""
    is_empty = np.zeros(len(table), np.bool_)
    unsure = np.flatnonzero(table.labels == -1)
    if unsure.size:
        lines = read_bytes(path).splitlines()
        for row, line in zip(unsure.tolist(), table.lines[unsure].tolist(), strict=True):
            is_empty[row] = not lines[line - 1].rsplit(b",", 2)[1].strip()
    return is_empty


def _is_in_order(table: RawTable) -> bool:
    """Return whether the reader of lines would find no fault in these values."""
    if not len(table) or any(_is_odd_name(name) for name in table.video_names):
        return False
    boxes_N4 = np.column_stack(table.boxes)
    clipped_N4 = np.clip(boxes_N4, 0, 1)
    return bool(
        np.isfinite(table.timestamps).all()
        and (table.timestamps >= 0).all()
        and (np.abs(boxes_N4 - clipped_N4) <= CLIP_TOLERANCE).all()
        and (clipped_N4[:, :2] < clipped_N4[:, 2:]).all()
        and (table.labels >= -1).all()
        and ((table.tails >= 0) & (table.tails <= 1)).all()
    )


def _is_odd_name(name: str) -> bool:
    marks = ("/", "\\", "..", "\0", '"')
    return not name or name != name.strip() or any(mark in name for mark in marks)
