"""The five public evaluators' rules, which give different mAPs on the same files.

| rule set | keyframes that count | limit | who matches first | exclusions | timestamps |
| --- | --- | --- | --- | --- | --- |
| pyslowfast | all | none | the earlier row | used | whole seconds |
| activitynet2018 | all | none | the higher score | used | whole seconds |
| activitynet2019 | all | 50 rows | the higher score | used | whole seconds |
| activitynet2020 | those named | 50 rows | the higher score | not used | six decimals |
| mmaction2 | those annotated | none | the higher score | of detections | whole seconds |

"Named" is a keyframe by any row, also of two columns or of an unknown action, "annotated" only by
a known action. Under `mmaction2`, too, annotations on excluded keyframes count as misses, boxes
and scores are float32, an action without a detection is left out of the mean, a detected box
without area takes part, and an inverted one is an error. (MMAction2 itself
stops at a file without any annotation of a known action; here mAP is not defined then, as under
the others.)
Source: the evaluators of ActivityNet (be7854e, 3fee089, 82304fa), PySlowFast (287ec00) and
MMAction2 1.x (4d6c934, mmaction/evaluation/functional/ava_utils.py).
"""

from dataclasses import dataclass
from typing import Literal

from x3d_det.errors import DataError, did_you_mean
from x3d_det.evaluation.row_order import FrameRule


@dataclass(frozen=True, kw_only=True)
class AvaRules:
    """One public evaluator's rules.

    Args:
        name: key in `RULES`.
        frame: order of matching and limit of a keyframe.
        keyframes: where detections count; elsewhere they are ignored. "all"; "named": in
            the annotation file, also by a row of two columns or of an unknown action;
            "annotated": by a row of a known action.
        uses_exclusions: whether an exclusion list is applied.
        misses_excluded: annotations on excluded keyframes count, as misses.
        skips_undetected: an action without a detection is left out of the mean, not AP 0.
        stops_at_inverted: a detected box with x1 > x2 or y1 > y2 is an error.
        fractional_seconds: timestamps may have a fraction.
        keyframe_rows: rows of two columns are allowed.
        reads_eighth_column: the person id of an annotation must be a number (it is
            taken for a score).
        needs_score: a detection without a score is an error, not 1.0.
    """

    name: str
    frame: FrameRule
    keyframes: Literal["all", "named", "annotated"] = "all"
    uses_exclusions: bool = True
    misses_excluded: bool = False
    skips_undetected: bool = False
    stops_at_inverted: bool = False
    fractional_seconds: bool = False
    keyframe_rows: bool = False
    reads_eighth_column: bool = True
    needs_score: bool = False


RULES: dict[str, AvaRules] = {
    rules.name: rules
    for rules in (
        AvaRules(
            name="pyslowfast",
            frame=FrameRule("rows"),
            reads_eighth_column=False,
            needs_score=True,
        ),
        AvaRules(name="activitynet2018", frame=FrameRule("score", min_score=-10.0)),
        AvaRules(name="activitynet2019", frame=FrameRule("heap", limit=50)),
        AvaRules(
            name="activitynet2020",
            frame=FrameRule("heap", limit=50),
            keyframes="named",
            uses_exclusions=False,
            fractional_seconds=True,
            keyframe_rows=True,
        ),
        AvaRules(
            name="mmaction2",
            frame=FrameRule(
                "stable", keeps_empty_boxes=True, single_precision=True, ranks_as_annotated=True
            ),
            keyframes="annotated",
            misses_excluded=True,
            skips_undetected=True,
            stops_at_inverted=True,
        ),
    )
}
"""Rule sets by name; `pyslowfast` is the line of the X3D and SlowFast papers."""


def rules_named(name: str) -> AvaRules:
    """Return a rule set.

    Raises:
        DataError: there is none of that name.
    """
    if name not in RULES:
        allowed = ", ".join(RULES)
        raise DataError(f"no rules named {name!r}; there are {allowed}{did_you_mean(name, RULES)}.")
    return RULES[name]
