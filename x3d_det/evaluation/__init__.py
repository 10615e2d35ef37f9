"""AVA frame-mAP: evaluators, report, and the explanation of a score."""

from x3d_det.evaluation.ava import evaluate_ava, evaluate_files
from x3d_det.evaluation.frame_ap import average_precision, evaluate_frames, iou_of_pairs
from x3d_det.evaluation.report import AvaReport, ClassResult, ReportCounts, write_report
from x3d_det.evaluation.rules import RULES, AvaRules

__all__ = [
    "RULES",
    "AvaReport",
    "AvaRules",
    "ClassResult",
    "ReportCounts",
    "average_precision",
    "evaluate_ava",
    "evaluate_files",
    "evaluate_frames",
    "iou_of_pairs",
    "write_report",
]
