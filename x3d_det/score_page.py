"""A score written down with its reasons: csv and JSON, and one page that a browser opens."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from x3d_det.errors import VideoError
from x3d_det.evaluation.analysis import AvaAnalysis, write_analysis, write_html_report
from x3d_det.evaluation.report import AvaReport, write_report
from x3d_det.io.ava_csv import AvaAnnotations
from x3d_det.io.label_map import LabelMap
from x3d_det.keyframes import Keyframe

if TYPE_CHECKING:
    from x3d_det.data import FrameSource

_logger = logging.getLogger(__name__)


def write_score(
    report: AvaReport,
    analysis: AvaAnalysis,
    output_dir: Path,
    *,
    annotations: AvaAnnotations,
    detections: pd.DataFrame,
    label_map: LabelMap,
    source: "FrameSource | None" = None,
) -> list[Path]:
    """Write a score and its analysis into a folder; return the files, `report.html` first.

    Args:
        report, analysis: of the same evaluation.
        output_dir: an existing folder.
        annotations, detections, label_map: what was evaluated.
        source: draws the worst keyframes; None leaves them to words.

    Raises:
        X3DDetError: a file cannot be written.
    """
    pictures: dict[Keyframe, bytes] = {}
    if source is not None:
        pictures = _pictures(analysis, annotations, detections, label_map, source)
    page = write_html_report(report, analysis, output_dir, pictures=pictures)
    return [page, *write_report(report, output_dir), *write_analysis(analysis, output_dir)]


def _pictures(
    analysis: AvaAnalysis,
    annotations: AvaAnnotations,
    detections: pd.DataFrame,
    label_map: LabelMap,
    source: "FrameSource",
) -> dict[Keyframe, bytes]:
    """Return the worst keyframes drawn; none where a video cannot be read: the score stands."""
    # Imported here: scoring files alone takes 3 seconds less without torch.
    from x3d_det.visualization import short_action_names
    from x3d_det.visualization.worst_keyframes import draw_worst_keyframes

    try:
        return draw_worst_keyframes(
            [worst.keyframe for worst in analysis.worst],
            source,
            annotations=annotations.rows,
            detections=detections,
            action_names=short_action_names(dict(label_map.names)),
            score_threshold=analysis.confident_score,
        )
    except VideoError as error:
        _logger.warning("the worst keyframes are not drawn: %s", error)
        return {}
