"""Overlap of tubes, matching of detections with annotations, average precision. NumPy alone.

The same matching serves boxes on frames and whole tubes: what differs is the IoU and the group
(frame and class, or video and class) inside which a detection may find an annotation.

Legend: D detections, G annotations, P pairs of both, T frames that the pairs share.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from x3d_det.evaluation.tube_rules import TubeRules
from x3d_det.io.action_tubes import Tube

_CHUNK_FRAMES = 1 << 20


@dataclass(frozen=True)
class PackedTubes:
    """Tubes behind one another.

    Args:
        first: (N,) first frames.
        last: (N,) last frames.
        offset: (N,) row of each first box in `boxes_px`.
        boxes_px: (T, 4) boxes of all tubes.
    """

    first: np.ndarray
    last: np.ndarray
    offset: np.ndarray
    boxes_px: np.ndarray


def pack_tubes(tubes: Sequence[Tube]) -> PackedTubes:
    """Return tubes as arrays."""
    lengths = np.array([len(tube.frames) for tube in tubes], np.int64)
    return PackedTubes(
        np.array([tube.frames[0] for tube in tubes], np.int64),
        np.array([tube.frames[-1] for tube in tubes], np.int64),
        np.cumsum(lengths) - lengths,
        np.concatenate([np.empty((0, 4)), *(tube.boxes_px for tube in tubes)]),
    )


def box_ious(first: np.ndarray, second: np.ndarray, *, extra_pixel: float) -> np.ndarray:
    """Return the IoU (P,) of box i of `first` with box i of `second`; NaN for 0 / 0.

    Args:
        first: (P, 4) corners in pixels.
        second: the same.
        extra_pixel: see `TubeRules`.
    """
    corner = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    shared = np.prod(np.maximum(corner + extra_pixel, 0.0), axis=1)
    areas = [
        np.prod(boxes[:, 2:] - boxes[:, :2] + extra_pixel, axis=1) for boxes in (first, second)
    ]
    with np.errstate(invalid="ignore"):
        return shared / (areas[0] + areas[1] - shared)


def tube_ious(
    first: PackedTubes,
    second: PackedTubes,
    pairs: tuple[np.ndarray, np.ndarray],
    rules: TubeRules,
) -> np.ndarray:
    """Return the IoU (P,) of tubes in space and time; NaN where the rules divide 0 by 0.

    Args:
        first: tubes.
        second: tubes.
        pairs: (P,) index in `first` and (P,) index in `second`.
        rules: how widths and durations are counted.
    """
    one, other = pairs
    start = np.maximum(first.first[one], second.first[other])
    stop = np.minimum(first.last[one], second.last[other])
    union = np.maximum(first.last[one], second.last[other])
    union = union - np.minimum(first.first[one], second.first[other]) + rules.extra_frame
    num_shared = np.maximum(stop - start + 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        temporal = (stop - start + rules.extra_frame) / union
    result = np.zeros(len(one))
    met = np.flatnonzero(num_shared)
    for chunk in _chunks(met, num_shared[met]):
        rows = ragged_arange(num_shared[chunk])
        lengths = num_shared[chunk]
        boxes = [
            tubes.boxes_px[
                np.repeat(
                    tubes.offset[index[chunk]] + start[chunk] - tubes.first[index[chunk]], lengths
                )
                + rows
            ]
            for tubes, index in ((first, one), (second, other))
        ]
        ious = box_ious(boxes[0], boxes[1], extra_pixel=rules.extra_pixel)
        spatial = np.add.reduceat(ious, np.cumsum(lengths) - lengths) / lengths
        result[chunk] = spatial * temporal[chunk]
    return result


def _chunks(items: np.ndarray, sizes: np.ndarray) -> Iterator[np.ndarray]:
    """Yield parts of `items` of bounded total size, each with one item at least."""
    if len(items):
        part = np.cumsum(sizes) // _CHUNK_FRAMES
        yield from np.split(items, np.flatnonzero(np.diff(part)) + 1)


def ragged_arange(lengths: np.ndarray) -> np.ndarray:
    """Return 0, 1, ... for each length, one behind the other."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def pairs_in_groups(
    detection_groups: np.ndarray, annotation_groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs (P,), (P,) of detections and annotations of one group.

    Args:
        detection_groups: (D,) int64 key of each detection's group.
        annotation_groups: (G,) the same of the annotations.
    """
    order = np.argsort(annotation_groups, kind="stable")
    keys = annotation_groups[order]
    start = np.searchsorted(keys, detection_groups, side="left")
    count = np.searchsorted(keys, detection_groups, side="right") - start
    detections = np.repeat(np.arange(len(detection_groups)), count)
    return detections, order[np.repeat(start, count) + ragged_arange(count)]


@dataclass(frozen=True)
class Candidates:
    """The pairs of a match, sorted by rank of the detection, falling IoU, annotation.

    Args:
        detections: (P,) ranks.
        annotations: (P,) numbers.
        groups: (P,) key of the group.
        ious: (P,).
    """

    detections: np.ndarray
    annotations: np.ndarray
    groups: np.ndarray
    ious: np.ndarray

    @classmethod
    def sorted(
        cls, ranks: np.ndarray, annotations: np.ndarray, groups: np.ndarray, ious: np.ndarray
    ) -> "Candidates":
        """Return the pairs in order; NaN stands before every number, as `argmax` has it."""
        order = np.lexsort((annotations, -np.where(np.isnan(ious), np.inf, ious), ranks))
        return cls(ranks[order], annotations[order], groups[order], ious[order])


def true_detections(
    candidates: Candidates, num_detections: int, *, min_iou: float, second_choice: bool
) -> np.ndarray:
    """Return (D,) bool in the order of the ranks: which detections are true.

    The better ranked detection chooses first. What it chooses from are the annotations of its
    group: all, and it is false where the best of them is taken (`second_choice` False), or those
    that are left (True).

    Args:
        candidates: the pairs.
        num_detections: D.
        min_iou: overlap from which a detection finds an annotation.
        second_choice: see `TubeRules`.
    """
    is_true = np.zeros(num_detections, bool)
    detections, annotations = candidates.detections, candidates.annotations
    if not second_choice:
        best = np.unique(detections, return_index=True)[1]
        best = best[candidates.ious[best] >= min_iou]
        first = np.unique(annotations[best], return_index=True)[1]
        is_true[detections[best[first]]] = True
        return is_true
    alive = np.flatnonzero(candidates.ious >= min_iou)
    while alive.size:  # as often as a group has annotations, at most
        chosen = alive[np.unique(candidates.groups[alive], return_index=True)[1]]
        is_true[detections[chosen]] = True
        taken = np.isin(annotations[alive], annotations[chosen])
        alive = alive[~(taken | is_true[detections[alive]])]
    return is_true


def average_precision(
    is_true: np.ndarray, num_annotations: int, *, area: Literal["trapezoid", "monotone"]
) -> float:
    """Return the area under precision over recall.

    Args:
        is_true: (D,) bool, the best ranked detection first.
        num_annotations: annotations of the class.
        area: "trapezoid" joins the points of all ranks, from precision 1 at recall 0, and ends
            at the last; "monotone" is PASCAL VOC's of 2010 on.

    Returns:
        NaN where `num_annotations` is 0.
    """
    if not num_annotations:
        return float("nan")
    found = np.cumsum(is_true)
    precision = found / np.arange(1, len(found) + 1)
    recall = found / num_annotations
    if area == "trapezoid":
        heights = np.concatenate([[1.0], precision])
        steps = np.diff(np.concatenate([[0.0], recall]))
        return float(np.sum(steps * (heights[1:] + heights[:-1]) / 2))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision))
