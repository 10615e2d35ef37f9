"""AVA frame-mAP: evaluators, report, and the explanation of a score."""

from x3d_det.evaluation.ava import evaluate_ava, evaluate_files
from x3d_det.evaluation.compare import Comparison, compare_files, compare_rules, write_comparison
from x3d_det.evaluation.frame_ap import average_precision, evaluate_frames, iou_of_pairs
from x3d_det.evaluation.report import AvaReport, ClassResult, ReportCounts, write_report
from x3d_det.evaluation.rules import RULES, AvaRules

__all__ = [
    "RULES",
    "AvaReport",
    "AvaRules",
    "ClassResult",
    "Comparison",
    "ReportCounts",
    "average_precision",
    "compare_files",
    "compare_rules",
    "evaluate_ava",
    "evaluate_files",
    "evaluate_frames",
    "iou_of_pairs",
    "write_comparison",
    "write_report",
]
