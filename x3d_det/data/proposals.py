"""The person boxes of keyframes: annotated, detected above a threshold, or both.

Nothing is invented: a keyframe without a box stays without one, and is counted.
Rows are of one person if all four coordinates are equal; they are never rounded.

Shape suffixes in this file: G keyframes, M boxes of all of them, N boxes of one, L labels.
"""

import itertools
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from x3d_det.boxes import pairwise_iou
from x3d_det.errors import DataError
from x3d_det.keyframes import Keyframe

if TYPE_CHECKING:
    import pandas as pd

NO_ACTION = -1
"""Action id of a person who does nothing that is learnt: a box without an action."""

_COORDINATES = ["x1", "y1", "x2", "y2"]


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxTable:
    """The boxes of many keyframes, in a few arrays that travel cheaply to data workers.

    Keyframes are sorted by video and second. Boxes of keyframe g are the rows
    `box_starts[g]` to `box_starts[g + 1]`, actions of box m the ids from `label_starts[m]`
    to `label_starts[m + 1]`.
    """

    video_ids: tuple[str, ...]
    """Sorted, each once."""
    videos_G: np.ndarray
    """int64, index into `video_ids`."""
    timestamps_G: np.ndarray
    """float64, seconds of the film."""
    box_starts: np.ndarray
    """int64 (G + 1,)."""
    boxes_norm: np.ndarray
    """float64 (M, 4)."""
    person_scores_M: np.ndarray
    """float64; 1 for annotated boxes."""
    label_starts: np.ndarray
    """int64 (M + 1,)."""
    action_ids: np.ndarray
    """int64 (L,)."""

    def __len__(self) -> int:
        return len(self.timestamps_G)

    @property
    def num_boxes(self) -> int:
        """M."""
        return len(self.boxes_norm)

    def keyframe(self, index: int) -> Keyframe:
        """Return video and second of a keyframe."""
        return Keyframe(self.video_ids[self.videos_G[index]], float(self.timestamps_G[index]))

    def boxes(self, index: int) -> np.ndarray:
        """Return the boxes (N, 4) of a keyframe."""
        return self.boxes_norm[self.box_starts[index] : self.box_starts[index + 1]]

    def person_scores(self, index: int) -> np.ndarray:
        """Return how sure the detector was of each box (N,)."""
        return self.person_scores_M[self.box_starts[index] : self.box_starts[index + 1]]

    def targets(self, index: int, num_classes: int) -> np.ndarray:
        """Return 1 where a box has an action, 0 elsewhere: float32 (N, num_classes)."""
        first, last = self.box_starts[index], self.box_starts[index + 1]
        starts = self.label_starts[first : last + 1]
        targets_NK = np.zeros((last - first, num_classes), np.float32)
        rows = np.repeat(np.arange(last - first), np.diff(starts))
        targets_NK[rows, self.action_ids[starts[0] : starts[-1]] - 1] = 1
        return targets_NK

    def select(self, keep_G: np.ndarray) -> "BoxTable":
        """Return the table of the keyframes where `keep_G` (bool) is set."""
        keep_M = np.repeat(keep_G, np.diff(self.box_starts))
        keep_L = np.repeat(keep_M, np.diff(self.label_starts))
        return replace(
            self,
            videos_G=self.videos_G[keep_G],
            timestamps_G=self.timestamps_G[keep_G],
            box_starts=_starts(np.diff(self.box_starts)[keep_G]),
            boxes_norm=self.boxes_norm[keep_M],
            person_scores_M=self.person_scores_M[keep_M],
            label_starts=_starts(np.diff(self.label_starts)[keep_M]),
            action_ids=self.action_ids[keep_L],
        )


@dataclass(frozen=True, kw_only=True)
class BoxCounts:
    """What became of the boxes and keyframes of the files."""

    num_keyframes: int
    """Keyframes that have a box."""
    num_boxes: int
    """Their boxes."""
    num_below_threshold: int = 0
    """Detected boxes left out for their person score."""
    num_unmatched: int = 0
    """Detected boxes that overlap no annotated one enough (training)."""
    num_keyframes_without_boxes: int = 0
    """Annotated keyframes that are left without any box; they can only be misses."""
    num_excluded: int = 0
    """Keyframes with boxes that the exclusion list removed."""
    num_without_action: int = 0
    """Annotated persons who do nothing that is learnt, kept as boxes without an action."""
    num_left_out: int = 0
    """Annotated persons who do nothing that is learnt, left out (single-label training)."""

    def lines(self) -> list[str]:
        """Return the counts in words, those of 0 left out."""
        texts = [f"{self.num_keyframes} keyframes with {self.num_boxes} person boxes"]
        for count, words in (
            (self.num_below_threshold, "detected boxes below the person-score threshold"),
            (self.num_unmatched, "detected boxes that match no annotated box"),
            (self.num_keyframes_without_boxes, "annotated keyframes without a box"),
            (self.num_excluded, "keyframes excluded by the list"),
            (self.num_without_action, "annotated persons with other actions alone, as negatives"),
            (self.num_left_out, "annotated persons with other actions alone, left out"),
        ):
            if count:
                texts.append(f"{count} {words}")
        return texts


def training_boxes(
    annotations: "pd.DataFrame",
    proposals: "pd.DataFrame | None" = None,
    *,
    score_threshold: float = 0.8,
    positive_iou: float = 0.9,
    include_negatives: bool = False,
    exclusions: "pd.DataFrame | None" = None,
    needs_action: bool = False,
) -> tuple[BoxTable, BoxCounts]:
    """Return the boxes and actions to train on, for the keyframes that have annotated boxes.

    Args:
        annotations: rows with video_id, timestamp, x1, y1, x2, y2, action_id; the id
            `NO_ACTION` is a person without an action.
        proposals: detected boxes with score, to train on besides; None for annotated ones only.
        score_threshold: least person score of a detected box.
        positive_iou: a detected box takes the actions of the annotated box that it overlaps
            most, if by this much.
        include_negatives: keep the other detected boxes too, as boxes without an action.
        exclusions: keyframes to leave out (MMAction2 does so, PySlowFast gives None).
        needs_action: leave out annotated persons without an action: a softmax cannot say
            "none of these".

    Source: PySlowFast's predicted-box files carry actions put on by IoU >= 0.9, and -1 for
        boxes that match nobody; we do the matching here, from boxes alone.
    """
    annotated, num_excluded = _drop_excluded(_annotated(annotations), exclusions)
    num_without, num_left_out = _num_without_action(annotated), 0
    if needs_action and num_without:
        acting, _ = _drop_excluded(
            _annotated(annotations[annotations["action_id"] != NO_ACTION]), exclusions
        )
        annotated, num_without, num_left_out = acting, 0, num_without
    further = {
        "num_excluded": num_excluded,
        "num_without_action": num_without,
        "num_left_out": num_left_out,
    }
    if proposals is None:
        return annotated, _counts(annotated, **further)
    detected, num_below = _detected(proposals, score_threshold)
    table, num_unmatched = _join(annotated, detected, positive_iou, include_negatives)
    return table, _counts(
        table, num_below_threshold=num_below, num_unmatched=num_unmatched, **further
    )


def evaluation_boxes(
    annotations: "pd.DataFrame",
    proposals: "pd.DataFrame | None" = None,
    *,
    score_threshold: float = 0.8,
    exclusions: "pd.DataFrame | None" = None,
) -> tuple[BoxTable, BoxCounts]:
    """Return the boxes to score: detected ones, or the annotated ones where `proposals` is None.

    Detected boxes are scored on all their keyframes, annotated or not: a list of keyframes
    taken from the annotations would tell where people are.

    Args:
        annotations: rows as for `training_boxes`.
        proposals: detected boxes with score.
        score_threshold: least person score of a detected box.
        exclusions: keyframes to leave out.
    """
    annotated, _ = _drop_excluded(_annotated(annotations), exclusions)
    num_below = 0
    if proposals is None:
        table, num_excluded = _drop_excluded(_annotated(annotations), exclusions)
    else:
        detected, num_below = _detected(proposals, score_threshold)
        table, num_excluded = _drop_excluded(detected, exclusions)
    num_without = len(_keys(annotated) - _keys(table))
    return table, _counts(
        table,
        num_below_threshold=num_below,
        num_keyframes_without_boxes=num_without,
        num_excluded=num_excluded,
    )


def _counts(table: BoxTable, **further: int) -> BoxCounts:
    return BoxCounts(num_keyframes=len(table), num_boxes=table.num_boxes, **further)


def _num_without_action(table: BoxTable) -> int:
    return int((np.diff(table.label_starts) == 0).sum())


def _annotated(rows: "pd.DataFrame") -> BoxTable:
    return _table(rows, np.ones(len(rows)), rows["action_id"].to_numpy(np.int64))


def _detected(rows: "pd.DataFrame", score_threshold: float) -> tuple[BoxTable, int]:
    kept = rows[rows["score"] >= score_threshold]
    return _table(kept, kept["score"].to_numpy(np.float64), None), len(rows) - len(kept)


def _table(
    rows: "pd.DataFrame", person_scores: np.ndarray, action_ids: np.ndarray | None
) -> BoxTable:
    """Group rows into keyframes (sorted) and boxes (in the order of their first rows)."""
    names, videos = np.unique(rows["video_id"].to_numpy(dtype=str), return_inverse=True)
    seconds = rows["timestamp"].to_numpy(np.float64)
    boxes = rows[_COORDINATES].to_numpy(np.float64)
    # A box's rows need not follow each other: number the boxes, then sort rows by that number.
    box_keys = np.column_stack([videos, seconds, boxes])
    _, first_rows, box_of_row = (
        np.unique(box_keys, axis=0, return_index=True, return_inverse=True)
        if len(rows)
        else (None, np.empty(0, np.int64), np.empty(0, np.int64))
    )
    place = np.lexsort((first_rows, seconds[first_rows], videos[first_rows]))
    rank = np.empty(len(place), np.int64)
    rank[place] = np.arange(len(place))
    firsts = first_rows[place]
    is_new = np.ones(len(firsts), np.bool_)
    is_new[1:] = (np.diff(videos[firsts]) != 0) | (np.diff(seconds[firsts]) != 0)
    ids, num_labels = _labels_of_boxes(action_ids, rank[box_of_row.reshape(-1)], len(firsts))
    return BoxTable(
        video_ids=tuple(str(name) for name in names),
        videos_G=videos[firsts[is_new]].astype(np.int64),
        timestamps_G=seconds[firsts[is_new]],
        box_starts=np.append(np.flatnonzero(is_new), len(firsts)).astype(np.int64),
        boxes_norm=boxes[firsts],
        person_scores_M=person_scores[firsts],
        label_starts=_starts(num_labels),
        action_ids=ids,
    )


def _labels_of_boxes(
    action_ids: np.ndarray | None, box_of_row: np.ndarray, num_boxes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the action ids box after box, each once a box, and how many every box has."""
    if action_ids is None or not len(action_ids):
        return np.empty(0, np.int64), np.zeros(num_boxes, np.int64)
    pairs = np.unique(np.stack([box_of_row, action_ids], axis=1), axis=0)
    pairs = pairs[pairs[:, 1] != NO_ACTION]
    return pairs[:, 1], np.bincount(pairs[:, 0], minlength=num_boxes)


def _join(
    annotated: BoxTable, detected: BoxTable, positive_iou: float, include_negatives: bool
) -> tuple[BoxTable, int]:
    """Add the detected boxes of annotated keyframes behind the annotated ones."""
    place_of = {detected.keyframe(index): index for index in range(len(detected))}
    boxes, scores, labels, counts = [], [], [], []
    num_unmatched = 0
    for index in range(len(annotated)):
        own = _label_lists(annotated, index)
        boxes.append(annotated.boxes(index))
        scores.append(annotated.person_scores(index))
        labels.extend(own)
        counts.append(len(own))
        other = place_of.get(annotated.keyframe(index))
        if other is None:
            continue
        iou = pairwise_iou(detected.boxes(other), annotated.boxes(index))
        is_matched = iou.max(axis=1) >= positive_iou
        num_unmatched += int((~is_matched).sum())
        kept = np.ones_like(is_matched) if include_negatives else is_matched
        boxes.append(detected.boxes(other)[kept])
        scores.append(detected.person_scores(other)[kept])
        for best, matched in zip(iou.argmax(axis=1)[kept], is_matched[kept], strict=True):
            labels.append(own[best] if matched else own[best][:0])
        counts[-1] += int(kept.sum())
    table = replace(
        annotated,
        box_starts=_starts(np.array(counts, np.int64)),
        boxes_norm=np.concatenate([np.empty((0, 4)), *boxes]),
        person_scores_M=np.concatenate([np.empty(0), *scores]),
        label_starts=_starts(np.array([len(ids) for ids in labels], np.int64)),
        action_ids=np.concatenate([np.empty(0, np.int64), *labels]),
    )
    return table, num_unmatched


def _label_lists(table: BoxTable, index: int) -> list[np.ndarray]:
    starts = table.label_starts[table.box_starts[index] : table.box_starts[index + 1] + 1]
    return [table.action_ids[a:b] for a, b in itertools.pairwise(starts)]


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _keys(table: BoxTable) -> set[Keyframe]:
    return {table.keyframe(index) for index in range(len(table))}


def _drop_excluded(table: BoxTable, exclusions: "pd.DataFrame | None") -> tuple[BoxTable, int]:
    if exclusions is None or not len(exclusions):
        return table, 0
    excluded = {
        Keyframe(str(video_id), float(timestamp))
        for video_id, timestamp in zip(exclusions["video_id"], exclusions["timestamp"], strict=True)
    }
    keep_G = np.array([table.keyframe(i) not in excluded for i in range(len(table))], np.bool_)
    return table.select(keep_G), int((~keep_G).sum())


def check_action_ids(table: BoxTable, *, num_classes: int, path: str) -> None:
    """Raise if a box has an action that a model of `num_classes` outputs cannot name.

    Raises:
        DataError: names the ids and the keyframe of the first.
    """
    unknown = np.flatnonzero((table.action_ids < 1) | (table.action_ids > num_classes))
    if len(unknown):
        box = int(np.searchsorted(table.label_starts, unknown[0], side="right")) - 1
        index = int(np.searchsorted(table.box_starts, box, side="right")) - 1
        ids: Collection[int] = sorted({int(i) for i in table.action_ids[unknown]})
        raise DataError(
            f"{path}: action ids {', '.join(map(str, ids))} (first at {table.keyframe(index)}) "
            f"are outside 1 to {num_classes}, the outputs of the model; check num_classes."
        )
