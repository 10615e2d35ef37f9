"""Matching of boxes at an IoU and average precision, in NumPy alone.

No loop runs over detections or keyframes, save over the keyframes where equal
scores decide (`row_order.heap_order`). The matching rule of AVA's evaluators has no second
choice: a detection looks only at the annotated box of its action with the largest
IoU, so the first detection in matching order that chose a box is true and every
other is false.

Legend: D detections, G annotated boxes, P pairs of both, K actions, F keyframes.
Source: the evaluators of ActivityNet (commits be7854e, 3fee089, 82304fa) and
PySlowFast (287ec00), whose results this reproduces to the last bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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

_CHUNK_ROWS = 1 << 16


@dataclass(frozen=True)
class FrameResult:
    """What matching and ranking gave, per class and in total.

    Args:
        average_precision: (K,) float64, NaN where a class has no annotation.
        num_annotations: (K,) annotated boxes.
        num_detections: (K,) detections that took part.
        num_matched: (K,) true detections.
        matched_rows: the true detections, class by class.
        num_over_limit: rows that the limit of the keyframe dropped.
        num_invalid: rows with x1 >= x2 or y1 >= y2 (or not above `min_score`), dropped.
        reached_inverted: annotation rows (x1 > x2 or y1 > y2) that some detection of
            their class and keyframe had to be compared with.
    """

    average_precision: np.ndarray
    num_annotations: np.ndarray
    num_detections: np.ndarray
    num_matched: np.ndarray
    matched_rows: np.ndarray
    num_over_limit: int
    num_invalid: int
    reached_inverted: np.ndarray


def iou_of_pairs(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """Return the IoU of box i of `first` with box i of `second`, (P,) float64.

    Args:
        first: x1, y1, x2, y2, each (P,), continuous corners. Of float32 ones the lengths and
            areas are float32 and the rest float64, as in MMAction2.
        second: the same; widths and heights of the overlap are floored at 0.
    """
    x1, y1, x2, y2 = first
    u1, v1, u2, v2 = second
    height = np.maximum(0.0, np.minimum(y2, v2) - np.maximum(y1, v1), dtype=np.float64)
    width = np.maximum(0.0, np.minimum(x2, u2) - np.maximum(x1, u1), dtype=np.float64)
    shared = height * width
    union = (y2 - y1) * (x2 - x1) + (v2 - v1) * (u2 - u1) - shared
    with np.errstate(divide="ignore", invalid="ignore"):
        return shared / union


def average_precision(scores: np.ndarray, is_true: np.ndarray, num_annotations: int) -> float:
    """Return the area under the precision-recall curve at all ranks, precision made monotone.

    Args:
        scores: (D,) of one class, keyframe after keyframe. Of equal scores the later
            one ranks higher (an ascending stable sort, reversed).
        is_true: (D,) bool, true detections.
        num_annotations: annotated boxes of the class.

    Returns:
        NaN where `num_annotations` is 0, 0.0 where there is no true detection.
    """
    if num_annotations == 0:
        return float("nan")
    return area_of_ranks(np.sort(_ranks(scores, np.flatnonzero(is_true))), num_annotations)


def area_of_ranks(ranks: np.ndarray, num_annotations: int) -> float:
    """Return the area under precision over recall; 0.0 where there is no true detection.

    Args:
        ranks: 1-based ranks of the true detections, rising.
        num_annotations: annotated boxes of the class, 1 or more.
    """
    if not len(ranks):
        return 0.0
    # Recall rises only at a true detection, and precision falls between two of them.
    found = np.arange(1, len(ranks) + 1)
    precision = np.maximum.accumulate((found / ranks)[::-1])[::-1]
    recall = np.concatenate([[0.0], found / num_annotations])
    steps = (recall[1:] - recall[:-1]) * precision
    if recall[-1] != 1.0:
        steps = np.append(steps, 0.0)  # the official sum ends at recall 1, precision 0
    return float(np.sum(steps))


def _ranks(scores: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the 1-based ranks, in any order, of the rows `chosen` among all scores."""
    rising = np.sort(scores)
    chosen = chosen[np.argsort(scores[chosen])]  # searching in order is several times quicker
    wanted = scores[chosen]
    above = np.searchsorted(rising, wanted, side="right")
    ranks = len(scores) - above + 1
    tied = above - np.searchsorted(rising, wanted, side="left") > 1
    if tied.any():
        rows = np.flatnonzero(np.isin(scores, wanted[tied]))
        falling = rows[np.argsort(scores[rows], kind="stable")[::-1]]
        values = scores[falling]
        starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
        places = np.arange(len(values)) - np.repeat(starts, np.diff([*starts, len(values)]))
        place_of_row = np.empty(len(scores), np.int64)
        place_of_row[falling] = places
        ranks[tied] += place_of_row[chosen[tied]]
    return ranks


def evaluate_frames(
    annotations: BoxRows,
    detections: BoxRows,
    *,
    num_classes: int,
    num_keyframes: int,
    rule: FrameRule,
    detection_rows: np.ndarray | None = None,
    min_iou: float = 0.5,
) -> FrameResult:
    """Return average precision and counts of every class.

    Args:
        annotations: G annotated boxes; none is left out, repeated ones neither.
        detections: D detections.
        num_classes: K.
        num_keyframes: F.
        rule: order of matching and limit of a keyframe.
        detection_rows: the rows of `detections` that count, rising; None is all. The
            others may hold any class.
        min_iou: overlap from which a detection finds a box.
    """
    if detection_rows is None:
        detection_rows = np.arange(len(detections))
    grouped, group_bounds = group_by_keyframe(detections.keyframes, detection_rows, num_keyframes)
    if rule.ranks_as_annotated:
        grouped, group_bounds = sort_groups(
            detections.keyframes, grouped, group_bounds, annotations.keyframes
        )
    order, bounds = grouped, group_bounds
    if rule.limit:
        order, bounds = keep_best(detections, grouped, group_bounds, rule.limit)
    elif rule.matching == "score":
        order = reverse_groups(grouped, group_bounds)
    num_over_limit = len(grouped) - len(order)
    valid = _taking_part(detections, rule)
    if not valid.all():
        kept = valid[order]
        bounds = np.concatenate([[0], np.cumsum(kept)])[bounds]
        order = order[kept]
    num_invalid = len(grouped) - num_over_limit - len(order)

    matcher = _Matcher(annotations, detections, num_classes, num_keyframes, rule, min_iou)
    result = matcher.run(order)
    if rule.matching == "heap" and matcher.num_ties:
        order = order.copy()
        group_keyframes = detections.keyframes[grouped[group_bounds[:-1]]]
        tied = np.isin(group_keyframes, list(matcher.tied_detections))
        for group in np.flatnonzero(tied):
            span = slice(group_bounds[group], group_bounds[group + 1])
            rows = heap_order(detections, grouped[span], rule.limit)
            order[bounds[group] : bounds[group + 1]] = rows[valid[rows]]
        matcher.settle_annotations()
        result = matcher.run(order)
    return FrameResult(
        *result,
        num_over_limit=num_over_limit,
        num_invalid=num_invalid,
        reached_inverted=np.array(sorted(matcher.reached_inverted), np.int64),
    )


def _taking_part(detections: BoxRows, rule: FrameRule) -> np.ndarray:
    if rule.keeps_empty_boxes:
        return np.ones(len(detections), bool)
    return is_valid(detections, rule.min_score)


_ClassColumns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class _ByClass:
    """Detections class by class, in matching order within a class.

    They are sorted in runs that fit the cache: the numbers of one class lie far apart, and
    fetching them class by class would read memory as often as there are classes.

    Args:
        detections: all of them.
        order: (N,) those that take part, in matching order.
        num_classes: K.
    """

    def __init__(self, detections: BoxRows, order: np.ndarray, num_classes: int) -> None:
        tables = (detections.keyframes, detections.scores)
        self._columns = [np.empty_like(order), *(np.empty(len(order), t.dtype) for t in tables)]
        self._bounds: list[list[int]] = []
        for start in range(0, len(order), _CHUNK_ROWS):
            part = order[start : start + _CHUNK_ROWS]
            classes = detections.classes[part].astype(np.min_scalar_type(num_classes))
            ends = np.cumsum(np.bincount(classes, minlength=num_classes))
            self._bounds.append([start, *(start + ends).tolist()])
            rows, *others = (column[start : start + len(part)] for column in self._columns)
            # All places exist; with "clip" NumPy writes straight into `out`.
            np.take(part, np.argsort(classes, kind="stable"), out=rows, mode="clip")
            for table, other in zip(tables, others, strict=True):
                np.take(table, rows, out=other, mode="clip")

    def of_class(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows, keyframes and scores of one class."""
        rows, keyframes, scores = (
            np.concatenate([column[:0], *(column[b[index] : b[index + 1]] for b in self._bounds)])
            for column in self._columns
        )
        return rows, keyframes, scores


class _Matcher:
    """Finds, class by class, which detections are true, and ranks them.

    Notes on the way where equal scores or equal overlaps leave the outcome to the
    order inside a keyframe, which only the official heap can tell.
    """

    def __init__(
        self,
        annotations: BoxRows,
        detections: BoxRows,
        num_classes: int,
        num_keyframes: int,
        rule: FrameRule,
        min_iou: float,
    ) -> None:
        self.annotations = annotations
        self.detections = detections
        self.num_classes = num_classes
        self.rule = rule
        self.min_iou = min_iou
        self.reached_inverted: set[int] = set()
        self.tied_detections: set[int] = set()
        self.tied_annotations: set[int] = set()
        # Annotation rows of a keyframe and class lie together, in matching order.
        self._place = np.arange(len(annotations))
        if rule.matching == "stable":
            self._place = -annotations.scores  # equal ones keep the order of their rows
        self._sort_annotations()
        self._first_of_keyframe = np.zeros(num_keyframes, np.int64)
        self._count_of_keyframe = np.zeros(num_keyframes, np.int32)

    @property
    def num_ties(self) -> int:
        """Number of keyframes whose order inside matters."""
        return len(self.tied_detections) + len(self.tied_annotations)

    def _sort_annotations(self) -> None:
        table = self.annotations
        self._rows = np.lexsort((self._place, table.keyframes, table.classes))
        self._class_bounds = np.searchsorted(
            table.classes[self._rows], np.arange(self.num_classes + 1)
        )
        self._corners = [self._rounded(corner[self._rows]) for corner in table.boxes]

    def _rounded(self, corner: np.ndarray) -> np.ndarray:
        return corner.astype(np.float32) if self.rule.single_precision else corner

    def settle_annotations(self) -> None:
        """Put the annotations of the keyframes with equal overlaps into the heap's order."""
        for keyframe in self.tied_annotations:
            rows = np.flatnonzero(self.annotations.keyframes == keyframe)
            self._place[heap_order(self.annotations, rows, 0)] = np.sort(self._place[rows])
        self._sort_annotations()

    def run(self, order: np.ndarray) -> _ClassColumns:
        """Return AP, annotations, detections and true detections per class, and the true rows.

        Args:
            order: rows of the detections that take part, keyframe after keyframe.
        """
        by_class = _ByClass(self.detections, order, self.num_classes)
        precision = np.full(self.num_classes, np.nan)
        num_detections = np.zeros(self.num_classes, np.int64)
        num_matched = np.zeros(self.num_classes, np.int64)
        matched_rows = [order[:0]]
        for index in range(self.num_classes):
            rows, keyframes, scores = by_class.of_class(index)
            true_places = self._true_detections(index, rows, keyframes, scores)
            is_true = np.zeros(len(rows), bool)
            is_true[true_places] = True
            num_detections[index] = len(rows)
            num_matched[index] = len(true_places)
            matched_rows.append(rows[true_places])
            num_annotations = self._class_bounds[index + 1] - self._class_bounds[index]
            ranked = scores.astype(np.float32) if self.rule.single_precision else scores
            precision[index] = average_precision(ranked, is_true, int(num_annotations))
        num_annotations = np.diff(self._class_bounds)
        return precision, num_annotations, num_detections, num_matched, np.concatenate(matched_rows)

    def _true_detections(
        self, index: int, rows: np.ndarray, keyframes: np.ndarray, scores: np.ndarray
    ) -> np.ndarray:
        """Return which of the class's `rows` are true, as places in `rows`."""
        start, stop = self._class_bounds[index], self._class_bounds[index + 1]
        if start == stop or not len(rows):
            return np.empty(0, np.int64)
        of_class = self.annotations.keyframes[self._rows[start:stop]]
        firsts = np.flatnonzero(np.append(True, of_class[1:] != of_class[:-1]))
        named = of_class[firsts]
        self._first_of_keyframe[named] = start + firsts
        self._count_of_keyframe[named] = np.diff(np.append(firsts, len(of_class)))

        places = np.flatnonzero(self._count_of_keyframe[keyframes] != 0)  # something to find
        counts = self._count_of_keyframe[keyframes[places]]
        chosen, overlap = self._best_annotations(
            rows[places], self._first_of_keyframe[keyframes[places]], counts
        )
        self._count_of_keyframe[named] = 0
        finds = overlap >= self.min_iou
        if self.rule.matching == "heap":
            self._note_ties(keyframes[places], scores[places], finds)
        places, chosen = places[finds], chosen[finds]
        if self.rule.matching != "rows":
            falling = np.argsort(-scores[places], kind="stable")
            places, chosen = places[falling], chosen[falling]
        return places[np.unique(chosen, return_index=True)[1]]

    def _best_annotations(
        self, rows: np.ndarray, firsts: np.ndarray, counts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return for each detection the annotation with the largest IoU, and that IoU.

        Args:
            rows: (D,) detections.
            firsts: (D,) first annotation of the same keyframe and class (sorted place).
            counts: (D,) how many there are, 1 or more.
        """
        if not len(rows):
            return np.empty(0, np.int64), np.empty(0)
        starts = np.cumsum(counts) - counts
        pair_annotation = np.repeat(firsts - starts, counts) + np.arange(counts.sum())
        pair_row = np.repeat(rows, counts)
        annotated = [corner[pair_annotation] for corner in self._corners]
        inverted = (annotated[0] > annotated[2]) | (annotated[1] > annotated[3])
        if inverted.any():
            self.reached_inverted.update(self._rows[pair_annotation[inverted]].tolist())
        detected = [self._rounded(corner[pair_row]) for corner in self.detections.boxes]
        overlaps = iou_of_pairs(detected, annotated)
        best = np.maximum.reduceat(overlaps, starts)
        is_best = overlaps == np.repeat(best, counts)
        candidates = np.where(is_best, pair_annotation, len(self._rows))
        chosen = np.minimum.reduceat(candidates, starts)
        if self.rule.matching == "heap":
            self._note_equal_overlaps(pair_annotation, is_best, np.repeat(chosen, counts), overlaps)
        return chosen, best

    def _note_equal_overlaps(
        self,
        pair_annotation: np.ndarray,
        is_best: np.ndarray,
        chosen: np.ndarray,
        overlaps: np.ndarray,
    ) -> None:
        """Note keyframes where another annotated box overlaps a detection just as much."""
        rivals = np.flatnonzero(is_best & (pair_annotation != chosen) & (overlaps >= self.min_iou))
        one, other = chosen[rivals], pair_annotation[rivals]
        differ = np.zeros(len(rivals), bool)
        for corner in self._corners:
            differ |= corner[one] != corner[other]
        keyframes = self.annotations.keyframes[self._rows[one[differ]]]
        self.tied_annotations.update(keyframes.tolist())

    def _note_ties(self, keyframes: np.ndarray, scores: np.ndarray, finds: np.ndarray) -> None:
        """Note keyframes where a detection that finds a box shares its score with another."""
        order = np.lexsort((scores, keyframes))
        keyframes, scores, finds = keyframes[order], scores[order], finds[order]
        tied = (keyframes[1:] == keyframes[:-1]) & (scores[1:] == scores[:-1])
        tied &= finds[1:] | finds[:-1]
        self.tied_detections.update(keyframes[1:][tied].tolist())
