"""Which rows of an evaluation count: known actions on keyframes that are not left out."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from x3d_det.evaluation.frame_ap import BoxRows
from x3d_det.evaluation.keyframe_index import KeyframeIndex
from x3d_det.evaluation.rules import AvaRules
from x3d_det.io.ava_csv import COORDINATES, AvaAnnotations
from x3d_det.io.label_map import LabelMap


@dataclass(frozen=True)
class Selection:
    """Annotations ("truth") and detections ("found") as numbers, and the rows that count.

    Args:
        index: the keyframes.
        truth: every annotation row; class -1 where the label map lacks the action.
        found: every detection row, likewise.
        truth_rows: rows of `truth` that count.
        found_rows: rows of `found` that count.
        excluded: (F,) keyframes of the exclusion list.
        num_excluded_truth: annotations of known actions on excluded keyframes.
        num_excluded_found: detections likewise.
        unnamed_keyframes: keyframe of each detection ignored because the annotation
            file does not name it (or names no known action there: `AvaRules.keyframes`).
        unknown_truth_ids: action ids outside the label map, with their rows.
        unknown_found_ids: the same of the detections.
    """

    index: KeyframeIndex
    truth: BoxRows
    found: BoxRows
    truth_rows: np.ndarray
    found_rows: np.ndarray
    excluded: np.ndarray
    num_excluded_truth: int
    num_excluded_found: int
    unnamed_keyframes: np.ndarray
    unknown_truth_ids: dict[int, int]
    unknown_found_ids: dict[int, int]

    def counted_truth(self) -> BoxRows:
        """Return the annotations that count as a table of their own."""
        table, rows = self.truth, self.truth_rows
        return BoxRows(
            table.keyframes[rows],
            table.classes[rows],
            [corner[rows] for corner in table.boxes],
            table.scores[rows],
        )

    def truth_of_keyframe(self) -> np.ndarray:
        """Return (F,) how many annotations count on each keyframe."""
        return np.bincount(self.truth.keyframes[self.truth_rows], minlength=self.index.size)

    def found_of_keyframe(self) -> np.ndarray:
        """Return (F,) how many detections count on each keyframe, before any limit."""
        if len(self.found_rows) < len(self.found):
            return np.bincount(self.found.keyframes[self.found_rows], minlength=self.index.size)
        keyframes, lengths = self.index.runs[-1]  # the same, from a hundredth of the numbers
        return np.bincount(keyframes, lengths, minlength=self.index.size).astype(np.int64)


@dataclass(frozen=True)
class NumberedTables:
    """Annotations ("truth"), detections ("found") and exclusions as numbers, for any rule set.

    Args:
        index: keyframes of the annotations' rows, of their empty keyframes, of the
            exclusion list and of the detections, in this order.
        truth: every annotation row; class -1 where the label map lacks the action.
        found: every detection row, likewise.
        unknown_truth_ids: action ids outside the label map, with their rows.
        unknown_found_ids: the same of the detections.
    """

    index: KeyframeIndex
    truth: BoxRows
    found: BoxRows
    unknown_truth_ids: dict[int, int]
    unknown_found_ids: dict[int, int]


def number_tables(
    annotations: AvaAnnotations,
    detections: pd.DataFrame,
    index: KeyframeIndex,
    *,
    scores: np.ndarray,
    label_map: LabelMap,
) -> NumberedTables:
    """Return the tables as numbers.

    Args:
        annotations: of the evaluation.
        detections: likewise.
        index: as in `NumberedTables`.
        scores: (D,) of the detections.
        label_map: the known actions.
    """
    persons = np.full(len(annotations.rows), -1)
    if "person_id" in annotations.rows.columns:
        persons = annotations.rows["person_id"].to_numpy()
    # ActivityNet reads the person id as a score, 1.0 where there is none.
    person_scores = np.where(persons >= 0, persons, 1.0).astype(np.float64)
    truth_keyframes, _, _, found_keyframes = index.keyframes
    truth, unknown_truth = _box_table(annotations.rows, truth_keyframes, label_map, person_scores)
    found, unknown_found = _box_table(detections, found_keyframes, label_map, scores)
    return NumberedTables(index, truth, found, unknown_truth, unknown_found)


def select_rows(tables: NumberedTables, rules: AvaRules) -> Selection:
    """Return what counts under a rule set."""
    index, truth, found = tables.index, tables.truth, tables.found
    truth_keyframes, empty_keyframes, listed, found_keyframes = index.keyframes
    known_truth = truth.classes >= 0
    excluded = np.zeros(index.size, bool)
    if rules.uses_exclusions:
        excluded[listed] = True
    elsewhere = np.full(index.size, rules.keyframes != "all")
    if rules.keyframes == "named":
        elsewhere[truth_keyframes] = False
        elsewhere[empty_keyframes] = False
    elif rules.keyframes == "annotated":
        elsewhere[truth_keyframes[known_truth]] = False

    counted_truth = known_truth
    if not rules.misses_excluded:
        counted_truth = known_truth & ~excluded[truth_keyframes]
    truth_rows = np.flatnonzero(counted_truth)
    known_found = found.classes >= 0
    counted = known_found
    if excluded.any():
        counted = counted & ~excluded[found_keyframes]
    num_excluded_found = int(known_found.sum()) - int(counted.sum())
    unnamed_rows = np.empty(0, np.int64)
    if elsewhere.any():
        unnamed = counted & elsewhere[found_keyframes]
        unnamed_rows = np.flatnonzero(unnamed)
        counted = counted & ~unnamed
    return Selection(
        index=index,
        truth=truth,
        found=found,
        truth_rows=truth_rows,
        found_rows=np.flatnonzero(counted),
        excluded=excluded,
        num_excluded_truth=int(known_truth.sum()) - len(truth_rows),
        num_excluded_found=num_excluded_found,
        unnamed_keyframes=found_keyframes[unnamed_rows],
        unknown_truth_ids=tables.unknown_truth_ids,
        unknown_found_ids=tables.unknown_found_ids,
    )


def _box_table(
    rows: pd.DataFrame, keyframes: np.ndarray, label_map: LabelMap, scores: np.ndarray
) -> tuple[BoxRows, dict[int, int]]:
    """Return the rows as numbers, and the ids that the label map lacks with their counts."""
    action_ids = rows["action_id"].to_numpy(np.int64)
    known = np.array(label_map.action_ids, np.int64)
    class_of_id = np.full(known[-1] + 2, -1, np.min_scalar_type(-len(known) - 1))
    class_of_id[known] = np.arange(len(known))
    if len(action_ids) and (action_ids.min() < 0 or action_ids.max() > known[-1]):
        strange = (action_ids < 0) | (action_ids > known[-1])
        classes = class_of_id[np.where(strange, known[-1] + 1, action_ids)]
    else:
        classes = class_of_id[action_ids]
    ids, counts = np.unique(action_ids[classes < 0], return_counts=True)
    boxes = [rows[name].to_numpy(np.float64) for name in COORDINATES]
    return (
        BoxRows(keyframes, classes, boxes, scores),
        dict(zip(ids.tolist(), counts.tolist(), strict=True)),
    )
