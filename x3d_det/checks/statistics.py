"""Numbers of a split: videos, keyframes, boxes, persons, labels, scores."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from x3d_det.checks.findings import shown
from x3d_det.checks.keyframes import ANNOTATED, DETECTED, EMPTY, EXCLUDED, overlap
from x3d_det.checks.tables import SplitTables
from x3d_det.words import none_if_nan

NUM_BINS = 20
"""Bins of a histogram over [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class DetectedStatistics:
    """The predicted person boxes of a split."""

    num_boxes: int
    num_above_threshold: int
    score_threshold: float
    highest_score: float
    """NaN where there is no box."""
    score_histogram: tuple[int, ...]
    """Boxes in each of `NUM_BINS` equal bins of [0, 1]."""
    num_annotated_without: int
    """Annotated keyframes, not excluded, that have no box above the threshold."""
    num_without_annotation: int
    """Keyframes with a box above the threshold and no annotation: legal, and evaluated."""
    recall: float
    """Share of the annotated boxes that a box above the threshold overlaps by 0.5; NaN if none."""


@dataclass(frozen=True, kw_only=True)
class SplitStatistics:
    """What a split holds."""

    name: str
    annotations: str
    """The file."""
    num_rows: int
    num_videos: int
    num_keyframes: int
    """Keyframes with annotated boxes."""
    num_empty_keyframes: int
    num_excluded_keyframes: int
    num_boxes: int
    persons_per_keyframe: Mapping[int, int]
    """Persons -> keyframes; 0 are the empty ones."""
    labels_per_box: Mapping[int, int]
    """Labels -> boxes."""
    labels_per_class: Mapping[int, int]
    """Action id -> rows."""
    height_histogram: tuple[int, ...]
    """Annotated boxes by height, as a fraction of the frame's, in `NUM_BINS` equal bins."""
    area_quantiles: tuple[float, float, float]
    """Area at 5, 50 and 95 % of the boxes, as a fraction of the frame; NaN where there is none."""
    seconds_per_video: Mapping[str, tuple[float, float, int]]
    """Video id -> first and last keyframe's second, number of keyframes with or without boxes."""
    detected: DetectedStatistics | None
    """None where there is no file of person boxes."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a json file, NaN as None."""
        values = asdict(self)
        values["area_quantiles"] = [none_if_nan(value) for value in self.area_quantiles]
        if self.detected is not None:
            values["detected"]["recall"] = none_if_nan(self.detected.recall)
            values["detected"]["highest_score"] = none_if_nan(self.detected.highest_score)
        return values

    def lines(self) -> list[str]:
        """Return the numbers in words."""
        persons = _mean(self.persons_per_keyframe)
        texts = [
            f"{self.name}: {self.num_videos:,} videos, {self.num_keyframes:,} keyframes with "
            f"persons, {self.num_empty_keyframes:,} named empty, "
            f"{self.num_excluded_keyframes:,} excluded",
            f"  {self.num_boxes:,} boxes ({persons:.2f} a keyframe, at most "
            f"{max(self.persons_per_keyframe, default=0)}), {self.num_rows:,} labels "
            f"({_mean(self.labels_per_box):.2f} a box) of {len(self.labels_per_class)} classes",
        ]
        if self.num_boxes:
            low, middle, high = self.area_quantiles
            texts.append(
                f"  half of the boxes cover more than {middle:.1%} of the frame "
                f"(5 % less than {low:.1%}, 5 % more than {high:.1%})"
            )
        if self.seconds_per_video:
            counts = [number for _, _, number in self.seconds_per_video.values()]
            texts.append(f"  {min(counts):,} to {max(counts):,} keyframes a video")
        found = self.detected
        if found is not None:
            texts.append(
                f"  person boxes: {found.num_boxes:,}, {found.num_above_threshold:,} of score "
                f"{found.score_threshold:g} or more, on {found.num_without_annotation:,} keyframes "
                "without annotation too"
            )
            if not np.isnan(found.recall):
                texts.append(
                    f"  they lie on {found.recall:.1%} of the annotated boxes (IoU 0.5); "
                    f"{found.num_annotated_without:,} annotated keyframes have none"
                )
        return texts


def split_statistics(split: SplitTables, *, score_threshold: float) -> SplitStatistics:
    """Return the numbers of a split's rows that are in order."""
    index, boxes = split.index, split.boxes
    persons = np.bincount(
        np.bincount(boxes["keyframe"].to_numpy(), minlength=index.size)[split.has(ANNOTATED)]
    )
    per_keyframe = {number: int(count) for number, count in enumerate(persons) if count}
    num_empty = int((split.has(EMPTY) & ~split.has(ANNOTATED)).sum())
    if num_empty:
        per_keyframe = {0: num_empty, **per_keyframe}
    rows = split.annotations.rows
    action_ids, counts = np.unique(rows["action_id"].to_numpy(), return_counts=True)
    areas = (boxes["x2"] - boxes["x1"]) * (boxes["y2"] - boxes["y1"])
    quantiles = areas.quantile([0.05, 0.5, 0.95]).tolist()
    return SplitStatistics(
        name=split.files.name,
        annotations=shown(split.files.annotations),
        num_rows=len(rows),
        num_videos=len(np.unique(index.videos[split.has(ANNOTATED) | split.has(EMPTY)])),
        num_keyframes=int(split.has(ANNOTATED).sum()),
        num_empty_keyframes=num_empty,
        num_excluded_keyframes=int(split.has(EXCLUDED).sum()),
        num_boxes=len(boxes),
        persons_per_keyframe=per_keyframe,
        labels_per_box=_histogram_of(np.bincount(split.box_of_row)),
        labels_per_class=dict(zip(action_ids.tolist(), counts.tolist(), strict=True)),
        height_histogram=_bins(boxes["y2"].to_numpy() - boxes["y1"].to_numpy()),
        area_quantiles=(quantiles[0], quantiles[1], quantiles[2]),
        seconds_per_video=split.spans(split.has(ANNOTATED) | split.has(EMPTY)),
        detected=_detected(split, score_threshold),
    )


def _detected(split: SplitTables, score_threshold: float) -> DetectedStatistics | None:
    if split.person_boxes is None:
        return None
    scores = split.detected["score"].to_numpy()
    is_above = scores >= score_threshold
    has_box_F = np.zeros(split.index.size, np.bool_)
    has_box_F[split.index.keyframes[DETECTED][is_above]] = True
    annotated_F, counts_F = split.has(ANNOTATED), ~split.has(EXCLUDED)
    return DetectedStatistics(
        num_boxes=len(scores),
        num_above_threshold=int(is_above.sum()),
        score_threshold=score_threshold,
        highest_score=float(scores.max()) if len(scores) else float("nan"),
        score_histogram=_bins(scores),
        num_annotated_without=int((annotated_F & counts_F & ~has_box_F).sum()),
        num_without_annotation=int((has_box_F & counts_F & ~annotated_F).sum()),
        recall=overlap(split, score_threshold=score_threshold).recall,
    )


def _histogram_of(numbers: np.ndarray) -> dict[int, int]:
    """Return value -> how often it occurs."""
    values, counts = np.unique(numbers, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _bins(values: np.ndarray) -> tuple[int, ...]:
    places = np.clip((values * NUM_BINS).astype(np.int64), 0, NUM_BINS - 1)
    return tuple(np.bincount(places, minlength=NUM_BINS).tolist())


def _mean(histogram: Mapping[int, int]) -> float:
    total = sum(count for value, count in histogram.items() if value)
    weighted = sum(value * count for value, count in histogram.items())
    return weighted / total if total else 0.0
