"""Why a frame-mAP is not defined, zero or low, in plain words."""

from collections.abc import Iterator

import numpy as np

from x3d_det.evaluation.frame_ap import FrameResult, iou_of_pairs
from x3d_det.evaluation.report import ReportCounts
from x3d_det.evaluation.selection import Selection
from x3d_det.io.label_map import LabelMap, ava_label_map

_MAX_SAMPLE = 200_000
_MAX_VIDEOS = 50
_MIN_IOU = 0.5


def explain(
    selection: Selection,
    result: FrameResult,
    counts: ReportCounts,
    *,
    label_map: LabelMap,
    has_unused_exclusions: bool = False,
    skips_undetected: bool = False,
) -> tuple[str, ...]:
    """Return sentences on what keeps the score down; none where nothing is odd.

    Args:
        selection: the rows of the evaluation.
        result: their score.
        counts: what was left out.
        label_map: the actions scored.
        has_unused_exclusions: an exclusion list was given that these rules do not use.
        skips_undetected: actions without a detection are left out of the mean.
    """
    case = _Case(selection, result, counts, label_map, skips_undetected)
    notes = list(case.notes())
    if has_unused_exclusions:
        notes.append(
            "the exclusion list was not used: under these rules the annotation file itself names "
            "the keyframes that count"
        )
    return tuple(notes)


class _Case:
    """One evaluation under examination."""

    def __init__(
        self,
        selection: Selection,
        result: FrameResult,
        counts: ReportCounts,
        label_map: LabelMap,
        skips_undetected: bool,
    ) -> None:
        self.selection = selection
        self.result = result
        self.counts = counts
        self.label_map = label_map
        self.skips_undetected = skips_undetected
        undefined = bool(np.isnan(result.average_precision).all())
        self.outcome = "mAP is not defined" if undefined else "mAP is 0"

    def notes(self) -> Iterator[str]:
        """Give the sentences, what is furthest upstream first."""
        if not self.counts.annotations:
            yield self._no_annotation()
            return
        if not self.counts.detection_rows:
            yield f"{self.outcome} because the detections hold no row"
            return
        yield from self._action_ids()
        yield from self._box_form()
        if len(self.selection.found_rows) == 0 and not self.counts.unnamed_keyframes:
            if self.counts.excluded_detection_rows:
                yield "no detection counts: all lie on excluded keyframes"
            return
        apart = list(self._keyframes_apart())
        yield from apart
        if not apart and not self.counts.matched:
            yield from self._no_overlap()
        yield from self._missing_classes()
        yield from self._scores()
        yield from self._class_list()

    def _no_annotation(self) -> str:
        counts = self.counts
        if not counts.annotation_rows:
            return "mAP is not defined because the annotations hold no box"
        if counts.excluded_annotation_rows:
            return "mAP is not defined because every annotation lies on an excluded keyframe"
        return (
            "mAP is not defined because no annotation has an action id of the label map: found "
            f"{_some(self.selection.unknown_truth_ids)}, known {_some(self.label_map.action_ids)}"
        )

    def _action_ids(self) -> Iterator[str]:
        unknown = self.selection.unknown_found_ids
        if sum(unknown.values()) == self.counts.detection_rows:
            yield (
                f"{self.outcome} because no detection has an action id of the label map: found "
                f"{_some(unknown)}, known {_some(self.label_map.action_ids)}"
            )
        if 0 in unknown:
            yield (
                f"the detections have action id 0 ({unknown[0]:,} rows): their ids look like class "
                "indices from 0; AVA's ids start at 1: add 1 to each"
            )

    def _box_form(self) -> Iterator[str]:
        for what, table in (
            ("detected", self.selection.found),
            ("annotated", self.selection.truth),
        ):
            x2, y2 = (_sample(corner) for corner in table.boxes[2:])
            large = (x2 > 2) | (y2 > 2)
            if len(large) and large.mean() > 0.5:
                row = int(np.argmax(large))
                yield (
                    f"the {what} boxes look like pixels, not fractions of the frame (as x2 = "
                    f"{x2[row]:g}, y2 = {y2[row]:g}): divide x by the frame's width and y by its "
                    "height"
                )
                return
        invalid = self.counts.invalid_detection_rows
        if invalid > 0.5 * (invalid + self.counts.detections):
            yield (
                f"{invalid:,} of {invalid + self.counts.detections:,} detected boxes have x2 <= x1 "
                "or y2 <= y1: are they written as x, y, width, height? AVA's are x1, y1, x2, y2"
            )

    def _keyframes_apart(self) -> Iterator[str]:
        """Explain annotated keyframes that have no detection, where most are so."""
        index = self.selection.index
        truth = np.unique(self.selection.truth.keyframes[self.selection.truth_rows])
        is_found = np.zeros(index.size, bool)
        is_found[index.runs[-1][0]] = True
        found = np.flatnonzero(is_found)
        common = np.intersect1d(truth, found, assume_unique=True)
        if len(common) > 0.5 * len(truth):
            return
        truth_videos = np.unique(index.videos[truth])
        found_videos = np.unique(index.videos[found])
        if not len(np.intersect1d(truth_videos, found_videos)):
            yield (
                f"{self.outcome} because annotations and detections have no video in common: "
                f"annotated is for example {index.video_names[truth_videos[0]]!r}, detected "
                f"{index.video_names[found_videos[0]]!r}"
            )
            return
        offset, num_joined = self._best_offset(truth, found)
        if offset and num_joined > max(2 * len(common), 0.5 * min(len(truth), len(found))):
            lower, higher = ("detections", "annotations")
            if offset < 0:
                lower, higher = higher, lower
            none = "no keyframe" if not len(common) else f"only {len(common):,} keyframes"
            yield (
                f"annotations and detections have {none} in common, but {num_joined:,} if "
                f"{abs(offset):g} s are added to the timestamps of the {lower}: those of the "
                f"{higher} are so much higher (annotated {_span(index.seconds[truth])}, detected "
                f"{_span(index.seconds[found])}); AVA counts seconds from the start of the film"
            )
        elif not len(common):
            yield (
                f"{self.outcome} because annotations and detections have no keyframe in common: "
                f"annotated seconds are {_span(index.seconds[truth])}, detected "
                f"{_span(index.seconds[found])}"
            )

    def _best_offset(self, truth: np.ndarray, found: np.ndarray) -> tuple[float, int]:
        """Return what to add to detected seconds to meet most annotated ones, and how many."""
        index = self.selection.index
        differences = []
        videos = np.intersect1d(index.videos[truth], index.videos[found])
        for video in videos[:_MAX_VIDEOS]:
            ours = index.seconds[truth[index.videos[truth] == video]][:1000]
            theirs = index.seconds[found[index.videos[found] == video]][:1000]
            differences.append(np.round(ours[:, None] - theirs, 3).ravel())
        values, numbers = np.unique(np.concatenate(differences), return_counts=True)
        best = np.flatnonzero(numbers == numbers.max())
        offset = float(values[best[np.argmin(np.abs(values[best]))]])
        return offset, int(numbers.max())

    def _no_overlap(self) -> Iterator[str]:
        """Say whether boxes overlap without a right action, or not at all."""
        best, swapped = self._best_overlaps()
        if not len(best):
            return
        if (best >= _MIN_IOU).any():
            yield (
                f"{self.outcome} although {int((best >= _MIN_IOU).sum()):,} of {len(best):,} "
                "annotations on common keyframes overlap a detected box by 0.5 or more: never with "
                "the annotated action; check that both files use the same action ids"
            )
            return
        hint = ""
        if (swapped >= _MIN_IOU).any():
            hint = "; with x and y exchanged they would: AVA's boxes are x1, y1, x2, y2"
        yield (
            f"{self.outcome} because no detected box overlaps an annotated one by 0.5 on the "
            f"common keyframes (best overlap {best.max():.3f}){hint}"
        )

    def _best_overlaps(self) -> tuple[np.ndarray, np.ndarray]:
        """Return each annotation's best IoU with any box of its keyframe, plain and swapped."""
        truth, found = self.selection.counted_truth(), self.selection.found
        rows = self.selection.found_rows
        order = rows[np.argsort(found.keyframes[rows], kind="stable")]
        keyframes = found.keyframes[order]
        starts = np.searchsorted(keyframes, truth.keyframes)
        counts = np.searchsorted(keyframes, truth.keyframes, side="right") - starts
        some = np.flatnonzero(counts)
        some = some[: int(np.searchsorted(np.cumsum(counts[some]), _MAX_SAMPLE)) + 1]
        if not len(some):
            return np.empty(0), np.empty(0)
        starts, counts = starts[some], counts[some]
        bounds = np.cumsum(counts) - counts
        pairs = order[np.repeat(starts - bounds, counts) + np.arange(counts.sum())]
        annotated = [np.repeat(corner[some], counts) for corner in truth.boxes]
        x1, y1, x2, y2 = (corner[pairs] for corner in found.boxes)
        valid = (x1 < x2) & (y1 < y2)
        best = []
        for boxes in ([x1, y1, x2, y2], [y1, x1, y2, x2]):
            overlaps = np.where(valid, iou_of_pairs(boxes, annotated), 0.0)
            best.append(np.maximum.reduceat(overlaps, bounds))
        return best[0], best[1]

    def _missing_classes(self) -> Iterator[str]:
        result = self.result
        missing = (result.num_annotations > 0) & (result.num_detections == 0)
        if not missing.any() or not self.counts.detections:
            return
        ids = np.array(self.label_map.action_ids)[missing]
        is_known = result.num_annotations > 0
        known = int(is_known.sum())
        if len(ids) == known:
            yield (
                f"none of the {known} annotated actions has a detection (annotated ids "
                f"{_some(ids)})"
            )
            return
        total = result.average_precision[is_known & ~missing].sum()
        start = f"{len(ids)} of {known} annotated actions have no detection, so "
        if self.skips_undetected:
            yield (
                f"{start}these rules leave them out of the mean (ids {_some(ids)}); with AP 0 each "
                f"it would be {total / known:.4f}"
            )
            return
        others = result.average_precision[is_known & ~missing].mean()
        yield f"{start}AP 0 each (ids {_some(ids)}); the mean over the others would be {others:.4f}"

    def _scores(self) -> Iterator[str]:
        scores = self.selection.found.scores
        if len(scores) > 1 and scores[0] == scores[-1] and scores.min() == scores.max():
            yield (
                f"all {len(scores):,} detections have the same score {scores[0]:g}: nothing ranks "
                "them"
            )

    def _class_list(self) -> Iterator[str]:
        if dict(self.label_map.names) == dict(ava_label_map(80).names):
            yield (
                "scored with all 80 of AVA's actions; published numbers are means over 60 of them"
            )


def _sample(values: np.ndarray) -> np.ndarray:
    return values[:: max(1, len(values) // _MAX_SAMPLE)]


def _span(seconds: np.ndarray) -> str:
    return f"{seconds.min():g} to {seconds.max():g}"


def _some(numbers) -> str:  # type: ignore[no-untyped-def]
    listed = [int(number) for number in sorted(numbers)]
    return ", ".join(map(str, listed[:8])) + (f", ... {listed[-1]}" if len(listed) > 8 else "")
