"""The whole of a check: findings and statistics, as text, json and a picture."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from x3d_det.checks.chart import draw_statistics
from x3d_det.checks.findings import KINDS, SEVERITIES, Finding, Severity
from x3d_det.checks.statistics import SplitStatistics
from x3d_det.io.files import atomic_write
from x3d_det.io.label_map import LabelMap
from x3d_det.words import counted

_HEADINGS: Mapping[Severity, str] = {"error": "ERRORS", "warning": "WARNINGS", "note": "NOTES"}


@dataclass(frozen=True, kw_only=True)
class VideoStatistics:
    """What was found in the files of the videos."""

    num_needed: int
    num_found: int
    num_read: int
    """Looked into without an error."""
    total_seconds: float
    full_decode: bool
    rates: Mapping[str, int]
    """Frames a second -> videos."""
    sizes: Mapping[str, int]
    """`widthxheight` -> videos, the most frequent first."""

    def lines(self) -> list[str]:
        """Return the numbers in words."""
        how = "decoded to the end" if self.full_decode else "looked into at both ends"
        hours, minutes = divmod(round(self.total_seconds / 60), 60)
        texts = [
            f"videos: {self.num_found:,} of {self.num_needed:,} found, {self.num_read:,} {how} "
            f"without an error, {hours}:{minutes:02} h in all"
        ]
        if self.sizes:
            sizes = [f"{size} ({number:,})" for size, number in list(self.sizes.items())[:4]]
            rates = [f"{rate} ({number:,})" for rate, number in list(self.rates.items())[:4]]
            texts.append(f"  sizes {', '.join(sizes)}; frames a second {', '.join(rates)}")
        return texts


@dataclass(frozen=True)
class DatasetReport:
    """What a check found.

    Args:
        name: of the data set.
        root: its folder, as shown.
        findings: in the order of a report.
        splits: numbers of each split.
        videos: numbers of the videos, None where they were not looked at.
        label_map: None where it cannot be read.
    """

    name: str
    root: str
    findings: Sequence[Finding]
    splits: Sequence[SplitStatistics]
    videos: VideoStatistics | None
    label_map: LabelMap | None

    @property
    def counts(self) -> dict[Severity, int]:
        """How many errors, warnings and notes there are."""
        counts: Counter[str] = Counter()
        for finding in self.findings:
            counts[finding.severity] += finding.count
        return {severity: counts[severity] for severity in SEVERITIES}

    @property
    def verdict(self) -> str:
        """One line on whether the data set can be used."""
        errors, warnings, notes = (self.counts[severity] for severity in SEVERITIES)
        rest = f"{counted(warnings, 'warning')}, {counted(notes, 'note')}"
        if errors:
            return f"{self.name} is NOT ready: {counted(errors, 'error')}, {rest}"
        looked = "" if self.videos is not None else "; its videos were not looked at"
        return f"{self.name} is ready: no errors, {rest}{looked}"

    def lines(self, *, num_shown: int = 10) -> list[str]:
        """Return the report as text.

        Args:
            num_shown: findings of each kind that are printed; the rest is counted.
        """
        texts = [f"data set {self.name} in {self.root}", ""]
        for split in self.splits:
            texts += split.lines()
        if self.videos is not None:
            texts += self.videos.lines()
        for severity, found in groupby(self.findings, key=lambda finding: finding.severity):
            texts += ["", _HEADINGS[severity]]
            for kind, group in groupby(found, key=lambda finding: finding.kind):
                texts += _group_lines(kind, list(group), num_shown)
        return [*texts, "", self.verdict]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for a json file."""
        videos = None if self.videos is None else dict(vars(self.videos))
        return {
            "data_set": self.name,
            "root": self.root,
            "verdict": self.verdict,
            "counts": dict(self.counts),
            "findings": [dict(vars(finding)) for finding in self.findings],
            "splits": [split.to_dict() for split in self.splits],
            "videos": videos,
            "classes": {} if self.label_map is None else dict(self.label_map.names),
        }

    def write(self, output_dir: Path) -> list[Path]:
        """Write report.json and statistics.png, each whole or not at all; return their paths."""
        report, picture = output_dir / "report.json", output_dir / "statistics.png"
        with atomic_write(report, "w") as file:
            file.write(json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")
        drawn = draw_statistics(self.splits, label_map=self.label_map, title=self.name)
        with atomic_write(picture, "wb") as file:
            file.write(drawn)
        return [report, picture]


def in_order(findings: Iterator[Finding] | Sequence[Finding]) -> list[Finding]:
    """Return findings by severity, kind, file and line, each once."""
    return sorted(dict.fromkeys(findings), key=lambda finding: finding.place)


def _group_lines(kind: str, findings: Sequence[Finding], num_shown: int) -> list[str]:
    number = sum(finding.count for finding in findings)
    title = KINDS[kind]
    texts = [f"  {title} ({number:,})"]
    texts += [f"    {finding}" for finding in findings[:num_shown]]
    rest = sum(finding.count for finding in findings[num_shown:])
    if rest:
        texts.append(f"    and {rest:,} more, in report.json")
    return texts
