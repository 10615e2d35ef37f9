"""Rows of AVA's csv files read line by line, each fault with file and line.

This is the slow reader behind `ava_rows.read_fast`: it runs where that one met
something it does not know, and where a value turned out to be a fault.
"""

import csv
import io
import math
import os
import re
from collections.abc import Collection

import numpy as np

from x3d_det.io.ava_faults import RowFaults
from x3d_det.io.ava_rows import (
    BLANKS,
    CLIP_TOLERANCE,
    COORDINATES,
    MAX_PERSON_ID,
    NUMBER,
    WHOLE,
    RawTable,
    RowForm,
    empty_table,
    read_bytes,
)


def read_line_by_line(
    path: str | os.PathLike[str],
    form: RowForm,
    *,
    strict: bool,
    action_ids: Collection[int] | None = None,
) -> RawTable:
    """Return the file's rows as `read_fast` would, or name every fault.

    Args:
        path: the file, `.gz` unpacked.
        form: what a row holds.
        strict: as `ava_csv.read_annotations` has it; False is the official
            evaluator's tolerance: quotes are csv quotes, values are not checked
            beyond being numbers.
        action_ids: the allowed ids (strict reading of annotations), None for any.

    Raises:
        DataError: every fault of the file, the first 20 in full.
    """
    table, faults = read_with_faults(path, form, strict=strict, action_ids=action_ids)
    faults.raise_if_any()
    return table


def read_with_faults(
    path: str | os.PathLike[str],
    form: RowForm,
    *,
    strict: bool,
    action_ids: Collection[int] | None = None,
) -> tuple[RawTable, RowFaults]:
    """Return the rows that have no fault, and the faults of the others.

    Args:
        path, form, strict, action_ids: as for `read_line_by_line`.

    Raises:
        DataError: the file cannot be read or unpacked at all.
    """
    content = read_bytes(path)
    faults = RowFaults(str(path))
    if content.startswith(b"\xef\xbb\xbf"):
        faults.add(
            1, "encoding", "the file begins with a byte order mark; save it as UTF-8 without BOM."
        )
        content = content[3:]
    known = None if action_ids is None else frozenset(action_ids)
    reader = _LineReader(form, faults, strict=strict, action_ids=known)
    for line, raw in enumerate(content.splitlines(), start=1):
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            faults.add(
                line,
                "encoding",
                f"byte 0x{raw[error.start]:02x} in column {error.start + 1} is not UTF-8; "
                "save the file as UTF-8.",
            )
            continue
        if text.strip(BLANKS):
            reader.read(line, text)
    if strict and form.kind != "keyframes" and not reader.num_lines and not faults.number:
        faults.add(1, "empty_file", f"the file is empty; it must hold {form.kind}, one row a line.")
    return reader.table(), faults


class _LineReader:
    """Collects the rows of one file and the faults of each line."""

    def __init__(
        self, form: RowForm, faults: RowFaults, *, strict: bool, action_ids: frozenset[int] | None
    ) -> None:
        self.form = form
        self.faults = faults
        self.strict = strict
        self.action_ids = action_ids
        self.num_lines = 0
        self.rows: list[tuple[str, float, float, float, float, float, int, float, int]] = []
        self.keyframe_rows: list[tuple[str, float, int]] = []
        self.unreadable_person_lines: list[int] = []
        self._seen: dict[tuple, int] = {}

    def read(self, line: int, text: str) -> None:
        """Take one line that is not blank."""
        self.num_lines += 1
        fields = self._split(line, text)
        if fields is None:
            return
        fields[1:] = [field.strip(BLANKS) for field in fields[1:]]
        if line == 1 and not any(NUMBER.fullmatch(field) for field in fields[1:6]):
            self.faults.add(
                line,
                "header",
                f"a header row ({_short(text)})? AVA files have none; remove the line.",
            )
            return
        before = self.faults.number
        video_id = self._video_id(line, fields[0])
        seconds = self._number(line, "the second", fields[1])
        if self.strict and seconds is not None and seconds < 0:
            self.faults.add(
                line, "second", f"the second {fields[1]} is negative; seconds count from 0."
            )
        if len(fields) == 2:
            if self.faults.number == before and seconds is not None:
                self.keyframe_rows.append((video_id, seconds, line))
            return
        corners = [
            self._number(line, name, value)
            for name, value in zip(COORDINATES, fields[2:6], strict=True)
        ]
        if self.strict and None not in corners:
            corners = self._checked_box(line, fields[2:6], corners)
        label = self._label(line, fields[6])
        tail = self._tail(line, fields[7]) if len(fields) == 8 else math.nan
        if self.faults.number > before:
            return
        x1, y1, x2, y2 = corners
        row = (video_id, seconds, x1, y1, x2, y2, label, tail, line)
        if self.strict and self.form.kind == "annotations":
            identity = (*row[:7], None if math.isnan(tail) else tail)
            first = self._seen.setdefault(identity, line)
            if first != line:
                text = f"the row repeats line {first} ({text}); remove one of them."
                self.faults.add(line, "repeated_row", text)
                return
        self.rows.append(row)  # type: ignore[arg-type]

    def _split(self, line: int, text: str) -> list[str] | None:
        """Return the fields, or None after noting why the line has no right number of them."""
        if '"' in text:
            if self.strict:
                self.faults.add(
                    line,
                    "quotes",
                    f"the line holds double quotes ({_short(text)}); "
                    "AVA files have none: export the table without quotes.",
                )
                return None
            try:
                fields = next(csv.reader(io.StringIO(text)))
            except csv.Error as error:
                self.faults.add(
                    line, "quotes", f"the line cannot be split ({error}): {_short(text)}."
                )
                return None
        else:
            fields = text.split(",")
        widths = self.form.widths
        remedy = "save it with commas"
        if text.count("\t") > text.count(","):
            found = "is separated by tabs, as spreadsheets write it"
        elif text.count(";") > text.count(","):
            found = "is separated by semicolons"
        elif len(fields) in widths:
            return fields
        else:
            found = f"has {len(fields)} columns"
            remedy = "see data/ava/README.md for each file's form"
        allowed = " or ".join(str(width) for width in widths)
        self.faults.add(
            line,
            "columns",
            f"the line {found} ({_short(text)}); {self.form.kind} have {allowed} columns "
            f"({', '.join(self.form.columns)}): {remedy}.",
        )
        return None

    def _video_id(self, line: int, video_id: str) -> str:
        if not self.strict:
            return video_id
        for bad, what in (
            ("/", "a slash"),
            ("\\", "a backslash"),
            ("..", "two dots"),
            ("\0", "NUL"),
        ):
            if bad in video_id:
                self.faults.add(
                    line,
                    "video_id",
                    f"the video id {video_id!r} holds {what}; an id is a bare file name "
                    "without folder and suffix.",
                )
        if not video_id.strip() or video_id != video_id.strip():
            self.faults.add(
                line,
                "video_id",
                f"the video id {video_id!r} is empty or has blanks at its ends; remove them.",
            )
        return video_id

    def _number(self, line: int, what: str, text: str) -> float | None:
        if NUMBER.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
        if re.fullmatch(r"\s*[+-]?(nan|inf|infinity)\s*", text, re.IGNORECASE):
            self.faults.add(line, "number", f"{what} is {text}; it must be a finite number.")
        else:
            self.faults.add(
                line, "number", f"{what} is {text!r}, not a number; write it as in 0.125."
            )
        return None

    def _checked_box(
        self, line: int, texts: list[str], corners: list[float | None]
    ) -> list[float | None]:
        """Return the corners clipped to [0, 1], after noting those too far outside."""
        checked: list[float | None] = []
        inside = True
        for name, text, value in zip(COORDINATES, texts, corners, strict=True):
            assert value is not None
            if not -CLIP_TOLERANCE <= value <= 1 + CLIP_TOLERANCE:
                side = "width" if name[0] == "x" else "height"
                self.faults.add(
                    line,
                    "coordinate",
                    f"{name} = {text} is outside [0, 1]; boxes in AVA files are fractions "
                    f"of the frame {side}: divide pixels by it.",
                )
                inside = False
            checked.append(min(max(value, 0.0), 1.0))
        for low, high in ((0, 2), (1, 3)):
            if inside and checked[low] >= checked[high]:  # type: ignore[operator]
                first, second = COORDINATES[low], COORDINATES[high]
                self.faults.add(
                    line,
                    "box",
                    f"{second} = {texts[high]} is not above {first} = {texts[low]};"
                    " a box is x1, y1, x2, y2 with x1 < x2 and y1 < y2: swap or remove it.",
                )
        return checked

    def _label(self, line: int, text: str) -> int:
        if self.form.kind == "person boxes" and not text:
            return -1
        if not WHOLE.fullmatch(text):
            what = "label" if self.form.kind == "person boxes" else "action id"
            self.faults.add(
                line, "number", f"the {what} is {text!r}; it must be a whole number as in 12."
            )
            return -1
        label = int(text)
        if not self.strict:
            return label
        if self.form.kind == "person boxes":
            if label < -1:
                self.faults.add(
                    line, "action_id", f"the label is {label}; it is empty, -1 or an action id."
                )
        elif self.action_ids is None and label < 1:
            self.faults.add(
                line,
                "action_id",
                f"action id {label} is below 1; action ids start at 1.{_zero_hint(label)}",
            )
        elif self.action_ids is not None and label not in self.action_ids:
            self.faults.add(
                line,
                "action_id",
                f"action id {label} is not in the label map ({_ranges(self.action_ids)}); "
                f"correct the id or use the label map of this data set."
                f"{_zero_hint(label)}",
            )
        return label

    def _tail(self, line: int, text: str) -> float:
        if self.form.tail != "person_id":
            score = self._number(line, "the score", text)
            if self.strict and score is not None and not 0 <= score <= 1:
                self.faults.add(line, "score", f"the score {text} is outside [0, 1].")
            return math.nan if score is None else score
        if self.strict:
            value = float(text) if NUMBER.fullmatch(text) else math.nan
            if not (value == value // 1 and abs(value) <= MAX_PERSON_ID):
                self.faults.add(
                    line,
                    "person_id",
                    f"the person id is {text!r}; it must be a whole number as in 3.",
                )
                return math.nan
        elif not NUMBER.fullmatch(text):
            self.unreadable_person_lines.append(line)
            return math.nan
        return float(text)

    def table(self) -> RawTable:
        """Return what was read as columns."""
        table = empty_table()
        table.keyframe_rows = self.keyframe_rows
        table.unreadable_person_lines = tuple(self.unreadable_person_lines)
        if not self.rows:
            return table
        videos, seconds, x1, y1, x2, y2, labels, tails, lines = zip(*self.rows, strict=True)
        codes = {name: code for code, name in enumerate(dict.fromkeys(videos))}
        table.video_names = list(codes)
        table.video_codes = np.array([codes[name] for name in videos], np.int32)
        table.timestamps = np.array(seconds, np.float64)
        table.boxes = [np.array(values, np.float64) for values in (x1, y1, x2, y2)]
        table.labels = np.array(labels, np.int64)
        table.tails = np.array(tails, np.float64)
        table.lines = np.array(lines, np.int64)
        return table


def _zero_hint(label: int) -> str:
    return " Ids that start at 0 are class indices: add 1." if label == 0 else ""


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _ranges(numbers: Collection[int]) -> str:
    """Return `1-12, 14` for 1 to 12 and 14."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts) or "none"
