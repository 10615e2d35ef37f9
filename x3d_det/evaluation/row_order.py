"""Which detections of a keyframe take part, and in which order. NumPy alone."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CHUNK_CELLS = 1 << 20


@dataclass(frozen=True)
class BoxRows:
    """Boxes with an action, annotated or detected, in the order of their file.

    Args:
        keyframes: (N,) int, dense keyframe numbers 0 to F - 1.
        classes: (N,) int, 0 to K - 1, rising with the action id.
        boxes: x1, y1, x2, y2, each (N,) float64.
        scores: (N,) float64; of annotations, the eighth column (1.0 where absent).
    """

    keyframes: np.ndarray
    classes: np.ndarray
    boxes: Sequence[np.ndarray]
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.keyframes)


@dataclass(frozen=True)
class FrameRule:
    """How a rule set treats one keyframe.

    Args:
        matching: who may take an annotated box first. "rows": the earlier row;
            "score": the higher score, of equal ones the later row; "stable": the
            higher score, of equal ones the earlier row (annotations likewise, by
            their eighth column); "heap": the higher score, equal ones in the order
            of the official program's heap.
        limit: detections of a keyframe that count, the best over all actions; 0 is all.
        min_score: detections must score above it; None is any.
        keeps_empty_boxes: boxes with x1 >= x2 or y1 >= y2 take part.
        single_precision: boxes and ranked scores are rounded to float32; matching
            still goes by the score as written.
        ranks_as_annotated: equal scores rank by the order in which the keyframes
            first occur in the annotations, not in the detections.
    """

    matching: str
    limit: int = 0
    min_score: float | None = None
    keeps_empty_boxes: bool = False
    single_precision: bool = False
    ranks_as_annotated: bool = False


def heap_order(table: BoxRows, rows: np.ndarray, limit: int) -> np.ndarray:
    """Return those of `rows` that the official heap keeps, in the order it hands them on.

    A heap of (score, class, y1, x1, y2, x2) takes row after row. Once full, a row
    enters only with a score strictly above the smallest, and the smallest tuple
    leaves. What is left is sorted by falling score, equal scores as they lie in
    the heap's array.

    Args:
        table: the boxes.
        rows: row numbers of one keyframe in the file's order.
        limit: size of the heap; 0 is without limit.
    """
    x1, y1, x2, y2 = (corner[rows].tolist() for corner in table.boxes)
    columns = (table.scores[rows].tolist(), table.classes[rows].tolist(), y1, x1, y2, x2)
    entries = list(zip(*columns, strict=True))
    # The row must not take part in comparisons: equal entries move the heap otherwise.
    row_of_entry = dict(zip(map(id, entries), rows.tolist(), strict=True))
    heap: list[tuple] = []
    for entry in entries:
        if limit < 1 or len(heap) < limit:
            heapq.heappush(heap, entry)
        elif entry[0] > heap[0][0]:
            heapq.heapreplace(heap, entry)
    heap.sort(key=lambda entry: -entry[0])
    return np.array([row_of_entry[id(entry)] for entry in heap], np.int64)


def group_by_keyframe(
    all_keyframes: np.ndarray, rows: np.ndarray, num_keyframes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows keyframe by keyframe, as each first occurs, and the groups' bounds."""
    if not len(rows):
        return rows, np.zeros(1, np.int64)
    keyframes = all_keyframes if len(rows) == len(all_keyframes) else all_keyframes[rows]
    bounds = _run_bounds(keyframes)
    run_keyframes = keyframes[bounds[:-1]]
    index_type: type[np.integer] = np.int32 if len(rows) < 1 << 31 else np.int64
    first = np.full(num_keyframes, -1, index_type)
    first[run_keyframes[::-1]] = bounds[:-1][::-1]
    if np.count_nonzero(first >= 0) < len(run_keyframes):  # some keyframe's rows are scattered
        rank = first[keyframes]
        order = np.argsort(rank, kind="stable")
        return rows[order], _run_bounds(rank[order])
    return rows, bounds


def _run_bounds(values: np.ndarray) -> np.ndarray:
    """Return where each run of equal values begins, and the end."""
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    return np.concatenate([[0], changes, [len(values)]])


def sort_groups(
    all_keyframes: np.ndarray, order: np.ndarray, starts: np.ndarray, like: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return order and bounds with the keyframes as they first occur in `like`, others last."""
    if not len(order) or not len(like):
        return order, starts
    keyframes = all_keyframes[order[starts[:-1]]]
    first = np.full(max(keyframes.max(), like.max()) + 1, len(like))
    first[like[::-1]] = np.arange(len(like))[::-1]
    places = first[keyframes]
    if (places[1:] >= places[:-1]).all():
        return order, starts
    groups = np.argsort(places, kind="stable")
    sizes = np.diff(starts)[groups]
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    rows = np.repeat(starts[groups] - bounds[:-1], sizes) + np.arange(len(order))
    return order[rows], bounds


def reverse_groups(order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the order with the rows of each keyframe turned round."""
    places = np.repeat(starts[:-1] + starts[1:] - 1, np.diff(starts))
    places -= np.arange(len(order))
    return order[places]


def is_valid(detections: BoxRows, min_score: float | None) -> np.ndarray:
    """Return (D,) bool: a box with x1 < x2 and y1 < y2, scoring above `min_score`."""
    x1, y1, x2, y2 = detections.boxes
    valid = x1 < x2
    valid &= y1 < y2
    if min_score is not None:
        valid &= detections.scores > min_score
    return valid


def keep_best(
    detections: BoxRows, order: np.ndarray, starts: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return order and bounds with at most `limit` rows of each keyframe.

    Where one score holds the last place alone, the best are found by partition, all
    keyframes of one size together; where equal scores meet there, by the heap.
    """
    sizes = np.diff(starts)
    keep = np.ones(len(order), bool)
    tied_groups: list[np.ndarray] = []
    for size in np.unique(sizes[sizes > limit]):
        groups = np.flatnonzero(sizes == size)
        for part in np.array_split(groups, -(-len(groups) * size // _CHUNK_CELLS)):
            cells = starts[part, None] + np.arange(size)
            scores = detections.scores[order[cells]]
            last = np.partition(scores, size - limit, axis=1)[:, size - limit, None]
            best = scores >= last
            keep[cells] = best
            tied_groups.append(part[best.sum(axis=1) > limit])
    for group in np.concatenate(tied_groups or [starts[:0]]):
        span = slice(starts[group], starts[group + 1])
        kept = heap_order(detections, order[span], limit)
        keep[span] = np.isin(order[span], kept)
    bounds = np.concatenate([[0], np.cumsum(keep)])[starts]
    return order[keep], bounds
