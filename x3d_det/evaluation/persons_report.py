"""The result of scoring person boxes: numbers, plain words, and files."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from x3d_det.evaluation.persons_chart import draw_precision_recall
from x3d_det.evaluation.report_files import write_json
from x3d_det.io.files import atomic_write
from x3d_det.words import counted, none_if_nan, score_text


@dataclass(frozen=True, kw_only=True)
class PersonCounts:
    """What went in, what was found, and what was left out. Matches are at IoU 0.5."""

    annotated_keyframes: int
    """Keyframes that the annotations name, the empty ones too, less the excluded."""
    annotated_keyframes_with_boxes: int
    """Those that have a box."""
    annotated_keyframes_above_threshold: int
    """Those that have a box at or above the threshold."""
    persons: int
    """Annotated persons that count, each once."""
    persons_on_keyframes_without_boxes: int
    """Persons on annotated keyframes that have no box: missed."""
    boxes: int
    """Boxes that count."""
    boxes_above_threshold: int
    """Boxes at or above the threshold."""
    persons_found_above_threshold: int
    """Persons found by those; as many boxes are right."""
    persons_found: int
    """Persons found by any box."""
    unannotated_keyframes: int
    """Keyframes with boxes that the annotations do not name."""
    boxes_on_unannotated_keyframes: int
    """Boxes there."""
    excluded_persons: int
    """Persons on keyframes of the exclusion list, ignored."""
    excluded_boxes: int
    """Boxes there, ignored."""
    boxes_over_limit: int
    """Boxes beyond the best 100 of their keyframe, ignored."""
    box_rows: int
    """Boxes of the file."""
    highest_score: float
    """Of the boxes that count; NaN where there is none."""


@dataclass(frozen=True)
class SizeGroup:
    """Persons whose box covers `low` to `high` (less than) of the frame's area."""

    low: float
    high: float
    num_persons: int
    num_found: int
    """At IoU 0.5 by boxes at or above the threshold."""

    @property
    def words(self) -> str:
        """The range in per cent."""
        if not self.low:
            return f"below {self.high:.0%}"
        return (
            f"{self.low:.0%} or more"
            if math.isinf(self.high)
            else f"{self.low:.0%} to {self.high:.0%}"
        )


@dataclass(frozen=True, kw_only=True)
class PersonReport:
    """How well boxes find the annotated persons, by COCO's rules."""

    average_precision: Mapping[float, float]
    """AP in [0, 1] at each IoU threshold; NaN where there is no person."""
    score_threshold: float
    """Least score of the boxes for `recall` and `precision`."""
    max_boxes: int
    """Boxes of a keyframe that were looked at, best first."""
    counts: PersonCounts
    """What went in and what came out."""
    sizes: tuple[SizeGroup, ...]
    """Persons found, by their share of the frame."""
    curves: Mapping[float, tuple[float, ...]]
    """Precision at recall 0, 0.01 .. 1 at IoU 0.5 and 0.75."""
    counts_unannotated: bool
    """Boxes on keyframes that are not annotated were counted as false."""
    notes: tuple[str, ...]
    """What explains the score, in plain words; may be empty."""
    evaluator: str
    """Program and version."""

    @property
    def ap50(self) -> float:
        """AP at IoU 0.5, the number of AVA's literature."""
        return self.average_precision[0.5]

    @property
    def ap75(self) -> float:
        """AP at IoU 0.75."""
        return self.average_precision[0.75]

    @property
    def ap(self) -> float:
        """Mean AP over the IoU thresholds 0.5, 0.55 .. 0.95."""
        return sum(self.average_precision.values()) / len(self.average_precision)

    @property
    def recall(self) -> float:
        """Share of the persons that the boxes above the threshold find."""
        return _share(self.counts.persons_found_above_threshold, self.counts.persons)

    @property
    def precision(self) -> float:
        """Share of the boxes above the threshold that find a person."""
        found = self.counts.persons_found_above_threshold
        return _share(found, self.counts.boxes_above_threshold)

    @property
    def recall_ceiling(self) -> float:
        """Share of the persons that any box finds: no threshold gives more."""
        return _share(self.counts.persons_found, self.counts.persons)

    def summary_lines(self) -> list[str]:
        """Return the report in plain words: AP, recall and precision, counts, and why."""
        counts = self.counts
        lines = [
            f"AP@50 {score_text(self.ap50)}, AP@75 {score_text(self.ap75)}, "
            f"AP@[.5:.95] {score_text(self.ap)} "
            f"(COCO's rules by {self.evaluator}; at most {self.max_boxes} boxes a keyframe)",
            f"at score >= {self.score_threshold:g} and IoU 0.5: recall {score_text(self.recall)} "
            f"({counts.persons_found_above_threshold:,} of {counted(counts.persons, 'person')} "
            f"found), precision {score_text(self.precision)} "
            f"({counts.persons_found_above_threshold:,} of "
            f"{counted(counts.boxes_above_threshold, 'box')} right)",
            f"recall of all boxes, whatever their score: {score_text(self.recall_ceiling)} "
            f"({counts.persons_found:,} persons); no threshold gives more",
        ]
        sizes = [
            f"{group.words} {group.num_found / group.num_persons:.3f} ({group.num_persons:,})"
            for group in self.sizes
            if group.num_persons
        ]
        if sizes:
            lines.append("recall by share of the frame: " + ", ".join(sizes))
        return lines + self._count_lines() + [f"note: {note}" for note in self.notes]

    def _count_lines(self) -> list[str]:
        counts = self.counts
        without = counts.annotated_keyframes - counts.annotated_keyframes_with_boxes
        below = counts.annotated_keyframes_with_boxes - counts.annotated_keyframes_above_threshold
        lines = [
            f"{counted(counts.annotated_keyframes, 'annotated keyframe')}: "
            f"{counts.annotated_keyframes_above_threshold:,} with a box of "
            f"{self.score_threshold:g} or more, {below:,} with lower boxes only, {without:,} "
            f"without a box ({counted(counts.persons_on_keyframes_without_boxes, 'person')} missed "
            "there)"
        ]
        if counts.unannotated_keyframes:
            where = (
                f"{counted(counts.boxes_on_unannotated_keyframes, 'box')} on "
                f"{counted(counts.unannotated_keyframes, 'keyframe')} that are not annotated"
            )
            lines.append(
                f"counted as false: {where}"
                if self.counts_unannotated
                else f"not counted: {where}, as AVA's literature scores annotated keyframes "
                "(--count-unannotated counts them as false)"
            )
        if counts.excluded_persons or counts.excluded_boxes:
            lines.append(
                f"excluded by the list: {counted(counts.excluded_persons, 'person')} and "
                f"{counted(counts.excluded_boxes, 'box')}"
            )
        if counts.boxes_over_limit:
            lines.append(
                f"not counted: {counted(counts.boxes_over_limit, 'box')} beyond the "
                f"{self.max_boxes} best of the keyframe"
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; NaN becomes None."""
        numbers = {
            "AP50": self.ap50,
            "AP75": self.ap75,
            "AP": self.ap,
            "recall": self.recall,
            "precision": self.precision,
            "recall_ceiling": self.recall_ceiling,
        }
        counts = asdict(self.counts)
        counts["highest_score"] = none_if_nan(self.counts.highest_score)
        return {
            **{name: none_if_nan(value) for name, value in numbers.items()},
            "score_threshold": self.score_threshold,
            "min_iou": 0.5,
            "max_boxes_per_keyframe": self.max_boxes,
            "AP_by_iou": {
                f"{iou:.2f}": none_if_nan(value) for iou, value in self.average_precision.items()
            },
            "recall_by_share_of_frame": [
                {"share": group.words, "persons": group.num_persons, "found": group.num_found}
                for group in self.sizes
            ],
            "precision_at_recall_0_to_1": {
                f"{iou:.2f}": [none_if_nan(value) for value in curve]
                for iou, curve in self.curves.items()
            },
            "counts": counts,
            "counts_unannotated": self.counts_unannotated,
            "evaluator": self.evaluator,
            "notes": list(self.notes),
            "summary": self.summary_lines(),
        }


def write_person_report(
    report: PersonReport, output_dir: str | os.PathLike[str], *, files: Mapping[str, str]
) -> list[Path]:
    """Write report.json and precision_recall.png; return their paths.

    Args:
        report: what to write.
        output_dir: folder, which exists.
        files: what was read, by role, for the record.

    Raises:
        X3DDetError: a file cannot be written.
    """
    paths = [Path(output_dir) / name for name in ("report.json", "precision_recall.png")]
    picture = draw_precision_recall(
        report.curves,
        average_precision=report.average_precision,
        marked=(report.score_threshold, report.recall, report.precision),
        recall_ceiling=report.recall_ceiling,
    )
    write_json(paths[0], {**report.to_dict(), "files": dict(files)})
    with atomic_write(paths[1]) as file:
        file.write(picture)
    return paths


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
