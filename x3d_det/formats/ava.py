"""Annotations as csv files: AVA v2.x, v1.0, AVA-Kinetics, and ground truth in result form.

`io.ava_csv.read_annotations` reads all but the last; here they are written, each as
its own project has it, rows of empty keyframes where they stood.
"""

import os
from typing import TYPE_CHECKING, Literal

import numpy as np

from x3d_det.errors import DataError
from x3d_det.formats.rows import (
    corner_texts,
    in_line_order,
    join_columns,
    key_texts,
    needed_decimals,
    write_lines,
)
from x3d_det.io.ava_csv import COORDINATES, AvaAnnotations, read_annotations, read_detections

if TYPE_CHECKING:
    import pandas as pd

AnnotationForm = Literal["ava", "ava-v1.0", "ava-kinetics", "result-ground-truth"]
"""Csv forms of annotations that `write_annotation_rows` writes."""

_KINETICS_DECIMALS = 6


def write_annotation_rows(
    annotations: AvaAnnotations,
    path: str | os.PathLike[str],
    *,
    form: AnnotationForm = "ava",
    decimals: int | None = None,
) -> None:
    """Write annotations as one of the csv forms; `.gz` packs them.

    Args:
        annotations: rows and empty keyframes; their `line` columns say in which order.
        path: the file.
        form: `ava` has the person id where a row has one, `ava-v1.0` never, both write
            seconds as 0902; `ava-kinetics` has no person id, seconds with six decimals;
            `result-ground-truth` has the score 1.0000 in place of the person id, as
            PySlowFast writes it, and no empty keyframes.
        decimals: of the coordinates; None writes as many as they have, at least three
            (six for `ava-kinetics`).

    Raises:
        DataError: a video id that a csv cannot hold; the file cannot be written.
    """
    rows, empty = annotations.rows, annotations.empty_keyframes
    is_kinetics = form == "ava-kinetics"
    stamp_decimals = _KINETICS_DECIMALS if is_kinetics else None
    if decimals is None:
        decimals = needed_decimals(rows, at_least=_KINETICS_DECIMALS if is_kinetics else 3)
    columns = key_texts(rows, path, timestamp_decimals=stamp_decimals)
    columns += corner_texts(rows, decimals)
    columns.append([str(action_id) for action_id in rows["action_id"].tolist()])
    if form == "result-ground-truth":
        columns.append(["1.0000"] * len(rows))
    elif form == "ava" and has_person_ids(annotations):
        columns.append([str(person_id) for person_id in rows["person_id"].tolist()])
    lines = join_columns(columns)
    if form != "result-ground-truth" and len(empty):
        named = join_columns(key_texts(empty, path, timestamp_decimals=stamp_decimals))
        lines = in_line_order(lines, rows["line"].to_numpy(), named, empty["line"].to_numpy())
    write_lines(lines, path)


def has_person_ids(annotations: AvaAnnotations) -> bool:
    """Return whether any row names its person."""
    return bool((annotations.rows["person_id"] >= 0).any())


def read_result_ground_truth(path: str | os.PathLike[str]) -> AvaAnnotations:
    """Return the annotations of a file in result form, where the eighth column is score 1.

    PySlowFast writes its ground truth so (`groundtruth_latest.csv`); read as annotations,
    every person would get the id 1.

    Raises:
        DataError: the faults of `read_detections`; a score other than 1; a box outside
            the frame or upside down; an action id below 1.
    """
    rows = read_detections(path)
    scores = rows["score"].to_numpy()
    other = np.flatnonzero(scores != 1)
    if other.size:
        row = rows.iloc[int(other[0])]
        raise DataError(
            f"{path}:{row['line']}: the score is {row['score']:g}; a ground truth in result form "
            "has score 1 in every row. Detections cannot become annotations."
        )
    _check_values(rows, path)
    taken = rows[["video_id", "timestamp", *COORDINATES, "action_id"]].copy()
    taken.attrs = {}
    taken["video_id"] = taken["video_id"].astype(str)
    taken["person_id"] = np.int64(-1)
    taken["line"] = rows["line"]
    empty = taken.loc[taken.index[:0], ["video_id", "timestamp", "line"]]
    return AvaAnnotations(taken, empty, str(path))


def _check_values(rows: "pd.DataFrame", path: str | os.PathLike[str]) -> None:
    """The reader of detections is as tolerant as the evaluators; annotations are not."""
    boxes = rows[list(COORDINATES)].to_numpy()
    is_bad = (boxes < 0).any(axis=1) | (boxes > 1).any(axis=1)
    is_bad |= (boxes[:, :2] >= boxes[:, 2:]).any(axis=1)
    for bad, what in (
        (is_bad, "the box is outside the frame or upside down; fractions x1 < x2, y1 < y2"),
        (rows["action_id"].to_numpy() < 1, "the action id is below 1; ids start at 1"),
    ):
        if bad.any():
            line = rows["line"].iloc[int(np.flatnonzero(bad)[0])]
            raise DataError(f"{path}:{line}: {what} ({int(bad.sum()):,} such rows).")


def read_ava(path: str | os.PathLike[str]) -> AvaAnnotations:
    """Return annotations as `io.ava_csv.read_annotations` reads them, strictly."""
    return read_annotations(path)
