"""Why a frame-mAP is what it is: ceilings, parts, kinds of errors, worst keyframes, one page."""

from x3d_det.evaluation.analysis.analyse import explain_evaluation, explain_score
from x3d_det.evaluation.analysis.html_report import html_report, write_html_report
from x3d_det.evaluation.analysis.result import (
    AvaAnalysis,
    ClassAnalysis,
    ErrorKind,
    PartResult,
    WorstKeyframe,
)
from x3d_det.evaluation.analysis.write import write_analysis

__all__ = [
    "AvaAnalysis",
    "ClassAnalysis",
    "ErrorKind",
    "PartResult",
    "WorstKeyframe",
    "explain_evaluation",
    "explain_score",
    "html_report",
    "write_analysis",
    "write_html_report",
]
