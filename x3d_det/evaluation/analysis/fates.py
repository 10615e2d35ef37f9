"""What became of each detection and of each annotation.

Of a detection that takes part (IoU with the annotated boxes of its keyframe):

| fate | when |
| --- | --- |
| matched | it is true: the first of those that found its annotation |
| duplicate | it found an annotation (IoU >= 0.5, its action) that another one had taken |
| wrong action | else, on a person (IoU >= 0.5): of all that it lies on, none does its action |
| poor box | else, beside a person (0.1 <= IoU < 0.5) who does its action |
| wrong action beside | else, beside persons, none of whom does its action |
| background | it overlaps nobody by 0.1 |

Of an annotation: found; missed because no detected box overlaps it by 0.5 ("no box");
or missed although one does ("not reported": no detection of its action found it).

Source: the kinds and the threshold 0.1 are those of TIDE (Bolya, Foley, Hays, Hoffman,
ECCV 2020, arXiv:2008.08115, Sec. 2.2). Differences: a person has several actions, so an
action is wrong only if the person has it not among all of them; where a box lies on one
person and beside another, the first one counts.

Legend: D detections that take part, G annotations, P annotated boxes, K actions.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from x3d_det.evaluation.analysis.overlaps import (
    FOUND_IOU,
    NEAR_IOU,
    Choices,
    Overlaps,
    choose_annotations,
    find_overlaps,
)
from x3d_det.evaluation.analysis.taking_part import (
    DistinctBoxes,
    distinct_boxes,
    rows_taking_part,
)
from x3d_det.evaluation.frame_ap import FrameResult
from x3d_det.evaluation.row_order import BoxRows, FrameRule, heap_order
from x3d_det.evaluation.selection import Selection


class Fate(IntEnum):
    """What became of a detection; all but the first are false."""

    MATCHED = 0
    DUPLICATE = 1
    WRONG_ACTION = 2
    POOR_BOX = 3
    WRONG_ACTION_BESIDE = 4
    BACKGROUND = 5


@dataclass(frozen=True)
class Fates:
    """The detections that take part and the annotations, each with its fate.

    Args:
        keyframes: (D,) of the detections, keyframe after keyframe.
        classes: (D,).
        scores: (D,).
        fates: (D,) int8, values of `Fate`.
        annotations: (D,) the annotation that a detection is nearest to among those of
            its action, -1 where none is near.
        boxes: the detected boxes; `of_row` leads from a detection to its box.
        truth: the annotations that count.
        persons: the annotated boxes; `of_row` leads from an annotation to its box.
        is_found: (G,) whether a detection matched it.
        has_box: (G,) whether any detected box overlaps it by 0.5, whatever the action.
        num_classes: K.
        num_keyframes: F.
    """

    keyframes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    fates: np.ndarray
    annotations: np.ndarray
    boxes: DistinctBoxes
    truth: BoxRows
    persons: DistinctBoxes
    is_found: np.ndarray
    has_box: np.ndarray
    num_classes: int
    num_keyframes: int

    def mended(self) -> np.ndarray:
        """Return (D,) bool: the poor boxes that would match if drawn as annotated.

        Of several beside one annotation that nobody found, the best score. A poor box
        beside an annotation that is found already would only become a duplicate.
        """
        mended = np.zeros(len(self.fates), bool)
        poor = np.flatnonzero(self.fates == Fate.POOR_BOX)
        poor = poor[~self.is_found[self.annotations[poor]]]
        poor = poor[np.argsort(-self.scores[poor], kind="stable")]
        mended[poor[np.unique(self.annotations[poor], return_index=True)[1]]] = True
        return mended


def tell_fates(
    selection: Selection, result: FrameResult, *, rule: FrameRule, num_classes: int
) -> Fates:
    """Return what became of every detection and annotation.

    Args:
        selection: the rows of the evaluation.
        result: what the evaluator made of them; says which detections are true.
        rule: of the evaluation.
        num_classes: K.
    """
    truth, found = selection.counted_truth(), selection.found
    rows = rows_taking_part(
        found,
        selection.found_rows,
        truth.keyframes,
        result.matched_rows,
        num_keyframes=selection.index.size,
        rule=rule,
    )
    assert len(rows) == result.num_detections.sum(), "not the detections that were scored"
    if rule.single_precision:
        truth, found = _rounded(truth), _rounded(found)
    persons = distinct_boxes(truth, np.arange(len(truth)))
    boxes = distinct_boxes(found, rows)
    overlaps = find_overlaps(boxes, persons, num_keyframes=selection.index.size)
    choices = _choices(overlaps, truth, persons, num_classes, rule)
    classes = found.classes[rows]
    chosen = choices.of(boxes.of_row * np.int64(num_classes) + classes)
    annotations = np.append(choices.annotations, -1)[chosen].astype(np.int32)
    is_true = np.zeros(len(found), bool)
    is_true[result.matched_rows] = True
    matched = is_true[rows]
    assert (annotations[matched] >= 0).all(), "a true detection lies on no annotation"
    is_found = np.zeros(len(truth), bool)
    is_found[annotations[matched]] = True
    has_box = overlaps.best_of_person(len(persons)) >= FOUND_IOU
    return Fates(
        keyframes=found.keyframes[rows],
        classes=classes,
        scores=found.scores[rows],
        fates=_fates(chosen, choices, overlaps.best_of_box(len(boxes))[boxes.of_row], matched),
        annotations=annotations,
        boxes=boxes,
        truth=truth,
        persons=persons,
        is_found=is_found,
        has_box=has_box[persons.of_row],
        num_classes=num_classes,
        num_keyframes=selection.index.size,
    )


def _fates(
    chosen: np.ndarray, choices: Choices, best: np.ndarray, matched: np.ndarray
) -> np.ndarray:
    """Return (D,) fates; each line overrules those before it."""
    fates = np.full(len(chosen), Fate.BACKGROUND, np.int8)
    fates[best >= NEAR_IOU] = Fate.WRONG_ACTION_BESIDE
    fates[chosen >= 0] = Fate.POOR_BOX
    fates[best >= FOUND_IOU] = Fate.WRONG_ACTION
    near = np.flatnonzero(chosen >= 0)
    fates[near[choices.ious[chosen[near]] >= FOUND_IOU]] = Fate.DUPLICATE
    fates[matched] = Fate.MATCHED
    return fates


def _choices(
    overlaps: Overlaps,
    truth: BoxRows,
    persons: DistinctBoxes,
    num_classes: int,
    rule: FrameRule,
) -> Choices:
    """Return what each box would find; of equal overlaps what the evaluator tries first."""
    places = np.arange(len(truth))
    if rule.matching == "stable":
        places[np.argsort(-truth.scores, kind="stable")] = np.arange(len(truth))

    def choices() -> Choices:
        return choose_annotations(
            overlaps,
            person_of_annotation=persons.of_row,
            classes=truth.classes,
            places=places,
            num_persons=len(persons),
            num_classes=num_classes,
        )

    chosen = choices()
    if rule.matching != "heap" or not len(chosen.tied_annotations):
        return chosen
    for keyframe in np.unique(truth.keyframes[chosen.tied_annotations]):
        rows = np.flatnonzero(truth.keyframes == keyframe)
        places[heap_order(truth, rows, 0)] = rows
    return choices()


def _rounded(table: BoxRows) -> BoxRows:
    boxes = [corner.astype(np.float32) for corner in table.boxes]
    return BoxRows(table.keyframes, table.classes, boxes, table.scores)
