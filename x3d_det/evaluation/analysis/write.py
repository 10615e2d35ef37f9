"""The analysis as JSON and CSV files."""

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

from x3d_det.evaluation.analysis.errors import FALSE_KINDS
from x3d_det.evaluation.analysis.result import AvaAnalysis
from x3d_det.evaluation.report_files import report_folder, write_json
from x3d_det.io.files import atomic_write
from x3d_det.keyframes import format_timestamp


def write_analysis(analysis: AvaAnalysis, output_dir: str | os.PathLike[str]) -> list[Path]:
    """Write the analysis and return the paths: one JSON file and four CSV files.

    `analysis.json` has everything; `per_class_extra.csv` ceilings and errors of each
    action; `errors.csv` the kinds of errors; `parts.csv` mAP by group, size and number of
    persons; `worst_keyframes.csv` the keyframes with most errors.

    Args:
        analysis: what to write.
        output_dir: folder, made where it is missing.

    Raises:
        X3DDetError: a file cannot be written.
    """
    folder = report_folder(output_dir, "analysis")
    paths = [folder / "analysis.json"]
    write_json(paths[0], analysis.to_dict(), indent=None)
    for name, rows in (
        ("per_class_extra.csv", _class_rows(analysis)),
        ("errors.csv", _error_rows(analysis)),
        ("parts.csv", _part_rows(analysis)),
        ("worst_keyframes.csv", _worst_rows(analysis)),
    ):
        paths.append(folder / name)
        with atomic_write(paths[-1], "w") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    return paths


_Rows = list[Sequence[object]]


def _class_rows(analysis: AvaAnalysis) -> _Rows:
    rows: _Rows = [
        ["action_id", "name", "group", "ap", "ceiling", "annotations", "detections", "matched"]
        + ["missed_no_box", "missed_not_reported"]
        + [f"false_{key}" for key in FALSE_KINDS]
    ]
    for result in analysis.classes:
        counts = [result.num_annotations, result.num_detections, result.num_matched]
        counts += [result.num_no_box, result.num_not_reported]
        counts += [result.num_false[key] for key in FALSE_KINDS]
        scores = [_text(result.ap), _text(result.ceiling)]
        rows.append([result.action_id, result.name, result.group, *scores, *counts])
    return rows


def _error_rows(analysis: AvaAnalysis) -> _Rows:
    header = ["kind", "number", "confident", "map_if_mended_alone", "map_if_mended_so_far"]
    return [header] + [
        [
            kind.key,
            kind.number,
            kind.num_confident,
            _text(kind.mean_ap_alone),
            _text(kind.mean_ap_so_far),
        ]
        for kind in analysis.errors
    ]


def _part_rows(analysis: AvaAnalysis) -> _Rows:
    header = ["by", "part", "map", "classes", "annotations", "detections", "matched"]
    return [header] + [
        [
            what,
            part.name,
            _text(part.mean_ap),
            part.num_classes,
            part.num_annotations,
            part.num_detections,
            part.num_matched,
        ]
        for what, parts in (
            ("group", analysis.groups),
            ("size", analysis.sizes),
            ("persons", analysis.persons),
        )
        for part in parts
    ]


def _worst_rows(analysis: AvaAnalysis) -> _Rows:
    header = ["video_id", "timestamp", "errors", "annotations", "persons", "reasons"]
    return [header] + [
        [
            worst.keyframe.video_id,
            format_timestamp(worst.keyframe.timestamp),
            worst.num_errors,
            worst.num_annotations,
            worst.num_persons,
            "; ".join(worst.reasons),
        ]
        for worst in analysis.worst
    ]


def _text(value: float) -> str:
    return "" if math.isnan(value) else repr(value)
