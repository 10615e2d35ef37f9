"""From annotations and detections to the reasons of their score."""

import math

import numpy as np
import pandas as pd

from x3d_det.evaluation.analysis.errors import (
    FALSE_KINDS,
    Oracle,
    confident_score,
    error_kinds,
)
from x3d_det.evaluation.analysis.fates import Fate, Fates, tell_fates
from x3d_det.evaluation.analysis.parts import by_persons, by_size
from x3d_det.evaluation.analysis.ranking import Ranking
from x3d_det.evaluation.analysis.result import (
    AvaAnalysis,
    ClassAnalysis,
    PartResult,
    mean_of_known,
)
from x3d_det.evaluation.analysis.worst import worst_keyframes
from x3d_det.evaluation.ava import AvaTables, Scored
from x3d_det.evaluation.report import AvaReport, ClassResult
from x3d_det.evaluation.rules import rules_named
from x3d_det.io.ava_csv import AvaAnnotations
from x3d_det.io.label_map import LabelMap

CURVE_POINTS = 200


def explain_evaluation(
    annotations: AvaAnnotations,
    detections: pd.DataFrame,
    *,
    label_map: LabelMap,
    rules: str = "pyslowfast",
    exclusions: pd.DataFrame | None = None,
    label_map_name: str = "",
    num_worst: int = 12,
) -> tuple[AvaReport, AvaAnalysis]:
    """Return the report of `evaluate_ava`, and why its score is what it is.

    Args:
        annotations, detections, label_map, rules, exclusions, label_map_name: as of
            `evaluate_ava`.
        num_worst: as of `explain_score`.

    Raises:
        DataError: as of `evaluate_ava`.
        ValueError: `num_worst` below 0.
    """
    tables = AvaTables(annotations, detections, exclusions, label_map, label_map_name)
    report, scored = tables.evaluate(rules_named(rules))
    return report, explain_score(report, scored, num_worst=num_worst)


def explain_score(report: AvaReport, scored: Scored, *, num_worst: int = 12) -> AvaAnalysis:
    """Return why a score is what it is.

    Args:
        report, scored: of `AvaTables.evaluate`.
        num_worst: so many keyframes with most errors are named; 0 for none.

    Raises:
        ValueError: `num_worst` below 0.
    """
    if num_worst < 0:
        raise ValueError(f"num_worst is {num_worst}; it must be 0 or more.")
    rule = scored.rules.frame
    fates = tell_fates(scored.selection, scored.result, rule=rule, num_classes=len(report.classes))
    ranked_scores = fates.scores.astype(np.float32) if rule.single_precision else fates.scores
    ranking = Ranking(fates.classes, ranked_scores, fates.num_classes)
    oracle = Oracle(fates, ranking, is_counted=~np.isnan([result.ap for result in report.classes]))
    threshold = confident_score(fates)
    confident = fates.scores >= threshold  # never, where the threshold is NaN
    classes = _classes(fates, ranking, report.classes)
    persons, num_without_person = by_persons(fates, ranking, oracle.is_counted)
    return AvaAnalysis(
        rules=report.rules,
        mean_ap=report.mean_ap,
        mean_ceiling=mean_of_known([c.ceiling for c in classes if not math.isnan(c.ap)]),
        confident_score=threshold,
        num_annotations=len(fates.truth),
        num_detections=len(fates.fates),
        num_matched=int(fates.is_found.sum()),
        classes=classes,
        groups=_groups(report),
        sizes=by_size(fates, ranking, oracle.is_counted),
        persons=persons,
        num_detections_without_person=num_without_person,
        errors=error_kinds(fates, oracle, confident, mean_ap=report.mean_ap),
        worst=worst_keyframes(
            fates,
            confident,
            index=scored.selection.index,
            names=[result.name for result in report.classes],
            number=num_worst,
        ),
    )


def _classes(
    fates: Fates, ranking: Ranking, results: tuple[ClassResult, ...]
) -> tuple[ClassAnalysis, ...]:
    num_classes, truth = fates.num_classes, fates.truth.classes
    annotated = np.bincount(truth, minlength=num_classes)
    in_reach = np.bincount(truth[fates.has_box], minlength=num_classes)
    no_box = np.bincount(truth[~fates.is_found & ~fates.has_box], minlength=num_classes)
    not_reported = np.bincount(truth[~fates.is_found & fates.has_box], minlength=num_classes)
    by_fate = np.bincount(
        fates.classes * np.int64(len(Fate)) + fates.fates, minlength=num_classes * len(Fate)
    ).reshape(num_classes, len(Fate))
    matched = (fates.fates == Fate.MATCHED)[ranking.order]
    curves = ranking.curves(matched, fates.scores, annotated, CURVE_POINTS)
    return tuple(
        ClassAnalysis(
            action_id=result.action_id,
            name=result.name,
            group=result.group,
            ap=result.ap,
            ceiling=float(in_reach[index] / annotated[index]) if annotated[index] else math.nan,
            num_annotations=result.num_annotations,
            num_detections=result.num_detections,
            num_matched=result.num_matched,
            num_no_box=int(no_box[index]),
            num_not_reported=int(not_reported[index]),
            num_false={key: int(by_fate[index, fate]) for key, fate in FALSE_KINDS.items()},
            curve=curves[index],
        )
        for index, result in enumerate(results)
    )


def _groups(report: AvaReport) -> tuple[PartResult, ...]:
    parts = []
    for name, mean_ap in report.group_means.items():
        members = [c for c in report.classes if c.group == name and not math.isnan(c.ap)]
        parts.append(
            PartResult(
                name=name.lower().replace("_", " "),
                mean_ap=mean_ap,
                num_classes=len(members),
                num_annotations=sum(c.num_annotations for c in members),
                num_detections=sum(c.num_detections for c in members),
                num_matched=sum(c.num_matched for c in members),
            )
        )
    return tuple(parts)
