"""Video-mAP of tubes and frame-mAP of boxes by the rules of JHMDB-21, UCF101-24, MultiSports.

Equal scores: the public programs leave the order of equal scores to NumPy's unstable sort.
Here it is fixed by the detection itself: by video, then frames, then corners (sums of the
corners for tubes), all rising; the order of rows or tubes in a file does not matter. Of equal
IoUs the annotation that comes first in its file is taken, as there.

Legend: D detections, G annotations, K classes, S thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from x3d_det.evaluation.tube_matching import (
    Candidates,
    average_precision,
    box_ious,
    pack_tubes,
    pairs_in_groups,
    true_detections,
    tube_ious,
)
from x3d_det.evaluation.tube_rules import TubeRules
from x3d_det.io.action_tubes import FrameDetections, Tube


@dataclass(frozen=True)
class ClassScores:
    """AP and counts of every class at every threshold.

    Args:
        iou_thresholds: the S thresholds.
        average_precision: (K, S), NaN where a class has no annotation.
        num_annotations: (K,) annotated tubes or boxes.
        num_detections: (K,) detections.
        num_matched: (K, S) true detections.
        counted: (K,) bool, the classes that the mean is taken over.
    """

    iou_thresholds: tuple[float, ...]
    average_precision: np.ndarray
    num_annotations: np.ndarray
    num_detections: np.ndarray
    num_matched: np.ndarray
    counted: np.ndarray

    def mean_ap(self, iou_threshold: float) -> float:
        """Return the mean over the classes that count; NaN where none does."""
        column = self.average_precision[:, self.iou_thresholds.index(iou_threshold)]
        values = np.nan_to_num(column[self.counted])
        return float(np.mean(values)) if values.size else float("nan")

    def mean_over(self, iou_thresholds: Sequence[float]) -> float:
        """Return the mean of `mean_ap` over some thresholds."""
        return float(np.mean([self.mean_ap(threshold) for threshold in iou_thresholds]))


def video_ap(
    annotated: Sequence[Tube],
    detected: Sequence[Tube],
    iou_thresholds: Sequence[float],
    rules: TubeRules,
    *,
    labels: Sequence[str],
) -> ClassScores:
    """Return AP of tubes, per class and threshold.

    Args:
        annotated: the tubes of the evaluated videos.
        detected: tubes with scores; those of videos without annotation are false.
        iou_thresholds: overlaps in space and time from which a tube is found.
        rules: the data set's.
        labels: names of the K classes.
    """
    videos = {name: code for code, name in enumerate(_names(annotated, detected))}
    detected = [detected[row] for row in _tube_order(detected, videos)]
    truth, found = pack_tubes(annotated), pack_tubes(detected)
    groups = [
        np.array([videos[tube.video_id] * len(labels) + tube.label for tube in tubes], np.int64)
        for tubes in (detected, annotated)
    ]
    pairs = pairs_in_groups(groups[0], groups[1])
    candidates = Candidates.sorted(
        pairs[0], pairs[1], groups[0][pairs[0]], tube_ious(found, truth, pairs, rules)
    )
    return _class_scores(
        candidates,
        np.array([tube.label for tube in detected], np.int64),
        np.array([tube.label for tube in annotated], np.int64),
        tuple(iou_thresholds),
        rules,
        labels,
    )


def tube_frame_ap(
    annotated: Sequence[Tube],
    detections: FrameDetections,
    iou_thresholds: Sequence[float],
    rules: TubeRules,
    *,
    labels: Sequence[str],
) -> ClassScores:
    """Return AP of boxes on frames, per class and threshold.

    Args:
        annotated: the tubes of the evaluated videos; every frame of theirs is an annotation.
        detections: boxes; on a frame without annotation of their class they are false.
        iou_thresholds: overlaps from which a box is found.
        rules: the data set's.
        labels: names of the K classes.
    """
    num_labels = len(labels)
    videos = {
        name: code for code, name in enumerate(sorted({*_names(annotated), *detections.videos}))
    }
    lengths = [len(tube.frames) for tube in annotated]
    truth_labels = np.repeat(np.array([tube.label for tube in annotated], np.int64), lengths)
    truth_videos = np.repeat([videos[tube.video_id] for tube in annotated], lengths)
    truth_frames = np.concatenate([np.empty(0, np.int64), *(tube.frames for tube in annotated)])
    truth_boxes = pack_tubes(annotated).boxes_px
    codes = np.array([videos[name] for name in detections.videos], np.int64)[detections.video]
    order = np.lexsort((*detections.boxes_px.T[::-1], detections.frames, codes, -detections.scores))
    num_frames = 1 + max(truth_frames.max(initial=0), detections.frames.max(initial=0))
    found = (codes * num_frames + detections.frames) * num_labels + detections.labels
    wanted = (truth_videos.astype(np.int64) * num_frames + truth_frames) * num_labels + truth_labels
    pairs = pairs_in_groups(found[order], wanted)
    ious = box_ious(
        detections.boxes_px[order[pairs[0]]],
        truth_boxes[pairs[1]],
        extra_pixel=rules.extra_pixel,
    )
    candidates = Candidates.sorted(pairs[0], pairs[1], wanted[pairs[1]], ious)
    return _class_scores(
        candidates, detections.labels[order], truth_labels, tuple(iou_thresholds), rules, labels
    )


def _names(*parts: Sequence[Tube]) -> list[str]:
    return sorted({tube.video_id for tubes in parts for tube in tubes})


def _tube_order(tubes: Sequence[Tube], videos: dict[str, int]) -> list[int]:
    """Return the tubes by falling score, equal ones by their content."""
    keys = [
        (-t.score, videos[t.video_id], t.frames[0], t.frames[-1], *t.boxes_px.sum(axis=0))
        for t in tubes
    ]
    return sorted(range(len(tubes)), key=keys.__getitem__)


def _class_scores(
    candidates: Candidates,
    detected_labels: np.ndarray,
    annotated_labels: np.ndarray,
    iou_thresholds: tuple[float, ...],
    rules: TubeRules,
    labels: Sequence[str],
) -> ClassScores:
    """Match at every threshold; detections come in the order of their ranks."""
    num_labels = len(labels)
    num_annotations = np.bincount(annotated_labels, minlength=num_labels)
    by_class = [np.flatnonzero(detected_labels == label) for label in range(num_labels)]
    precision = np.full((num_labels, len(iou_thresholds)), np.nan)
    num_matched = np.zeros((num_labels, len(iou_thresholds)), np.int64)
    for column, threshold in enumerate(iou_thresholds):
        is_true = true_detections(
            candidates,
            len(detected_labels),
            min_iou=threshold,
            second_choice=rules.second_choice,
        )
        for label, rows in enumerate(by_class):
            num_matched[label, column] = np.count_nonzero(is_true[rows])
            precision[label, column] = average_precision(
                is_true[rows], int(num_annotations[label]), area=rules.area
            )
    counted = np.array([name not in rules.ignored for name in labels], bool)
    if not rules.counts_empty_classes:
        counted &= num_annotations > 0
    return ClassScores(
        iou_thresholds,
        precision,
        num_annotations,
        np.bincount(detected_labels, minlength=num_labels),
        num_matched,
        counted,
    )
