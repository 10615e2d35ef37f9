"""One file of detections under every public rule set, and why the numbers differ.

The tables are read once. From the first rule set that can take them (the reference) each
other one is reached by switching one rule after the other, in the order of `rule_switches`, and
scoring after each switch; so the changes of a rule set's causes add up to its difference.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from x3d_det.errors import DataError
from x3d_det.evaluation.ava import AvaTables, Scored, read_tables
from x3d_det.evaluation.report import AvaReport
from x3d_det.evaluation.report_files import report_folder, write_json
from x3d_det.evaluation.rule_switches import SWITCHES, Step, step_of
from x3d_det.evaluation.rules import RULES, AvaRules
from x3d_det.io.files import atomic_write
from x3d_det.words import none_if_nan


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
        causes = [
            {**asdict(cause), "change": none_if_nan(cause.change)} for cause in outcome.causes
        ]
        return {
            **{key: report[key] for key in ("mAP", "groups", "per_class", "counts", "notes")},
            "change": none_if_nan(self._change(outcome.report)),
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
    folder = report_folder(output_dir, "comparison")
    paths = [folder / "compare.json", folder / "compare.txt"]
    write_json(paths[0], comparison.to_dict())
    with atomic_write(paths[1], "w") as file:
        file.write("\n".join(comparison.summary_lines()) + "\n")
    return paths


class _Steps:
    """Scores rule sets and mixtures of them, each once."""

    def __init__(self, tables: AvaTables) -> None:
        self._tables = tables
        self._steps: dict[tuple, Step] = {}

    def keep(self, scored: Scored) -> Step:
        """Note a score."""
        step = step_of(scored)
        self._steps[_numbers_key(scored.rules)] = step
        return step

    def between(self, start: AvaRules, end: AvaRules) -> tuple[Cause, ...]:
        """Return what changes on the way from one rule set to another."""
        causes = []
        before = self._steps[_numbers_key(start)]
        for switch in SWITCHES:
            rules = switch.apply(before.rules, end)
            if _numbers_key(rules) == _numbers_key(before.rules):
                continue
            after = self._score(rules)
            text, counts = switch.describe(before, after)
            if any(counts.values()) or not _same(before.mean_ap, after.mean_ap):
                causes.append(Cause(switch.rule, text, counts, after.mean_ap - before.mean_ap))
            before = after
        return tuple(causes)

    def _score(self, rules: AvaRules) -> Step:
        step = self._steps.get(_numbers_key(rules))
        return replace(step, rules=rules) if step else self.keep(self._tables.score(rules))


def _numbers_key(rules: AvaRules) -> tuple:
    """Return what the numbers depend on; the rest only says which files are taken."""
    return (
        rules.frame,
        rules.keyframes,
        rules.uses_exclusions,
        rules.misses_excluded,
        rules.skips_undetected,
    )


def _signed(change: float) -> str:
    return "none" if math.isnan(change) else f"{change:+.4f}"


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
