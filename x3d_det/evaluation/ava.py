"""AVA frame-mAP at IoU 0.5 under the four public rule sets of `rules.RULES`.

Scores are used unrounded. Equal scores: the detection that comes later, keyframes
in the order in which they first occur, ranks higher (a stable ascending sort,
reversed). Where an official program stops with an error, so do we, saying why.
"""

import math
import os

import numpy as np
import pandas as pd

from x3d_det.evaluation.explain import explain
from x3d_det.evaluation.frame_ap import FrameResult, evaluate_frames
from x3d_det.evaluation.keyframe_index import index_keyframes
from x3d_det.evaluation.report import AvaReport, ClassResult, ReportCounts
from x3d_det.evaluation.rules import rules_named
from x3d_det.evaluation.selection import Selection, select_rows
from x3d_det.evaluation.sources import Sources
from x3d_det.io.ava_csv import (
    AvaAnnotations,
    read_annotations,
    read_detections,
    read_exclusions,
)
from x3d_det.io.label_map import ACTION_GROUPS, LabelMap, ava_label_map, read_label_map


def evaluate_files(
    annotations_path: str | os.PathLike[str],
    detections_path: str | os.PathLike[str],
    *,
    label_map_path: str | os.PathLike[str] | None = None,
    exclusions_path: str | os.PathLike[str] | None = None,
    rules: str = "pyslowfast",
) -> AvaReport:
    """Score a file of detections against a file of annotations.

    Args:
        annotations_path: AVA csv, `.gz` too.
        detections_path: results csv, `.gz` too.
        label_map_path: pbtxt of the actions to score; None is AVA's evaluated 60.
        exclusions_path: csv of keyframes that do not count.
        rules: a key of `RULES`.

    Raises:
        DataError: unknown rules, a file that cannot be read or evaluated.
    """
    rules_named(rules)
    label_map = ava_label_map(60) if label_map_path is None else read_label_map(label_map_path)
    exclusions = None
    if exclusions_path is not None:
        exclusions = read_exclusions(exclusions_path)
        exclusions.attrs["path"] = str(exclusions_path)
    return evaluate_ava(
        read_annotations(annotations_path, strict=False),
        read_detections(detections_path),
        label_map=label_map,
        rules=rules,
        exclusions=exclusions,
        label_map_name=str(label_map_path or "AVA's 60 evaluated actions"),
    )


def evaluate_ava(
    annotations: AvaAnnotations,
    detections: pd.DataFrame,
    *,
    label_map: LabelMap,
    rules: str = "pyslowfast",
    exclusions: pd.DataFrame | None = None,
    label_map_name: str = "",
) -> AvaReport:
    """Return frame-mAP at IoU 0.5 of the detections, with counts and explanations.

    Args:
        annotations: as `read_annotations(path, strict=False)` gives them.
        detections: video_id, timestamp, x1, y1, x2, y2, action_id, score; as
            `read_detections` gives them or made in memory. The row order matters
            under `pyslowfast`, and elsewhere between equal scores.
        label_map: the actions to score; rows of other ids are ignored and counted.
        rules: a key of `RULES`.
        exclusions: video_id, timestamp of keyframes that do not count.
        label_map_name: where the label map came from, for the report.

    Raises:
        DataError: unknown rules; a missing column; a row that these rules stop at,
            named by file and line.
    """
    rule_set = rules_named(rules)
    if exclusions is None:
        exclusions = annotations.empty_keyframes.iloc[:0]
    sources = Sources(annotations, detections, exclusions, rule_set)
    sources.check()
    scores, num_unscored = sources.scores()
    selection = select_rows(
        annotations,
        detections,
        index_keyframes(sources.tables),
        scores=scores,
        label_map=label_map,
        use_exclusions=rule_set.uses_exclusions,
        only_named_keyframes=rule_set.only_named_keyframes,
    )
    truth = selection.counted_truth()
    result = evaluate_frames(
        truth,
        selection.found,
        detection_rows=selection.found_rows,
        num_classes=len(label_map),
        num_keyframes=selection.index.size,
        rule=rule_set.frame,
    )
    sources.check_inverted(selection.truth_rows[result.reached_inverted])
    x1, y1, x2, y2 = truth.boxes
    classes = _class_results(label_map, result)
    counts = _counts(
        selection, result, num_unscored, num_inverted=int(((x1 > x2) | (y1 > y2)).sum())
    )
    return AvaReport(
        rules=rules,
        mean_ap=_mean_ap(label_map, result),
        classes=classes,
        group_means=_group_means(classes),
        counts=counts,
        unknown_annotation_ids=selection.unknown_truth_ids,
        unknown_detection_ids=selection.unknown_found_ids,
        notes=explain(
            selection,
            result,
            counts,
            label_map=label_map,
            has_unused_exclusions=len(exclusions) > 0 and not rule_set.uses_exclusions,
        ),
        files=sources.files(label_map_name),
    )


def _counts(
    selection: Selection, result: FrameResult, num_unscored: int, *, num_inverted: int
) -> ReportCounts:
    truth, found = selection.truth_of_keyframe(), selection.found_of_keyframe()
    lonely = (found > 0) & (truth == 0)
    missed = (found == 0) & (truth > 0)
    return ReportCounts(
        annotation_rows=len(selection.truth),
        detection_rows=len(selection.found),
        annotations=int(result.num_annotations.sum()),
        detections=int(result.num_detections.sum()),
        matched=int(result.num_matched.sum()),
        annotated_keyframes=int((truth > 0).sum()),
        detected_keyframes=int((found > 0).sum()),
        excluded_keyframes=int(selection.excluded.sum()),
        excluded_annotation_rows=selection.num_excluded_truth,
        excluded_detection_rows=selection.num_excluded_found,
        unnamed_keyframe_detection_rows=len(selection.unnamed_keyframes),
        unnamed_keyframes=len(np.unique(selection.unnamed_keyframes)),
        detection_rows_without_annotation=int(found[lonely].sum()),
        detected_keyframes_without_annotation=int(lonely.sum()),
        annotated_keyframes_without_detection=int(missed.sum()),
        annotations_without_detection=int(truth[missed].sum()),
        over_limit_detection_rows=result.num_over_limit,
        invalid_detection_rows=result.num_invalid,
        unscored_detection_rows=num_unscored,
        inverted_annotations=num_inverted,
    )


def _class_results(label_map: LabelMap, result: FrameResult) -> tuple[ClassResult, ...]:
    """Return one result an action; groups of AVA's own actions are known without the map."""
    ava = ava_label_map(80)
    own_groups = {
        action_id: group
        for action_id, group in ava.groups.items()
        if label_map.names.get(action_id) == ava.names[action_id]
    }
    groups = {**own_groups, **label_map.groups}
    columns = (
        result.average_precision.tolist(),
        result.num_annotations.tolist(),
        result.num_detections.tolist(),
        result.num_matched.tolist(),
    )
    return tuple(
        ClassResult(action_id, name, groups.get(action_id, ""), *numbers)
        for (action_id, name), *numbers in zip(label_map.names.items(), *columns, strict=True)
    )


def _mean_ap(label_map: LabelMap, result: FrameResult) -> float:
    """Return the mean over the actions with annotations, NaN where there is none."""
    known = ~np.isnan(result.average_precision)
    if not known.any():
        return math.nan
    # The official sum runs over all ids up to the largest; so the last bit is its too.
    of_id = np.zeros(label_map.action_ids[-1])
    of_id[np.array(label_map.action_ids)[known] - 1] = result.average_precision[known]
    return float(of_id.sum() / known.sum())


def _group_means(classes: tuple[ClassResult, ...]) -> dict[str, float]:
    """Return the mean AP of each group that has an annotated action, AVA's groups first."""
    by_group: dict[str, list[float]] = {name: [] for name in ACTION_GROUPS}
    for result in classes:
        if result.group and not math.isnan(result.ap):
            by_group.setdefault(result.group, []).append(result.ap)
    return {name: sum(values) / len(values) for name, values in by_group.items() if values}
