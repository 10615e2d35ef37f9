"""One file of detections under every public rule set, and why the numbers differ.

The tables are read once. From the first rule set that can take them (the reference) each
other one is reached by switching one rule after the other, in the order of `_SWITCHES`, and
scoring after each switch; so the changes of a rule set's causes add up to its difference.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from x3d_det.errors import DataError, X3DDetError
from x3d_det.evaluation.ava import AvaTables, Scored, read_tables
from x3d_det.evaluation.frame_ap import FrameResult
from x3d_det.evaluation.report import AvaReport
from x3d_det.evaluation.rules import RULES, AvaRules
from x3d_det.io.files import atomic_write


@dataclass(frozen=True)
class Cause:
    """One rule in which a rule set differs from the reference.

    Args:
        rule: "exclusions", "excluded_annotations", "keyframes", "matching", "limit",
            "low_scores", "empty_boxes", "precision", "rank_order" or "undetected".
        text: what the switch did, in words.
        counts: the numbers of `text`.
        change: of the mAP, by this switch alone after those before it; NaN where
            either mAP is not defined.
    """

    rule: str
    text: str
    counts: Mapping[str, int]
    change: float


@dataclass(frozen=True)
class RulesOutcome:
    """What one rule set said.

    Args:
        rules: its name.
        report: its result; None where it cannot take the file.
        refusal: then, why.
        causes: what sets it apart from the reference; only those that changed a count
            or the mAP.
    """

    rules: str
    report: AvaReport | None
    refusal: str = ""
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """All rule sets on one file.

    Args:
        reference: name of the rule set that the others are compared with; "" where
            none can take the file.
        outcomes: one a rule set, in the order of `RULES`.
        files: what was read, by role.
    """

    reference: str
    outcomes: tuple[RulesOutcome, ...]
    files: Mapping[str, str]

    def summary_lines(self) -> list[str]:
        """Return the table, and below it what sets each rule set apart."""
        header = (
            f"{'rules':16s} {'mAP':>8s} {'change':>8s} {'actions':>8s} {'keyframes':>10s} "
            f"{'annotations':>12s} {'detections':>12s} {'matched':>9s}"
        )
        lines = [header, *(self._row(outcome) for outcome in self.outcomes)]
        if self.reference:
            lines += [
                "",
                f"Set apart from {self.reference} (each line: the change of mAP when that rule is "
                "switched after those above it; they add up):",
            ]
        for outcome in self.outcomes:
            if outcome.report is None:
                lines.append(f"{outcome.rules} cannot take these files: {outcome.refusal}")
            elif outcome.rules != self.reference:
                lines.append(f"{outcome.rules}:" + ("" if outcome.causes else " no difference"))
                lines += [f"  {_signed(c.change):>8s}  {c.text}" for c in outcome.causes]
        return lines

    def _row(self, outcome: RulesOutcome) -> str:
        report = outcome.report
        if report is None:
            return f"{outcome.rules:16s} {'-':>8s}  cannot take these files, see below"
        counts = report.counts
        change = "" if outcome.rules == self.reference else _signed(self._change(report))
        mean = "none" if math.isnan(report.mean_ap) else f"{report.mean_ap:.4f}"
        return (
            f"{outcome.rules:16s} {mean:>8s} {change:>8s} {len(report.annotated_classes):8,} "
            f"{counts.detected_keyframes:10,} {counts.annotations:12,} {counts.detections:12,} "
            f"{counts.matched:9,}"
        )

    def _change(self, report: AvaReport) -> float:
        reference = next(o.report for o in self.outcomes if o.rules == self.reference)
        assert reference is not None
        return report.mean_ap - reference.mean_ap

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; NaN becomes None."""
        return {
            "reference": self.reference,
            "files": dict(self.files),
            "rules": {outcome.rules: self._plain(outcome) for outcome in self.outcomes},
            "summary": self.summary_lines(),
        }

    def _plain(self, outcome: RulesOutcome) -> dict[str, Any]:
        if outcome.report is None:
            return {"mAP": None, "refusal": outcome.refusal}
        report = outcome.report.to_dict()
        causes = [{**asdict(cause), "change": _or_none(cause.change)} for cause in outcome.causes]
        return {
            **{key: report[key] for key in ("mAP", "groups", "per_class", "counts", "notes")},
            "change": _or_none(self._change(outcome.report)),
            "causes": causes,
        }


def compare_files(
    annotations_path: str | os.PathLike[str],
    detections_path: str | os.PathLike[str],
    *,
    label_map_path: str | os.PathLike[str] | None = None,
    exclusions_path: str | os.PathLike[str] | None = None,
) -> Comparison:
    """Score files under all of `RULES`, reading them once.

    Args:
        annotations_path, detections_path, label_map_path, exclusions_path: as for
            `evaluate_files`.

    Raises:
        DataError: a file cannot be read.
    """
    return compare_rules(
        read_tables(
            annotations_path,
            detections_path,
            label_map_path=label_map_path,
            exclusions_path=exclusions_path,
        )
    )


def compare_rules(tables: AvaTables) -> Comparison:
    """Score tables under all of `RULES` and trace each difference to its causes."""
    reports: dict[str, AvaReport] = {}
    refusals: dict[str, str] = {}
    steps = _Steps(tables)
    for name, rules in RULES.items():
        try:
            reports[name], scored = tables.evaluate(rules)
        except DataError as error:
            refusals[name] = str(error)
            continue
        steps.keep(scored)
        del scored
    reference = next(iter(reports), "")
    outcomes = []
    for name in RULES:
        if name in refusals:
            outcomes.append(RulesOutcome(name, None, refusals[name]))
        else:
            causes = steps.between(RULES[reference], RULES[name])
            outcomes.append(RulesOutcome(name, reports[name], causes=causes))
    return Comparison(
        reference, tuple(outcomes), reports[reference].files if reference else tables.files()
    )


def write_comparison(comparison: Comparison, output_dir: str | os.PathLike[str]) -> list[Path]:
    """Write compare.json and compare.txt; return their paths.

    Args:
        comparison: what to write.
        output_dir: folder, made where it is missing.

    Raises:
        X3DDetError: a file cannot be written.
    """
    folder = Path(output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise X3DDetError(
            f"cannot write the comparison into {folder}: {error.strerror or error}; "
            "choose another folder."
        ) from error
    paths = [folder / "compare.json", folder / "compare.txt"]
    with atomic_write(paths[0], "w") as file:
        json.dump(comparison.to_dict(), file, indent=1, ensure_ascii=False, allow_nan=False)
        file.write("\n")
    with atomic_write(paths[1], "w") as file:
        file.write("\n".join(comparison.summary_lines()) + "\n")
    return paths


@dataclass(frozen=True)
class _Step:
    """What stays in memory of a score: no array as long as the detections."""

    rules: AvaRules
    mean_ap: float
    result: FrameResult
    matched: Mapping[int, int]  # row of each true detection -> its keyframe
    listed_annotations: int
    listed_detections: int
    num_listed: int
    num_ignored: int
    ignored_keyframes: int
    full_keyframes: int


class _Steps:
    """Scores rule sets and mixtures of them, each once."""

    def __init__(self, tables: AvaTables) -> None:
        self._tables = tables
        self._steps: dict[tuple, _Step] = {}

    def keep(self, scored: Scored) -> _Step:
        """Note a score."""
        selection, result, rules = scored.selection, scored.result, scored.rules
        listed = np.unique(selection.index.keyframes[2])
        is_listed = np.zeros(selection.index.size, bool)
        is_listed[listed] = True
        full = 0
        if rules.frame.limit:
            full = int((selection.found_of_keyframe() > rules.frame.limit).sum())
        keyframes = selection.found.keyframes[result.matched_rows]
        step = _Step(
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
        self._steps[_numbers_key(rules)] = step
        return step

    def between(self, start: AvaRules, end: AvaRules) -> tuple[Cause, ...]:
        """Return what changes on the way from one rule set to another."""
        causes = []
        before = self._steps[_numbers_key(start)]
        for switch in _SWITCHES:
            rules = switch.apply(before.rules, end)
            if _numbers_key(rules) == _numbers_key(before.rules):
                continue
            after = self._score(rules)
            text, counts = switch.describe(before, after)
            if any(counts.values()) or not _same(before.mean_ap, after.mean_ap):
                causes.append(Cause(switch.rule, text, counts, after.mean_ap - before.mean_ap))
            before = after
        return tuple(causes)

    def _score(self, rules: AvaRules) -> _Step:
        step = self._steps.get(_numbers_key(rules))
        return replace(step, rules=rules) if step else self.keep(self._tables.score(rules))


@dataclass(frozen=True)
class _Switch:
    """One rule that may differ.

    Args:
        rule: as in `Cause`.
        fields: of `AvaRules`, those of its `frame` as "frame.name".
        describe: tells what the switch did.
    """

    rule: str
    fields: tuple[str, ...]
    describe: Callable[[_Step, _Step], tuple[str, dict[str, int]]]

    def apply(self, rules: AvaRules, like: AvaRules) -> AvaRules:
        """Return `rules` with these fields as in `like`."""
        own = {name: getattr(like, name) for name in self.fields if "." not in name}
        names = [name.split(".")[1] for name in self.fields if "." in name]
        of_frame = {name: getattr(like.frame, name) for name in names}
        return replace(rules, frame=replace(rules.frame, **of_frame), **own)


def _numbers_key(rules: AvaRules) -> tuple:
    """Return what the numbers depend on; the rest only says which files are taken."""
    return (
        rules.frame,
        rules.keyframes,
        rules.uses_exclusions,
        rules.misses_excluded,
        rules.skips_undetected,
    )


def _exclusions(before: _Step, after: _Step) -> tuple[str, dict[str, int]]:
    unused, verb = (after, "count") if before.rules.uses_exclusions else (before, "no longer count")
    counts = {
        "annotations": unused.listed_annotations,
        "detections": unused.listed_detections,
    }
    return (
        f"the exclusion list is {'not ' if unused is after else ''}used: "
        f"{_number(counts['annotations'], 'annotation')} and "
        f"{_number(counts['detections'], 'detection')} on its "
        f"{_number(after.num_listed, 'keyframe')} {verb}"
    ), counts


def _excluded_annotations(before: _Step, after: _Step) -> tuple[str, dict[str, int]]:
    more = after.listed_annotations - before.listed_annotations
    counts = {"annotations": abs(more)}
    return (
        f"{_number(abs(more), 'annotation')} on {_number(after.num_listed, 'excluded keyframe')} "
        f"{'count as misses' if more >= 0 else 'no longer count as misses'}"
    ), counts


def _keyframes(before: _Step, after: _Step) -> tuple[str, dict[str, int]]:
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
        f"{_number(abs(counts['keyframes']), 'keyframe')} {where}: their "
        f"{_number(abs(counts['detections']), 'detection')} are "
        f"{'ignored' if counts['detections'] >= 0 else 'false'}"
    ), counts


def _matching(before: _Step, after: _Step) -> tuple[str, dict[str, int]]:
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
        f"{_number(counts['keyframes'], 'keyframe')} matched {to} instead of {since}, with another "
        f"result ({_number(counts['detections'], 'detection')} true now that were false)"
    ), counts


def _changed(before: _Step, after: _Step) -> dict[str, int]:
    """Return how many detections became true, and on how many keyframes truth moved."""
    now = {row: key for row, key in after.matched.items() if row not in before.matched}
    gone = {row: key for row, key in before.matched.items() if row not in after.matched}
    return {"keyframes": len({*now.values(), *gone.values()}), "detections": len(now)}


def _limit(before: _Step, after: _Step) -> tuple[str, dict[str, int]]:
    more = after.result.num_over_limit - before.result.num_over_limit
    counts = {
        "detections": more,
        "keyframes": after.full_keyframes - before.full_keyframes,
        "lost_matches": int(before.result.num_matched.sum() - after.result.num_matched.sum()),
    }
    if more < 0:
        return f"no limit of a keyframe: {_number(-more, 'detection')} more take part", counts
    return (
        f"the limit of {after.rules.frame.limit} a keyframe dropped {_number(more, 'detection')} "
        f"on {_number(counts['keyframes'], 'keyframe')} ({counts['lost_matches']:,} of them true)"
    ), counts


def _low_scores(before: _Step, after: _Step) -> tuple[str, dict[str, int]]:
    more = after.result.num_invalid - before.result.num_invalid
    floor = (after if more >= 0 else before).rules.frame.min_score
    verb = "dropped" if more >= 0 else "take part"
    return (
        f"{_number(abs(more), 'detection')} with a score of {floor or 0:g} or less {verb}",
        {"detections": more},
    )


def _empty_boxes(before: _Step, after: _Step) -> tuple[str, dict[str, int]]:
    more = before.result.num_invalid - after.result.num_invalid
    verb = "take part" if more >= 0 else "dropped"
    return (
        f"{_number(abs(more), 'detection')} whose box has no area {verb}",
        {"detections": more},
    )


def _precision(before: _Step, after: _Step) -> tuple[str, dict[str, int]]:
    counts = _changed(before, after)
    bits = 32 if after.rules.frame.single_precision else 64
    return (
        f"boxes and scores are float{bits}: {_number(counts['keyframes'], 'keyframe')} matched "
        "otherwise, and scores that become equal rank by their order"
    ), counts


def _rank_order(before: _Step, after: _Step) -> tuple[str, dict[str, int]]:
    file = "annotation" if after.rules.frame.ranks_as_annotated else "detection"
    return f"equal scores rank by the {file} file's order of keyframes", {}


def _undetected(before: _Step, after: _Step) -> tuple[str, dict[str, int]]:
    result = after.result
    counts = {"actions": int(((result.num_annotations > 0) & (result.num_detections == 0)).sum())}
    what = "left out of the mean" if after.rules.skips_undetected else "counted as AP 0"
    return f"{_number(counts['actions'], 'class', 'es')} without a detection {what}", counts


_SWITCHES = (
    _Switch("exclusions", ("uses_exclusions",), _exclusions),
    _Switch("excluded_annotations", ("misses_excluded",), _excluded_annotations),
    _Switch("keyframes", ("keyframes",), _keyframes),
    _Switch("matching", ("frame.matching",), _matching),
    _Switch("limit", ("frame.limit",), _limit),
    _Switch("low_scores", ("frame.min_score",), _low_scores),
    _Switch("empty_boxes", ("frame.keeps_empty_boxes",), _empty_boxes),
    _Switch("precision", ("frame.single_precision",), _precision),
    _Switch("rank_order", ("frame.ranks_as_annotated",), _rank_order),
    _Switch("undetected", ("skips_undetected",), _undetected),
)


def _number(number: int, what: str, plural: str = "s") -> str:
    return f"{number:,} {what}{'' if number == 1 else plural}"


def _signed(change: float) -> str:
    return "none" if math.isnan(change) else f"{change:+.4f}"


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
