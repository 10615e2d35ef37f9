"""The result of an AVA evaluation: numbers, plain words, and files."""

import csv
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from x3d_det.evaluation.chart import draw_class_bars
from x3d_det.evaluation.report_files import report_folder, write_json
from x3d_det.evaluation.rules import RULES, AvaRules
from x3d_det.io.files import atomic_write
from x3d_det.words import counted, none_if_nan, score_text

_NUM_LISTED = 5


@dataclass(frozen=True)
class ClassResult:
    """One action's score.

    Args:
        action_id: as in the label map.
        name: of the action.
        group: of AVA's three groups, or "" where the label map has none.
        ap: average precision in [0, 1]; NaN where the action has no annotation.
        num_annotations: annotated boxes.
        num_detections: detections that took part.
        num_matched: true ones among them.
    """

    action_id: int
    name: str
    group: str
    ap: float
    num_annotations: int
    num_detections: int
    num_matched: int


@dataclass(frozen=True, kw_only=True)
class ReportCounts:
    """What went in, and what was left out on the way."""

    annotation_rows: int
    """Rows of the annotation file with a box."""
    detection_rows: int
    """Rows of the detection file with a box."""
    annotations: int
    """Annotated boxes that count, over all actions."""
    detections: int
    """Detections that count, over all actions."""
    matched: int
    """True detections."""
    annotated_keyframes: int
    """Keyframes with at least one annotation that counts."""
    detected_keyframes: int
    """Keyframes with at least one detection of a known action, before any limit."""
    excluded_keyframes: int
    """Keyframes of the exclusion list (0 where the rules do not use it)."""
    excluded_annotation_rows: int
    """Annotations on excluded keyframes, ignored."""
    excluded_detection_rows: int
    """Detections on excluded keyframes, ignored."""
    missed_excluded_annotations: int = 0
    """Annotations on excluded keyframes that the rules count, so that all are missed."""
    unnamed_keyframe_detection_rows: int
    """Detections ignored because the annotation file does not name their keyframe."""
    unnamed_keyframes: int
    """Those keyframes."""
    detection_rows_without_annotation: int
    """Detections on keyframes without any annotation that counts: all are false."""
    detected_keyframes_without_annotation: int
    """Those keyframes."""
    annotated_keyframes_without_detection: int
    """Annotated keyframes without a detection: all their annotations are missed."""
    annotations_without_detection: int
    """Those annotations."""
    over_limit_detection_rows: int
    """Detections dropped by the rules' limit of a keyframe."""
    invalid_detection_rows: int
    """Detections dropped because x1 >= x2 or y1 >= y2 (2018 rules: or score <= -10)."""
    unscored_detection_rows: int
    """Detections without a score, taken as 1.0."""
    inverted_annotations: int
    """Annotations with x1 > x2 or y1 > y2, which no detection was near: misses."""


@dataclass(frozen=True)
class AvaReport:
    """AVA frame-mAP at IoU 0.5 under one rule set.

    Args:
        rules: name of the rule set.
        mean_ap: mean AP over the actions with annotations; NaN where there is none.
        classes: one result for each action of the label map, rising id.
        group_means: mean AP of each of AVA's groups that has annotated actions.
        counts: rows and keyframes, and what was left out.
        unknown_annotation_ids: action ids not in the label map, with their rows.
        unknown_detection_ids: the same of the detections.
        notes: what explains the score, in plain words; may be empty.
        files: what was read: "annotations", "detections", "exclusions", "label_map".
    """

    rules: str
    mean_ap: float
    classes: tuple[ClassResult, ...]
    group_means: Mapping[str, float]
    counts: ReportCounts
    unknown_annotation_ids: Mapping[int, int]
    unknown_detection_ids: Mapping[int, int]
    notes: tuple[str, ...]
    files: Mapping[str, str]

    @property
    def per_class(self) -> dict[int, float]:
        """Action id to AP, NaN where the action has no annotation."""
        return {result.action_id: result.ap for result in self.classes}

    @property
    def annotated_classes(self) -> list[ClassResult]:
        """The actions that have an AP, best first."""
        known = [result for result in self.classes if not math.isnan(result.ap)]
        return sorted(known, key=lambda result: (-result.ap, result.action_id))

    @property
    def _rules(self) -> AvaRules | None:
        return RULES.get(self.rules)

    def summary_lines(self) -> list[str]:
        """Return the report in plain words: headline, groups, best and worst, what and why."""
        known = self.annotated_classes
        lines = [
            f"frame-mAP at IoU 0.5: {score_text(self.mean_ap)} (rules {self.rules}; mean over "
            f"{len(known)} of {len(self.classes)} actions, those with annotations"
            f"{' and detections' if self._rules and self._rules.skips_undetected else ''})"
        ]
        if self.group_means:
            means = [f"{_group(name)} {score_text(ap)}" for name, ap in self.group_means.items()]
            lines.append("by group: " + ", ".join(means))
        shown = known if len(known) <= 2 * _NUM_LISTED else known[:_NUM_LISTED]
        if known:
            lines.append(("best: " if shown is not known else "actions: ") + _listed(shown))
        if shown is not known:
            lines.append("worst: " + _listed(known[: -_NUM_LISTED - 1 : -1]))
        lines += self._count_lines()
        return lines + [f"note: {note}" for note in self.notes]

    def _count_lines(self) -> list[str]:
        counts = self.counts
        annotated = counted(counts.annotated_keyframes, "keyframe")
        lines = [
            f"{counted(counts.annotations, 'annotation')} on {annotated}; "
            f"{counted(counts.detections, 'detection')} counted, {counts.matched:,} matched"
        ]
        if counts.excluded_keyframes:
            lines.append(
                f"excluded: {counted(counts.excluded_keyframes, 'keyframe')} of the list, with "
                f"{counted(counts.excluded_annotation_rows, 'annotation')} and "
                f"{counted(counts.excluded_detection_rows, 'detection')}"
            )
        if counts.missed_excluded_annotations:
            lines.append(
                f"missed: {counted(counts.missed_excluded_annotations, 'annotation')} on excluded "
                "keyframes, which these rules count"
            )
        if counts.unnamed_keyframes:
            lines.append(
                f"ignored: {counted(counts.unnamed_keyframe_detection_rows, 'detection')} on "
                f"{counted(counts.unnamed_keyframes, 'keyframe')} "
                + (
                    "without an annotation of a known action"
                    if self._rules and self._rules.keyframes == "annotated"
                    else "that the annotation file does not name"
                )
            )
        if counts.detected_keyframes_without_annotation:
            lines.append(
                f"false: {counted(counts.detection_rows_without_annotation, 'detection')} on "
                f"{counted(counts.detected_keyframes_without_annotation, 'keyframe')} without "
                "annotation"
            )
        if counts.annotated_keyframes_without_detection:
            lines.append(
                f"missed: {counted(counts.annotations_without_detection, 'annotation')} on "
                f"{counted(counts.annotated_keyframes_without_detection, 'keyframe')} without "
                "detection"
            )
        if counts.over_limit_detection_rows:
            lines.append(
                f"dropped: {counted(counts.over_limit_detection_rows, 'detection')} beyond the 50 "
                "best of the keyframe, the limit of these rules"
            )
        if counts.invalid_detection_rows:
            lines.append(
                f"dropped: {counted(counts.invalid_detection_rows, 'detection')} with x1 >= x2 or "
                "y1 >= y2"
            )
        if counts.unscored_detection_rows:
            number = counted(counts.unscored_detection_rows, "detection")
            lines.append(f"without a score, taken as 1.0: {number}")
        if counts.inverted_annotations:
            lines.append(
                f"missed: {counted(counts.inverted_annotations, 'annotation')} with x1 > x2 or "
                "y1 > y2"
            )
        for what, unknown in (
            ("annotation", self.unknown_annotation_ids),
            ("detection", self.unknown_detection_ids),
        ):
            if unknown:
                lines.append(
                    f"ignored: {counted(sum(unknown.values()), what)} of "
                    f"{counted(len(unknown), 'action id')} that the label map does not have "
                    f"({_ids(unknown)})"
                )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; NaN becomes None."""
        return {
            "mAP": none_if_nan(self.mean_ap),
            "rules": self.rules,
            "min_iou": 0.5,
            "per_class": {str(key): none_if_nan(ap) for key, ap in self.per_class.items()},
            "groups": {name: none_if_nan(ap) for name, ap in self.group_means.items()},
            "counts": asdict(self.counts),
            "unknown_annotation_ids": _keyed(self.unknown_annotation_ids),
            "unknown_detection_ids": _keyed(self.unknown_detection_ids),
            "classes": [
                {**asdict(result), "ap": none_if_nan(result.ap)} for result in self.classes
            ],
            "notes": list(self.notes),
            "summary": self.summary_lines(),
            "files": dict(self.files),
        }


def write_report(report: AvaReport, output_dir: str | os.PathLike[str]) -> list[Path]:
    """Write report.json, per_class.csv and per_class.png; return their paths.

    Args:
        report: what to write.
        output_dir: folder, made where it is missing.

    Raises:
        X3DDetError: a file cannot be written.
    """
    folder = report_folder(output_dir, "report")
    paths = [folder / name for name in ("report.json", "per_class.csv", "per_class.png")]
    write_json(paths[0], report.to_dict())
    with atomic_write(paths[1], "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        header = ["action_id", "name", "group", "ap", "annotations", "detections", "matched"]
        writer.writerow(header)
        for result in report.classes:
            ap = "" if math.isnan(result.ap) else repr(result.ap)
            numbers = [result.num_annotations, result.num_detections, result.num_matched]
            writer.writerow([result.action_id, result.name, result.group, ap, *numbers])
    with atomic_write(paths[2], "wb") as file:
        file.write(
            draw_class_bars(
                [
                    (result.name, result.group, result.ap, result.num_annotations)
                    for result in report.annotated_classes
                ],
                title=f"frame-mAP {score_text(report.mean_ap)} at IoU 0.5 (rules {report.rules})",
                mean_ap=report.mean_ap,
            )
        )
    return paths


def _group(name: str) -> str:
    return name.lower().replace("_", " ")


def _listed(results: list[ClassResult]) -> str:
    return ", ".join(
        f"{result.name} {result.ap:.3f} ({result.num_annotations:,})" for result in results
    )


def _ids(unknown: Mapping[int, int]) -> str:
    items = sorted(unknown.items())
    shown = ", ".join(f"{action_id}: {rows:,}" for action_id, rows in items[:8])
    return shown + (", ..." if len(items) > 8 else "")


def _keyed(unknown: Mapping[int, int]) -> dict[str, int]:
    return {str(action_id): rows for action_id, rows in sorted(unknown.items())}
