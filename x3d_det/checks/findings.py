"""What a check of a data set finds: severity, kind, file, line, text."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from x3d_det.errors import X3DDetError
from x3d_det.io.ava_faults import FAULT_KINDS, RowFaults

if TYPE_CHECKING:
    import numpy as np

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""An error stops training or evaluation, or makes them wrong; a warning probably does; a note
is worth knowing."""

KINDS: Mapping[str, str] = {
    "missing_file": "missing files",
    "unreadable_file": "files that cannot be read",
    **FAULT_KINDS,
    "frame_number": "timestamps that number no frame",
    "label_map": "faults of the label map",
    "class_name": "classes that are not named as in AVA",
    "unknown_action": "action ids without a class",
    "single_label": "boxes with several actions where one is allowed",
    "missing_class": "classes without annotations",
    "near_duplicate": "boxes that are almost equal",
    "two_persons": "boxes with two person ids",
    "person_twice": "persons with two boxes on one keyframe",
    "leak": "videos of both splits",
    "exclusion": "excluded keyframes that do not fit",
    "empty_keyframe": "keyframes both empty and annotated",
    "rules": "rows that the evaluation's rules do not know",
    "unknown_video": "videos that the other file does not know",
    "threshold": "person boxes and the score threshold",
    "without_boxes": "annotated keyframes without a person box",
    "overlap": "person boxes that do not lie on the annotated ones",
    "video_start": "the second at which the videos start",
    "outside_video": "seconds outside the video",
    "missing_video": "missing videos",
    "broken_video": "broken videos",
    "hung_video": "videos that could not be checked to the end",
    "truncated_video": "videos shorter than their header says",
    "broken_frames": "broken folders of frames",
    "video_file": "video files that do not fit",
    "picture": "pictures that are out of the ordinary",
}
"""Kinds of findings in the order of a report, and what they are called, in the plural."""

MAX_LISTED = RowFaults.MAX_LISTED
"""Findings of one kind and file that are kept in full; the rest is one finding with its count."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing found.

    Args:
        severity: one of `SEVERITIES`.
        kind: one of `KINDS`.
        path: the file, as shown.
        line: 1-based, None where no line is meant.
        text: what was found, what is allowed, what to do.
        count: more than 1 where it stands for many that are not listed.
    """

    severity: Severity
    kind: str
    path: str
    line: int | None = None
    text: str
    count: int = 1

    def __str__(self) -> str:
        line = "" if self.line is None else f":{self.line}"
        return f"{self.path}{line}: {self.text}"

    @property
    def place(self) -> tuple[int, int, str, int]:
        """Sorts findings: severity, kind, file, line."""
        kind = list(KINDS).index(self.kind)
        return SEVERITIES.index(self.severity), kind, self.path, self.line or 0


def listed(rows: "Sequence[int] | np.ndarray", make: Callable[[int], Finding]) -> Iterator[Finding]:
    """Yield a finding for each row, the first `MAX_LISTED` in full, then one for all others."""
    for row in rows[:MAX_LISTED]:
        yield make(int(row))
    rest = len(rows) - MAX_LISTED
    if rest > 0:
        yield replace(
            make(int(rows[MAX_LISTED])), text=f"and {rest:,} more from here on.", count=rest
        )


def of_row_faults(faults: RowFaults, severity: Severity = "error") -> Iterator[Finding]:
    """Yield what a reader of AVA's csv files found."""
    path = shown(faults.path)
    for fault in faults.listed:
        yield Finding(
            severity=severity, kind=fault.kind, path=path, line=fault.line, text=fault.text
        )
    for kind, number in faults.counts.items():
        if number > faults.MAX_LISTED:
            rest = number - faults.MAX_LISTED
            line = max(fault.line for fault in faults.listed if fault.kind == kind)
            text = f"and {rest:,} more of this kind from here on."
            yield Finding(severity=severity, kind=kind, path=path, line=line, text=text, count=rest)


def of_error(
    error: X3DDetError, path: str | os.PathLike[str], kind: str, severity: Severity = "error"
) -> Iterator[Finding]:
    """Yield a finding for each line of an error's text; `path:line:` in front becomes its place."""
    where = re.compile(rf"{re.escape(str(path))}(?::(\d+))?: (.*)")
    for text in str(error).splitlines():
        match = where.fullmatch(text)
        line = int(match[1]) if match and match[1] else None
        yield Finding(
            severity=severity,
            kind=kind,
            path=shown(path),
            line=line,
            text=match[2] if match else text,
        )


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as a user would type it: relative where it lies below the working folder."""
    absolute = Path(os.path.abspath(path))
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path)


def some(items: Iterable[object], *, shown: int = 8) -> str:
    """Return the first items with commas, and how many more there are."""
    texts = [str(item) for item in items]
    rest = len(texts) - shown
    return ", ".join(texts[:shown]) + (f" and {rest:,} more" if rest > 0 else "")
