"""AVA frame-mAP at IoU 0.5 under the public rule sets of `rules.RULES`.

Scores are used unrounded. Equal scores: the detection that comes later, keyframes
in the order in which they first occur, ranks higher (a stable ascending sort,
reversed). Where an official program stops with an error, so do we, saying why.
"""

import math
import os
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from x3d_det.evaluation.explain import explain
from x3d_det.evaluation.frame_ap import FrameResult, evaluate_frames
from x3d_det.evaluation.keyframe_index import index_keyframes
from x3d_det.evaluation.report import AvaReport, ClassResult, ReportCounts
from x3d_det.evaluation.rules import RULES, AvaRules, rules_named
from x3d_det.evaluation.selection import NumberedTables, Selection, number_tables, select_rows
from x3d_det.evaluation.sources import Sources
from x3d_det.io.ava_csv import (
    AvaAnnotations,
    read_annotations,
    read_exclusions,
)
from x3d_det.io.detection_tables import read_detection_table
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
        detections_path: results as csv (`.gz` too), parquet or npz; see `io.detection_tables`.
        label_map_path: pbtxt of the actions to score; None is AVA's evaluated 60.
        exclusions_path: csv of keyframes that do not count.
        rules: a key of `RULES`.

    Raises:
        DataError: unknown rules, a file that cannot be read or evaluated.
    """
    rule_set = rules_named(rules)
    tables = read_tables(
        annotations_path,
        detections_path,
        label_map_path=label_map_path,
        exclusions_path=exclusions_path,
    )
    return tables.evaluate(rule_set)[0]


def read_tables(
    annotations_path: str | os.PathLike[str],
    detections_path: str | os.PathLike[str],
    *,
    label_map_path: str | os.PathLike[str] | None = None,
    exclusions_path: str | os.PathLike[str] | None = None,
) -> "AvaTables":
    """Read the files of `evaluate_files`.

    Raises:
        DataError: a file that cannot be read.
    """
    label_map = ava_label_map(60) if label_map_path is None else read_label_map(label_map_path)
    exclusions = None
    if exclusions_path is not None:
        exclusions = read_exclusions(exclusions_path)
        exclusions.attrs["path"] = str(exclusions_path)
    return AvaTables(
        read_annotations(annotations_path, strict=False),
        read_detection_table(detections_path),
        exclusions,
        label_map,
        str(label_map_path or "AVA's 60 evaluated actions"),
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
    tables = AvaTables(annotations, detections, exclusions, label_map, label_map_name)
    return tables.evaluate(rule_set)[0]


@dataclass(frozen=True)
class Scored:
    """What the tables gave under one rule set: the mean, the rows that counted, the classes."""

    rules: AvaRules
    mean_ap: float
    selection: Selection
    result: FrameResult


class AvaTables:
    """The tables of one evaluation, numbered once, to be scored under any rules.

    Args:
        annotations, detections, exclusions, label_map, label_map_name: as for `evaluate_ava`.
    """

    def __init__(
        self,
        annotations: AvaAnnotations,
        detections: pd.DataFrame,
        exclusions: pd.DataFrame | None,
        label_map: LabelMap,
        label_map_name: str = "",
    ) -> None:
        self.annotations = annotations
        self.detections = detections
        self.exclusions = annotations.empty_keyframes.iloc[:0] if exclusions is None else exclusions
        self.label_map = label_map
        self.label_map_name = label_map_name
        self._numbered: NumberedTables | None = None

    def evaluate(self, rules: AvaRules) -> tuple[AvaReport, Scored]:
        """Return the report under the rules, and what it was made of.

        Raises:
            DataError: a missing column; a row that these rules stop at.
        """
        sources = self._sources(rules)
        sources.check()
        scores, num_unscored = sources.scores()
        if self._numbered is None:
            self._numbered = number_tables(
                self.annotations,
                self.detections,
                index_keyframes(sources.tables),
                scores=scores,
                label_map=self.label_map,
            )
        scored = self.score(rules)
        sources.check_inverted(scored.selection, scored.result.reached_inverted)
        return self._report(scored, num_unscored, self.files()), scored

    def files(self) -> dict[str, str]:
        """Return what was read, by role."""
        return self._sources(RULES["pyslowfast"]).files(self.label_map_name)

    def _sources(self, rules: AvaRules) -> Sources:
        return Sources(self.annotations, self.detections, self.exclusions, rules)

    def score(self, rules: AvaRules) -> Scored:
        """Return the score alone of tables that `evaluate` took before, which it checked.

        Args:
            rules: of `RULES` or any mixture of them.
        """
        assert self._numbered is not None, "evaluate() numbers the tables"
        selection = select_rows(self._numbered, rules)
        result = evaluate_frames(
            selection.counted_truth(),
            selection.found,
            detection_rows=selection.found_rows,
            num_classes=len(self.label_map),
            num_keyframes=selection.index.size,
            rule=rules.frame,
        )
        if rules.skips_undetected:
            known = np.where(result.num_detections > 0, result.average_precision, np.nan)
            result = replace(result, average_precision=known)
        return Scored(rules, _mean_ap(self.label_map, result), selection, result)

    def _report(self, scored: Scored, num_unscored: int, files: dict[str, str]) -> AvaReport:
        selection, result, rules = scored.selection, scored.result, scored.rules
        counts = _counts(selection, result, num_unscored)
        classes = _class_results(self.label_map, result)
        return AvaReport(
            rules=rules.name,
            mean_ap=scored.mean_ap,
            classes=classes,
            group_means=_group_means(classes),
            counts=counts,
            unknown_annotation_ids=selection.unknown_truth_ids,
            unknown_detection_ids=selection.unknown_found_ids,
            notes=explain(
                selection,
                result,
                counts,
                label_map=self.label_map,
                has_unused_exclusions=len(self.exclusions) > 0 and not rules.uses_exclusions,
                skips_undetected=rules.skips_undetected,
            ),
            files=files,
        )


def _counts(selection: Selection, result: FrameResult, num_unscored: int) -> ReportCounts:
    x1, y1, x2, y2 = (corner[selection.truth_rows] for corner in selection.truth.boxes)
    truth, found = selection.truth_of_keyframe(), selection.found_of_keyframe()
    lonely = (found > 0) & (truth == 0)
    missed = (found == 0) & (truth > 0) & ~selection.excluded
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
        missed_excluded_annotations=int(truth[selection.excluded].sum()),
        unnamed_keyframe_detection_rows=len(selection.unnamed_keyframes),
        unnamed_keyframes=len(np.unique(selection.unnamed_keyframes)),
        detection_rows_without_annotation=int(found[lonely].sum()),
        detected_keyframes_without_annotation=int(lonely.sum()),
        annotated_keyframes_without_detection=int(missed.sum()),
        annotations_without_detection=int(truth[missed].sum()),
        over_limit_detection_rows=result.num_over_limit,
        invalid_detection_rows=result.num_invalid,
        unscored_detection_rows=num_unscored,
        inverted_annotations=int(((x1 > x2) | (y1 > y2)).sum()),
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
