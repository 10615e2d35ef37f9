"""The scores of tubes as text, JSON, csv and a picture."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from x3d_det.evaluation.tube_chart import draw_video_map
from x3d_det.evaluation.tube_rules import REPORTED_IOUS, TubeRules
from x3d_det.evaluation.video_ap import ClassScores, tube_frame_ap, video_ap
from x3d_det.io.action_tubes import FrameDetections, Tube
from x3d_det.io.files import atomic_write
from x3d_det.words import none_if_nan

FRAME_IOU = 0.5
"""Threshold of frame-mAP."""


@dataclass(frozen=True)
class TubeReport:
    """Scores of one split.

    Args:
        rules: the data set's.
        labels: names of the classes.
        frames: scores of boxes on frames; None where there were none.
        videos: scores of tubes; None where there were none.
        notes: what was left out or is unusual, in words with counts.
    """

    rules: TubeRules
    labels: tuple[str, ...]
    frames: ClassScores | None
    videos: ClassScores | None
    notes: tuple[str, ...] = field(default=())

    def means(self) -> dict[str, float]:
        """Return the numbers that are published, in [0, 1], by name."""
        result = {}
        if self.frames is not None:
            result[f"frame-mAP@{FRAME_IOU:g}"] = self.frames.mean_ap(FRAME_IOU)
        if self.videos is not None:
            result |= {f"video-mAP@{iou:g}": self.videos.mean_ap(iou) for iou in REPORTED_IOUS}
            for name, thresholds in self.rules.averages.items():
                result[f"video-mAP@{name}"] = self.videos.mean_over(thresholds)
        return result

    def summary_lines(self) -> list[str]:
        """Return the report as text."""
        scores = self.frames or self.videos
        assert scores is not None
        lines = [f"rules: {self.rules.name}, classes that count: {int(scores.counted.sum())}"]
        lines += [f"{name:>22} {_percent(value)}" for name, value in self.means().items()]
        rows = _table(self)
        lines += ["", *(" ".join(cell for cell in line) for line in _aligned(rows))]
        return lines + [f"note: {note}" for note in self.notes]


def evaluate_tubes(
    annotated: Sequence[Tube],
    *,
    labels: Sequence[str],
    rules: TubeRules,
    frames: FrameDetections | None,
    tubes: Sequence[Tube] | None,
    notes: Sequence[str] = (),
) -> TubeReport:
    """Return the report of frame detections, of tubes, or of both.

    Args:
        annotated: the tubes of the evaluated videos.
        labels: names of the classes.
        rules: the data set's.
        frames: boxes on frames for frame-mAP, or None.
        tubes: tubes for video-mAP, or None.
        notes: kept in the report.
    """
    spread = [threshold for values in rules.averages.values() for threshold in values]
    grid = [0.05 + 0.05 * step for step in range(19)]  # for the picture
    thresholds = sorted({*REPORTED_IOUS, *spread, *grid})
    frame_scores = video_scores = None
    if frames is not None:
        frame_scores = tube_frame_ap(annotated, frames, [FRAME_IOU], rules, labels=labels)
    if tubes is not None:
        video_scores = video_ap(annotated, tubes, thresholds, rules, labels=labels)
    report = TubeReport(rules, tuple(labels), frame_scores, video_scores, tuple(notes))
    return TubeReport(
        rules, tuple(labels), frame_scores, video_scores, (*notes, *_class_notes(report))
    )


def _class_notes(report: TubeReport) -> list[str]:
    scores = report.frames or report.videos
    if scores is None:
        return []
    notes = []
    ignored = [name for name in report.labels if name in report.rules.ignored]
    if ignored:
        notes.append(f"these rules do not evaluate {', '.join(ignored)}")
    empty = [
        name
        for name, count in zip(report.labels, scores.num_annotations, strict=True)
        if not count and name not in report.rules.ignored
    ]
    if empty:
        what = "counts as 0 in" if report.rules.counts_empty_classes else "is left out of"
        notes.append(
            f"{len(empty)} of {len(report.labels)} classes have no annotation in this split; each "
            f"{what} the mean: {', '.join(empty)}"
        )
    return notes


def write_tube_report(report: TubeReport, folder: Path, *, files: Mapping[str, str]) -> list[Path]:
    """Write `report.txt`, `report.json`, `per_class.csv` and `video_map.png`; return the paths.

    Args:
        report: the scores.
        folder: an existing folder.
        files: role -> path of what was read, kept in the JSON.
    """
    texts = {
        "report.txt": "\n".join(report.summary_lines()) + "\n",
        "report.json": json.dumps(_content(report, files), indent=1, ensure_ascii=False) + "\n",
        "per_class.csv": _csv(_table(report, exact=True)),
    }
    written = []
    for name, text in texts.items():
        with atomic_write(folder / name, "w") as file:
            file.write(text)
        written.append(folder / name)
    if report.videos is not None:
        curve = {iou: report.videos.mean_ap(iou) for iou in report.videos.iou_thresholds}
        with atomic_write(folder / "video_map.png") as file:
            file.write(draw_video_map(curve, marked=REPORTED_IOUS, name=report.rules.name))
        written.append(folder / "video_map.png")
    return written


def _content(report: TubeReport, files: Mapping[str, str]) -> dict[str, Any]:
    return {
        "rules": report.rules.name,
        "files": dict(files),
        "means": {name: none_if_nan(value) for name, value in report.means().items()},
        "classes": [
            {"name": name, "frame": _class(report.frames, row), "video": _class(report.videos, row)}
            for row, name in enumerate(report.labels)
        ],
        "notes": list(report.notes),
    }


def _class(scores: ClassScores | None, row: int) -> dict[str, Any] | None:
    if scores is None:
        return None
    return {
        "counted": bool(scores.counted[row]),
        "annotations": int(scores.num_annotations[row]),
        "detections": int(scores.num_detections[row]),
        "average_precision": {
            f"{iou:.2f}": none_if_nan(float(scores.average_precision[row, column]))
            for column, iou in enumerate(scores.iou_thresholds)
        },
        "matched": {
            f"{iou:.2f}": int(scores.num_matched[row, column])
            for column, iou in enumerate(scores.iou_thresholds)
        },
    }


def _table(report: TubeReport, *, exact: bool = False) -> list[list[str]]:
    """Return the classes as a table with a head."""
    columns: dict[str, list[str]] = {"class": list(report.labels)}
    show = (lambda value: "" if math.isnan(value) else repr(value)) if exact else _percent
    for kind, scores, ious in (
        ("frame", report.frames, (FRAME_IOU,)),
        ("video", report.videos, REPORTED_IOUS),
    ):
        if scores is None:
            continue
        unit = "boxes" if kind == "frame" else "tubes"
        columns[unit] = [str(count) for count in scores.num_annotations]
        columns[f"found {unit}"] = [str(count) for count in scores.num_detections]
        for iou in ious:
            column = scores.average_precision[:, scores.iou_thresholds.index(iou)]
            columns[f"{kind}-AP@{iou:g}"] = [
                show(float(value)) if counted or exact else "not evaluated"
                for value, counted in zip(column, scores.counted, strict=True)
            ]
    return [list(columns), *map(list, zip(*columns.values(), strict=True))]


def _aligned(rows: list[list[str]]) -> list[list[str]]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        [
            row[0].ljust(widths[0]),
            *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
        ]
        for row in rows
    ]


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _percent(value: float) -> str:
    return "no annotation" if math.isnan(value) else f"{100 * value:.2f}"
