"""The detections that take part under a rule set, and the boxes on which they stand.

Legend: D detections that take part, B distinct boxes, F keyframes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from x3d_det.evaluation.row_order import (
    BoxRows,
    FrameRule,
    group_by_keyframe,
    heap_order,
    is_valid,
    keep_best,
    reverse_groups,
    sort_groups,
)


def rows_taking_part(
    detections: BoxRows,
    counted_rows: np.ndarray,
    annotated_keyframes: np.ndarray,
    matched_rows: np.ndarray,
    *,
    num_keyframes: int,
    rule: FrameRule,
) -> np.ndarray:
    """Return the (D,) rows that the evaluator ranks, keyframe after keyframe.

    These are the steps of `frame_ap.evaluate_frames`, which itself hands on totals and the
    true detections alone.

    Args:
        detections: all of them.
        counted_rows: rows of `detections` that count, rising.
        annotated_keyframes: keyframe of each annotation that counts.
        matched_rows: the true detections.
        num_keyframes: F.
        rule: order and limit of a keyframe.
    """
    rows, bounds = group_by_keyframe(detections.keyframes, counted_rows, num_keyframes)
    if rule.ranks_as_annotated:
        rows, bounds = sort_groups(detections.keyframes, rows, bounds, annotated_keyframes)
    grouped, group_bounds = rows, bounds
    if rule.limit:
        rows, bounds = keep_best(detections, rows, bounds, rule.limit)
    elif rule.matching == "score":
        rows = reverse_groups(rows, bounds)
    if rule.matching == "heap":
        rows = rows.copy()
        tied = _tied_keyframes(detections, rows, matched_rows)
        keyframes = detections.keyframes[grouped[group_bounds[:-1]]] if len(rows) else rows
        for group in np.flatnonzero(np.isin(keyframes, tied)):
            span = slice(group_bounds[group], group_bounds[group + 1])
            rows[bounds[group] : bounds[group + 1]] = heap_order(
                detections, grouped[span], rule.limit
            )
    if not rule.keeps_empty_boxes:
        rows = rows[is_valid(detections, rule.min_score)[rows]]
    return rows


def _tied_keyframes(detections: BoxRows, rows: np.ndarray, matched_rows: np.ndarray) -> np.ndarray:
    """Return the keyframes where a true detection may share its score with one of its action."""
    places = detections.keyframes.astype(np.int64) * (int(detections.classes.max(initial=0)) + 1)
    places += detections.classes
    near = rows[np.isin(places[rows], places[matched_rows])]
    near = near[np.lexsort((detections.scores[near], places[near]))]
    one, other = near[:-1], near[1:]
    tied = (places[one] == places[other]) & (detections.scores[one] == detections.scores[other])
    return np.unique(detections.keyframes[one[tied]])


@dataclass(frozen=True)
class DistinctBoxes:
    """The boxes of a table without repeats.

    Args:
        keyframes: (B,) keyframe of each box.
        corners: x1, y1, x2, y2, each (B,) float64.
        of_row: box of each row of the table.
    """

    keyframes: np.ndarray
    corners: Sequence[np.ndarray]
    of_row: np.ndarray

    def __len__(self) -> int:
        return len(self.keyframes)

    @property
    def areas(self) -> np.ndarray:
        """(B,) shares of the frame."""
        x1, y1, x2, y2 = self.corners
        return np.maximum(x2 - x1, 0.0) * np.maximum(y2 - y1, 0.0)


def distinct_boxes(table: BoxRows, rows: np.ndarray) -> DistinctBoxes:
    """Return the boxes of these rows, each once a keyframe.

    Args:
        table: boxes with an action.
        rows: of `table`.
    """
    columns = [table.keyframes[rows], *(corner[rows] for corner in table.boxes)]
    changes = np.ones(len(rows), bool)
    if len(rows):
        changes[1:] = False
        for column in columns:
            changes[1:] |= column[1:] != column[:-1]
    # A box's rows follow each other in most files; only the heads of such runs are compared.
    heads = np.flatnonzero(changes)
    runs = pd.DataFrame({number: column[heads] for number, column in enumerate(columns)})
    box_of_run = runs.groupby(list(runs.columns), sort=False).ngroup().to_numpy(np.int32)
    num_boxes = int(box_of_run.max()) + 1 if len(heads) else 0
    first = np.zeros(num_boxes, np.int64)
    first[box_of_run[::-1]] = heads[::-1]
    keyframes, *corners = (column[first] for column in columns)
    lengths = np.diff(np.append(heads, len(rows)))
    return DistinctBoxes(keyframes, corners, np.repeat(box_of_run, lengths))
