"""The accuracies of a classifier as files: JSON with every video's scores, csv, and a picture."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from x3d_det.evaluation.kinetics import KineticsReport, ScoredVideo
from x3d_det.evaluation.kinetics_chart import draw_confusion
from x3d_det.io.files import atomic_write

_CLASS_COLUMNS = (
    "label", "class", "videos", "right", "accuracy", "right_top5", "predicted", "confused_with",
    "confused",
)  # fmt: skip


def write_kinetics_report(
    report: KineticsReport,
    scored: Sequence[ScoredVideo],
    result: Path,
    *,
    run: Mapping[str, Any],
    title: str,
    subtitle: str,
) -> list[Path]:
    """Write `result`, and `per_class.csv` and `confusion.png` beside it; return the paths.

    Args:
        report: of `scored`.
        scored: the videos in the order of the report.
        result: path of the JSON file; its folder must exist.
        run: what was scored and how, kept at the head of the JSON.
        title: of the picture.
        subtitle: of the picture, behind the accuracies.
    """
    files = [result, result.with_name("per_class.csv"), result.with_name("confusion.png")]
    with atomic_write(files[0], "w") as file:
        _write_result(file, report, scored, run)
    with atomic_write(files[1], "w") as file:
        _write_classes(file, report)
    accuracies = "   ".join(f"{name} {100 * x:.2f} %" for name, x in report.accuracies().items())
    picture = draw_confusion(
        report.confusion_KK,
        report.class_names,
        title=title,
        subtitle=f"{accuracies}   {subtitle}",
    )
    with atomic_write(files[2]) as file:
        file.write(picture)
    return files


def _write_result(
    file: IO[str], report: KineticsReport, scored: Sequence[ScoredVideo], run: Mapping[str, Any]
) -> None:
    """Write one JSON object, a video a line: K400's eight million scores are never one text."""
    head = json.dumps({**run, **report.to_json()}, indent=1, ensure_ascii=False)
    file.write(head.removesuffix("\n}") + ',\n "videos": [')
    predicted = zip(scored, report.predictions_V.tolist(), report.ranks_V.tolist(), strict=True)
    for place, (video, prediction, rank) in enumerate(predicted):
        entry = json.dumps(
            {
                "name": video.name,
                "label": video.label,
                "predicted": prediction,
                "rank": rank + 1,
            },
            ensure_ascii=False,
        )
        # nine digits: what a float32 holds, and the order of the scores with it
        scores = ", ".join(f"{score:.9g}" for score in video.scores_K.tolist())
        file.write(f'{"," if place else ""}\n  {entry.removesuffix("}")}, "scores": [{scores}]}}')
    file.write("\n ]\n}\n")


def _write_classes(file: IO[str], report: KineticsReport) -> None:
    """Write a row a class; the accuracy of a class without videos is empty."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_CLASS_COLUMNS)
    for each in report.classes:
        accuracy = "" if math.isnan(each.accuracy) else repr(each.accuracy)
        writer.writerow(
            [
                each.index, each.name, each.num_videos, each.num_right, accuracy,
                each.num_right_top5, each.num_predicted, each.confused_with or "",
                each.num_confused,
            ]
        )  # fmt: skip
