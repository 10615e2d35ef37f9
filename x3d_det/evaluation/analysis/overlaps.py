"""Which detected boxes overlap which annotated ones, and what each could have found.

Legend: B detected boxes, P annotated boxes ("persons"), O overlaps, G annotations.
"""

from dataclasses import dataclass

import numpy as np

from x3d_det.evaluation.analysis.taking_part import DistinctBoxes
from x3d_det.evaluation.frame_ap import iou_of_pairs

NEAR_IOU = 0.1  # below, a box has nothing to do with a person: TIDE's background threshold
FOUND_IOU = 0.5  # AVA's threshold
_CHUNK_PAIRS = 1 << 20


@dataclass(frozen=True)
class Overlaps:
    """Pairs of boxes of one keyframe with an IoU of `NEAR_IOU` or more.

    Args:
        boxes: (O,) detected boxes.
        persons: (O,) annotated boxes.
        ious: (O,) float64.
    """

    boxes: np.ndarray
    persons: np.ndarray
    ious: np.ndarray

    def best_of_box(self, num_boxes: int) -> np.ndarray:
        """Return (B,) the largest IoU with any person; 0 where none is near."""
        return _largest(self.boxes, self.ious, num_boxes)

    def best_of_person(self, num_persons: int) -> np.ndarray:
        """Return (P,) the largest IoU with any detected box; 0 where none is near."""
        return _largest(self.persons, self.ious, num_persons)


def _largest(places: np.ndarray, values: np.ndarray, number: int) -> np.ndarray:
    best = np.zeros(number)
    np.maximum.at(best, places, values)
    return best


def find_overlaps(
    detected: DistinctBoxes, persons: DistinctBoxes, *, num_keyframes: int
) -> Overlaps:
    """Return the overlaps; boxes with x1 > x2 or y1 > y2 have none.

    Args:
        detected: B boxes.
        persons: P annotated boxes.
        num_keyframes: of the evaluation.
    """
    by_keyframe = np.argsort(persons.keyframes, kind="stable")
    counts = np.bincount(persons.keyframes, minlength=num_keyframes)
    starts = np.cumsum(counts) - counts
    x1, y1, x2, y2 = persons.corners
    upright = (x1 <= x2) & (y1 <= y2)
    num_pairs = np.cumsum(counts[detected.keyframes])
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    start = 0
    while start < len(detected):  # in parts, so that memory stays small on any file
        before = num_pairs[start - 1] if start else 0
        stop = int(np.searchsorted(num_pairs, before + _CHUNK_PAIRS, side="right"))
        stop = max(stop, start + 1)
        of_box = counts[detected.keyframes[start:stop]]
        box = np.repeat(np.arange(start, stop), of_box)
        place = np.arange(len(box)) - np.repeat(np.cumsum(of_box) - of_box, of_box)
        person = by_keyframe[starts[detected.keyframes[box]] + place]
        iou = iou_of_pairs(
            [corner[box] for corner in detected.corners],
            [corner[person] for corner in persons.corners],
        )
        near = (iou >= NEAR_IOU) & upright[person]
        found.append((box[near], person[near], iou[near]))
        start = stop
    if not found:
        return Overlaps(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    return Overlaps(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


@dataclass(frozen=True)
class Choices:
    """For each pair of detected box and action, the annotation that it looks at.

    The evaluators' matching has no second choice: a detection looks at the annotation
    of its action with the largest IoU alone.

    Args:
        keys: box * K + class, rising; only where a person near the box has the action.
        annotations: the annotation with the largest IoU, of equal ones the first.
        ious: that IoU.
        tied_annotations: annotations whose IoU equals that of another choice, which
            the order inside a keyframe decides.
    """

    keys: np.ndarray
    annotations: np.ndarray
    ious: np.ndarray
    tied_annotations: np.ndarray

    def of(self, keys: np.ndarray) -> np.ndarray:
        """Return each key's place in `keys`, -1 where it is not there."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        places = np.searchsorted(self.keys, keys)
        np.minimum(places, len(self.keys) - 1, out=places)
        places[self.keys[places] != keys] = -1
        return places


def choose_annotations(
    overlaps: Overlaps,
    *,
    person_of_annotation: np.ndarray,
    classes: np.ndarray,
    places: np.ndarray,
    num_persons: int,
    num_classes: int,
) -> Choices:
    """Return what each detected box would find, action by action.

    Args:
        overlaps: O pairs.
        person_of_annotation: (G,) annotated box of each annotation.
        classes: (G,) its class.
        places: (G,) matching order of the annotations; of equal IoUs the first counts.
        num_persons: P.
        num_classes: K.
    """
    by_person = np.argsort(person_of_annotation, kind="stable")
    counts = np.bincount(person_of_annotation, minlength=num_persons)
    starts = np.cumsum(counts) - counts
    of_pair = counts[overlaps.persons]
    pair = np.repeat(np.arange(len(of_pair)), of_pair)
    place = np.arange(len(pair)) - np.repeat(np.cumsum(of_pair) - of_pair, of_pair)
    annotation = by_person[starts[overlaps.persons[pair]] + place]
    key = overlaps.boxes[pair] * num_classes + classes[annotation]
    iou = overlaps.ious[pair]
    order = np.lexsort((places[annotation], -iou, key))
    key, annotation, iou = key[order], annotation[order], iou[order]
    is_first = np.ones(len(key), bool)
    is_first[1:] = key[1:] != key[:-1]
    rivals = np.flatnonzero(~is_first & (iou >= FOUND_IOU))
    rivals = rivals[iou[rivals] == iou[rivals - 1]]
    return Choices(
        keys=key[is_first],
        annotations=annotation[is_first],
        ious=iou[is_first],
        tied_annotations=np.unique(annotation[rivals]),
    )
