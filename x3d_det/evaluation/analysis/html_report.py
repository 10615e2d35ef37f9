"""The report and its analysis as one HTML page that needs nothing else.

Styles, script, curves and pictures lie inside the page; it fetches nothing. All text
from files (names of actions, videos, paths) is escaped by the template.
"""

import base64
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from x3d_det.evaluation.analysis.errors import FALSE_KINDS, KIND_TITLES
from x3d_det.evaluation.analysis.ranking import PrecisionRecall
from x3d_det.evaluation.analysis.result import AvaAnalysis, ClassAnalysis, ErrorKind
from x3d_det.evaluation.report import AvaReport
from x3d_det.evaluation.report_files import report_folder
from x3d_det.io.files import atomic_write
from x3d_det.keyframes import Keyframe, format_timestamp

_TEMPLATE = "report.html.jinja"
_NUM_HUES = 6  # of the style sheet, `--hue-0` on


def write_html_report(
    report: AvaReport,
    analysis: AvaAnalysis,
    output_dir: str | os.PathLike[str],
    *,
    pictures: Mapping[Keyframe, bytes] | None = None,
    title: str = "",
) -> Path:
    """Write `report.html` and return its path.

    Args:
        report: of the same evaluation.
        analysis: why its score is what it is.
        output_dir: folder, made where it is missing.
        pictures: JPEG files of the worst keyframes; those without one are told in words.
        title: of the page; "" names the file of detections.

    Raises:
        X3DDetError: the file cannot be written.
    """
    path = report_folder(output_dir, "analysis") / "report.html"
    text = html_report(report, analysis, pictures=pictures, title=title)
    with atomic_write(path, "w") as file:
        file.write(text)
    return path


def html_report(
    report: AvaReport,
    analysis: AvaAnalysis,
    *,
    pictures: Mapping[Keyframe, bytes] | None = None,
    title: str = "",
) -> str:
    """Return the page of `write_html_report` as text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        score=_score, percent=_percent, number=_number, signed=_signed, length=_length
    )
    hues = _hues(analysis.classes)
    known = [result for result in analysis.classes if not math.isnan(result.ap)]
    known.sort(key=lambda result: (-result.ap, result.action_id))
    text: str = environment.get_template(_TEMPLATE).render(
        title=title or f"Score of {Path(report.files.get('detections', 'detections')).name}",
        report=report,
        analysis=analysis,
        lead=_lead_sentences(analysis),
        steps=_steps(analysis),
        hues=hues,
        known=known,
        curves=[(result, _curve_path(result.curve)) for result in known],
        false_kinds=[(key, KIND_TITLES[key]) for key in FALSE_KINDS],
        worst=[
            (worst, format_timestamp(worst.keyframe.timestamp), _data_uri(pictures, worst.keyframe))
            for worst in analysis.worst
        ],
        parts=[
            ("By group of actions", analysis.groups),
            ("By size, share of the frame", analysis.sizes),
            ("By persons on the keyframe", analysis.persons),
        ],
    )
    return text


@dataclass(frozen=True)
class _Step:
    """A bar of the waterfall, in shares of the axis."""

    title: str
    start: float
    gain: float
    value: float
    is_total: bool


def _steps(analysis: AvaAnalysis) -> list[_Step]:
    """Return the way from the score to 1, kind after kind; nothing where there is no score."""
    if math.isnan(analysis.mean_ap):
        return []
    last = analysis.mean_ap
    steps = [_Step("This score", 0.0, last, last, True)]
    for kind in analysis.errors:
        gain = max(kind.mean_ap_so_far - last, 0.0)
        steps.append(_Step(kind.title, last, gain, kind.mean_ap_so_far, False))
        last = kind.mean_ap_so_far
    return steps


def _lead_sentences(analysis: AvaAnalysis) -> list[str]:
    """Return what to know first."""
    if math.isnan(analysis.mean_ap):
        return ["The score is not defined: no action of the label map has an annotation."]
    sentences = [
        f"A detected box lies on {_percent(analysis.mean_ceiling)} of the annotations (mean over "
        "actions): the recall that these boxes allow."
    ]
    best = max(analysis.errors, key=lambda kind: kind.mean_ap_alone)
    gain = best.mean_ap_alone - analysis.mean_ap
    if gain > 0:
        sentences.append(
            f"Mending one kind of error alone would gain most with “{best.title.lower()}”: mAP "
            f"{_score(best.mean_ap_alone)} ({_signed(gain)})."
        )
    confident = [kind for kind in analysis.errors if kind.key in FALSE_KINDS]
    most = max(confident, key=lambda kind: kind.num_confident)
    if most.num_confident:
        sentences.append(_confident_sentence(analysis, confident, most))
    return sentences


def _confident_sentence(analysis: AvaAnalysis, kinds: Sequence[ErrorKind], most: ErrorKind) -> str:
    number = sum(kind.num_confident for kind in kinds)
    return (
        f"Of the detections that score {analysis.confident_score:.3f} or more (as many as there "
        f"are annotations), {_number(number)} are false, most often “{most.title.lower()}” "
        f"({_number(most.num_confident)})."
    )


def _hues(classes: Sequence[ClassAnalysis]) -> dict[str, int]:
    """Return the number of each group's colour; actions without a group have the first."""
    groups = dict.fromkeys(result.group for result in classes)
    return {group: place % _NUM_HUES for place, group in enumerate(groups)}


def _curve_path(curve: PrecisionRecall) -> str:
    """Return the curve as an SVG path in a square of 100, recall to the right; "" without one."""
    if not curve.recall:
        return ""
    points = [f"M0 {100 - 100 * curve.precision[0]:.1f}"]
    for recall, precision in zip(curve.recall, curve.precision, strict=True):
        points.append(f"V{100 - 100 * precision:.1f}H{100 * recall:.1f}")
    return "".join(points)


def _data_uri(pictures: Mapping[Keyframe, bytes] | None, keyframe: Keyframe) -> str:
    picture = (pictures or {}).get(keyframe)
    if picture is None:
        return ""
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode("ascii")


def _score(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.4f}"


def _number(value: int) -> str:
    return f"{value:,}"


def _length(value: float) -> str:
    """Return a share as a length of CSS; 0 where it is not defined."""
    return f"{0.0 if math.isnan(value) else 100 * min(max(value, 0.0), 1.0):.2f}%"
