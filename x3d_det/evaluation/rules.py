"""The four public evaluators' rules, which give different mAPs on the same files.

| rule set | keyframes that count | limit | who matches first | exclusions | timestamps |
| --- | --- | --- | --- | --- | --- |
| pyslowfast | all | none | the earlier row | used | whole seconds |
| activitynet2018 | all | none | the higher score | used | whole seconds |
| activitynet2019 | all | 50 rows | the higher score | used | whole seconds |
| activitynet2020 | those annotated | 50 rows | the higher score | not used | six decimals |
"""

from dataclasses import dataclass

from x3d_det.errors import DataError, did_you_mean
from x3d_det.evaluation.row_order import FrameRule


@dataclass(frozen=True, kw_only=True)
class AvaRules:
    """One public evaluator's rules.

    Args:
        name: key in `RULES`.
        frame: order of matching and limit of a keyframe.
        only_named_keyframes: detections elsewhere are ignored, not false.
        uses_exclusions: whether an exclusion list is applied.
        fractional_seconds: timestamps may have a fraction.
        keyframe_rows: rows of two columns are allowed.
        reads_eighth_column: the person id of an annotation must be a number (it is
            taken for a score).
        needs_score: a detection without a score is an error, not 1.0.
    """

    name: str
    frame: FrameRule
    only_named_keyframes: bool = False
    uses_exclusions: bool = True
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
            only_named_keyframes=True,
            uses_exclusions=False,
            fractional_seconds=True,
            keyframe_rows=True,
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
