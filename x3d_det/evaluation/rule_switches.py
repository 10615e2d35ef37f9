"""The rules in which public evaluators differ, one by one, and what switching each does.

`compare` goes from one rule set to another by these switches, in their order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from x3d_det.evaluation.ava import Scored
from x3d_det.evaluation.frame_ap import FrameResult
from x3d_det.evaluation.rules import AvaRules
from x3d_det.words import counted


@dataclass(frozen=True)
class Step:
    """One score on the way between rule sets; no array is as long as the detections.

    Args:
        rules, mean_ap, result: of the score.
        matched: row of each true detection to its keyframe.
        listed_annotations, listed_detections, num_listed: annotations and detections that
            count on excluded keyframes, and the number of these.
        num_ignored, ignored_keyframes: detections on keyframes that do not count, and the
            number of these.
        full_keyframes: those with more detections than the rules' limit.
    """

    rules: AvaRules
    mean_ap: float
    result: FrameResult
    matched: Mapping[int, int]
    listed_annotations: int
    listed_detections: int
    num_listed: int
    num_ignored: int
    ignored_keyframes: int
    full_keyframes: int


def step_of(scored: Scored) -> Step:
    """Return what is kept of a score."""
    selection, result, rules = scored.selection, scored.result, scored.rules
    listed = np.unique(selection.index.keyframes[2])
    is_listed = np.zeros(selection.index.size, bool)
    is_listed[listed] = True
    full = 0
    if rules.frame.limit:
        full = int((selection.found_of_keyframe() > rules.frame.limit).sum())
    keyframes = selection.found.keyframes[result.matched_rows]
    return Step(
        rules,
        scored.mean_ap,
        result,
        dict(zip(result.matched_rows.tolist(), keyframes.tolist(), strict=True)),
        int(is_listed[selection.truth.keyframes[selection.truth_rows]].sum()),
        int(selection.found_of_keyframe()[listed].sum()),
        len(listed),
        len(selection.unnamed_keyframes),
        len(np.unique(selection.unnamed_keyframes)),
        full,
    )


@dataclass(frozen=True)
class Switch:
    """One rule that may differ.

    Args:
        rule: as in `Cause`.
        fields: of `AvaRules`, those of its `frame` as "frame.name".
        describe: tells what the switch did.
    """

    rule: str
    fields: tuple[str, ...]
    describe: Callable[[Step, Step], tuple[str, dict[str, int]]]

    def apply(self, rules: AvaRules, like: AvaRules) -> AvaRules:
        """Return `rules` with these fields as in `like`."""
        own = {name: getattr(like, name) for name in self.fields if "." not in name}
        names = [name.split(".")[1] for name in self.fields if "." in name]
        of_frame = {name: getattr(like.frame, name) for name in names}
        return replace(rules, frame=replace(rules.frame, **of_frame), **own)


def _exclusions(before: Step, after: Step) -> tuple[str, dict[str, int]]:
    unused, verb = (after, "count") if before.rules.uses_exclusions else (before, "no longer count")
    counts = {
        "annotations": unused.listed_annotations,
        "detections": unused.listed_detections,
    }
    return (
        f"the exclusion list is {'not ' if unused is after else ''}used: "
        f"{counted(counts['annotations'], 'annotation')} and "
        f"{counted(counts['detections'], 'detection')} on its "
        f"{counted(after.num_listed, 'keyframe')} {verb}"
    ), counts


def _excluded_annotations(before: Step, after: Step) -> tuple[str, dict[str, int]]:
    more = after.listed_annotations - before.listed_annotations
    counts = {"annotations": abs(more)}
    return (
        f"{counted(abs(more), 'annotation')} on {counted(after.num_listed, 'excluded keyframe')} "
        f"{'count as misses' if more >= 0 else 'no longer count as misses'}"
    ), counts


def _keyframes(before: Step, after: Step) -> tuple[str, dict[str, int]]:
    counts = {
        "detections": after.num_ignored - before.num_ignored,
        "keyframes": after.ignored_keyframes - before.ignored_keyframes,
    }
    where = {
        "all": "that the reference ignores",
        "named": "that the annotation file does not name",
        "annotated": "without an annotation of a known action",
    }[after.rules.keyframes]
    return (
        f"{counted(abs(counts['keyframes']), 'keyframe')} {where}: their "
        f"{counted(abs(counts['detections']), 'detection')} are "
        f"{'ignored' if counts['detections'] >= 0 else 'false'}"
    ), counts


def _matching(before: Step, after: Step) -> tuple[str, dict[str, int]]:
    names = {
        "rows": "in row order",
        "score": "by falling score, of equal ones the later row first",
        "stable": "by falling score, of equal ones the earlier row first",
        "heap": "by falling score, equal ones as in the official heap",
    }
    to, since = names[after.rules.frame.matching], names[before.rules.frame.matching]
    if "rows" in (before.rules.frame.matching, after.rules.frame.matching):
        to, since = to.split(",")[0], since.split(",")[0]
    counts = _changed(before, after)
    return (
        f"{counted(counts['keyframes'], 'keyframe')} matched {to} instead of {since}, with another "
        f"result ({counted(counts['detections'], 'detection')} true now that were false)"
    ), counts


def _changed(before: Step, after: Step) -> dict[str, int]:
    """Return how many detections became true, and on how many keyframes truth moved."""
    now = {row: key for row, key in after.matched.items() if row not in before.matched}
    gone = {row: key for row, key in before.matched.items() if row not in after.matched}
    return {"keyframes": len({*now.values(), *gone.values()}), "detections": len(now)}


def _limit(before: Step, after: Step) -> tuple[str, dict[str, int]]:
    more = after.result.num_over_limit - before.result.num_over_limit
    counts = {
        "detections": more,
        "keyframes": after.full_keyframes - before.full_keyframes,
        "lost_matches": int(before.result.num_matched.sum() - after.result.num_matched.sum()),
    }
    if more < 0:
        return f"no limit of a keyframe: {counted(-more, 'detection')} more take part", counts
    return (
        f"the limit of {after.rules.frame.limit} a keyframe dropped {counted(more, 'detection')} "
        f"on {counted(counts['keyframes'], 'keyframe')} ({counts['lost_matches']:,} of them true)"
    ), counts


def _low_scores(before: Step, after: Step) -> tuple[str, dict[str, int]]:
    more = after.result.num_invalid - before.result.num_invalid
    floor = (after if more >= 0 else before).rules.frame.min_score
    verb = "dropped" if more >= 0 else "take part"
    return (
        f"{counted(abs(more), 'detection')} with a score of {floor or 0:g} or less {verb}",
        {"detections": more},
    )


def _empty_boxes(before: Step, after: Step) -> tuple[str, dict[str, int]]:
    more = before.result.num_invalid - after.result.num_invalid
    verb = "take part" if more >= 0 else "dropped"
    return (
        f"{counted(abs(more), 'detection')} whose box has no area {verb}",
        {"detections": more},
    )


def _precision(before: Step, after: Step) -> tuple[str, dict[str, int]]:
    counts = _changed(before, after)
    bits = 32 if after.rules.frame.single_precision else 64
    return (
        f"boxes and scores are float{bits}: {counted(counts['keyframes'], 'keyframe')} matched "
        "otherwise, and scores that become equal rank by their order"
    ), counts


def _rank_order(before: Step, after: Step) -> tuple[str, dict[str, int]]:
    file = "annotation" if after.rules.frame.ranks_as_annotated else "detection"
    return f"equal scores rank by the {file} file's order of keyframes", {}


def _undetected(before: Step, after: Step) -> tuple[str, dict[str, int]]:
    result = after.result
    counts = {"actions": int(((result.num_annotations > 0) & (result.num_detections == 0)).sum())}
    what = "left out of the mean" if after.rules.skips_undetected else "counted as AP 0"
    return f"{counted(counts['actions'], 'class')} without a detection {what}", counts


SWITCHES = (
    Switch("exclusions", ("uses_exclusions",), _exclusions),
    Switch("excluded_annotations", ("misses_excluded",), _excluded_annotations),
    Switch("keyframes", ("keyframes",), _keyframes),
    Switch("matching", ("frame.matching",), _matching),
    Switch("limit", ("frame.limit",), _limit),
    Switch("low_scores", ("frame.min_score",), _low_scores),
    Switch("empty_boxes", ("frame.keeps_empty_boxes",), _empty_boxes),
    Switch("precision", ("frame.single_precision",), _precision),
    Switch("rank_order", ("frame.ranks_as_annotated",), _rank_order),
    Switch("undetected", ("skips_undetected",), _undetected),
)
"""All of them; each one's change is what it adds to those before it."""
