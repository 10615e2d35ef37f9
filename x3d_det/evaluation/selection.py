"""Which rows of an evaluation count: known actions on keyframes that are not left out."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from x3d_det.evaluation.frame_ap import BoxRows
from x3d_det.evaluation.keyframe_index import KeyframeIndex
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
            file does not name it.
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
        return np.bincount(self.found.keyframes[self.found_rows], minlength=self.index.size)


def select_rows(
    annotations: AvaAnnotations,
    detections: pd.DataFrame,
    index: KeyframeIndex,
    *,
    scores: np.ndarray,
    label_map: LabelMap,
    use_exclusions: bool,
    only_named_keyframes: bool,
) -> Selection:
    """Return what counts under a rule set.

    Args:
        annotations: of the evaluation.
        detections: likewise.
        index: keyframes of the annotations' rows, of their empty keyframes, of the
            exclusion list and of the detections, in this order.
        scores: (D,) of the detections.
        label_map: the known actions.
        use_exclusions: leave out both sides' rows on the listed keyframes.
        only_named_keyframes: leave out detections on keyframes that no row of the
            annotation file names, be it of two columns or of an unknown action.
    """
    truth_keyframes, empty_keyframes, listed, found_keyframes = index.keyframes
    persons = np.full(len(annotations.rows), -1)
    if "person_id" in annotations.rows.columns:
        persons = annotations.rows["person_id"].to_numpy()
    # ActivityNet reads the person id as a score, 1.0 where there is none.
    person_scores = np.where(persons >= 0, persons, 1.0).astype(np.float64)
    truth, unknown_truth = _box_table(annotations.rows, truth_keyframes, label_map, person_scores)
    found, unknown_found = _box_table(detections, found_keyframes, label_map, scores)

    excluded = np.zeros(index.size, bool)
    if use_exclusions:
        excluded[listed] = True
    unnamed = np.full(index.size, only_named_keyframes)
    unnamed[truth_keyframes] = False
    unnamed[empty_keyframes] = False

    known_truth = truth.classes >= 0
    truth_rows = np.flatnonzero(known_truth & ~excluded[truth_keyframes])
    known_found = found.classes >= 0
    counted = known_found
    if excluded.any():
        counted = counted & ~excluded[found_keyframes]
    num_excluded_found = int(known_found.sum()) - int(counted.sum())
    unnamed_rows = np.empty(0, np.int64)
    if unnamed.any():
        elsewhere = counted & unnamed[found_keyframes]
        unnamed_rows = np.flatnonzero(elsewhere)
        counted = counted & ~elsewhere
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
        unknown_truth_ids=unknown_truth,
        unknown_found_ids=unknown_found,
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
