"""Faults of the rows of AVA's csv files: what kinds there are, and those of one file collected."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from x3d_det.errors import DataError

_SHOWN_FAULTS = 20


@dataclass(frozen=True)
class RowFault:
    """One fault of one line.

    Args:
        path: the file.
        line: 1-based.
        kind: which of the faults of `FAULT_KINDS` it is.
        text: the value found, what is allowed, what to do.
    """

    path: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


FAULT_KINDS: Mapping[str, str] = {
    "encoding": "files that are not plain UTF-8",
    "empty_file": "empty files",
    "header": "header rows",
    "quotes": "quoted lines",
    "columns": "lines of another number of columns",
    "video_id": "video ids that are no bare file names",
    "number": "values that are no numbers",
    "second": "seconds that cannot be",
    "coordinate": "coordinates outside the frame",
    "box": "boxes that are upside down or empty",
    "action_id": "action ids that cannot be",
    "score": "scores outside [0, 1]",
    "person_id": "person ids that cannot be",
    "repeated_row": "repeated rows",
}
"""Kinds of faults and what they are called, in the plural."""


@dataclass
class RowFaults:
    """The faults of one file in the order of its lines; of each kind the first ones in full.

    A table in pixels has a fault in every cell: `MAX_LISTED` of each kind are kept as text,
    so that millions of them do not fill the memory; all are counted.
    """

    path: str
    listed: list[RowFault] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    MAX_LISTED = 10_000

    @property
    def number(self) -> int:
        """How many there are."""
        return self.counts.total()

    def add(self, line: int, kind: str, text: str) -> None:
        """Count a fault of `FAULT_KINDS`, and keep it if it is one of the first of its kind."""
        self.counts[kind] += 1
        if self.counts[kind] <= self.MAX_LISTED:
            self.listed.append(RowFault(self.path, line, kind, text))

    def raise_if_any(self) -> None:
        """Raise the first of them as one error, the rest counted.

        Raises:
            DataError: there is a fault.
        """
        if not self.number:
            return
        texts = [str(fault) for fault in self.listed[:_SHOWN_FAULTS]]
        if self.number > _SHOWN_FAULTS:
            rest = self.number - _SHOWN_FAULTS
            texts.append(f"{self.path}: and {rest:,} more faults of this kind or another.")
        raise DataError("\n".join(texts))
