"""Do label map, annotations and the model's outputs agree on what the action ids mean?"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from x3d_det.checks.findings import Finding, Severity, listed, of_error, shown, some
from x3d_det.checks.tables import SplitTables
from x3d_det.errors import X3DDetError
from x3d_det.io.label_entries import ID_LINE
from x3d_det.io.label_map import LabelMap, ava_label_map, read_label_map

_ENTRY = re.compile(r"\s*(label|item)\s*\{\s*")
_FIELD = re.compile(r"  (name|id|label_id|label_type):.*")
# Some of these count as the end of a line for one program and not for another.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]")
_AVA_SHARE = 0.5
"""A label map with this share of AVA's ids and names is meant to be AVA's."""


def read_checked_label_map(path: Path) -> tuple[LabelMap | None, list[Finding]]:
    """Return the label map, None where it cannot be read, and every fault of its file."""
    if not path.is_file():
        text = "the label map is missing; put the file there, or name another as dataset.label_map."
        finding = Finding(severity="error", kind="missing_file", path=shown(path), text=text)
        return None, [finding]
    try:
        label_map = read_label_map(path)
    except X3DDetError as error:
        return None, [*of_error(error, path, "label_map"), *_entry_findings(path)]
    findings = [*_entry_findings(path), *_name_findings(label_map, path)]
    return label_map, findings


def label_findings(
    label_map: LabelMap, path: Path, splits: Sequence[SplitTables], *, num_classes: int
) -> Iterator[Finding]:
    """Yield where the ids of label map, annotations and model differ.

    Args:
        label_map: the evaluated classes.
        path: its file.
        splits: tables whose action ids are compared with it.
        num_classes: outputs of the model; ids above have none.
    """
    above = [action_id for action_id in label_map.action_ids if action_id > num_classes]
    yield from listed(
        above,
        lambda action_id: _finding(
            "error",
            "label_map",
            path,
            action_id,
            f"action id {action_id} ({label_map.names[action_id]}) is above dataset.num_classes = "
            f"{num_classes}; raise that, or use the label map that belongs to the annotations.",
        ),
    )
    for split in splits:
        yield from _ids_of_split(split, label_map, path, num_classes)
    counts = [set(split.annotations.rows["action_id"].unique().tolist()) for split in splits]
    highest = max([*label_map.action_ids, *(max(ids, default=0) for ids in counts)])
    if highest < num_classes:
        text = (
            f"the highest action id is {highest}, dataset.num_classes = {num_classes}: the outputs "
            "from there on learn nothing; lower it unless other weights need them."
        )
        yield Finding(severity="note", kind="label_map", path=shown(path), text=text)


def is_ava(label_map: LabelMap) -> bool:
    """Return whether the map is meant to be AVA's own: most ids have AVA's names."""
    own = ava_label_map(80).names
    same = sum(own.get(action_id) == name for action_id, name in label_map.names.items())
    return same >= _AVA_SHARE * len(label_map)


def _name_findings(label_map: LabelMap, path: Path) -> Iterator[Finding]:
    first_id: dict[str, int] = {}
    for action_id, name in label_map.names.items():
        earlier = first_id.setdefault(name, action_id)
        if earlier != action_id:
            text = (
                f"actions {earlier} and {action_id} are both called {name!r}; give each its name."
            )
            yield _finding("warning", "label_map", path, action_id, text)
        if not name.strip():
            text = f"action {action_id} has no name; give it one."
            yield _finding("warning", "label_map", path, action_id, text)
    own = ava_label_map(80).names
    if not is_ava(label_map):
        return
    for action_id, name in label_map.names.items():
        if own.get(action_id, name) != name:
            text = (
                f"action {action_id} is {name!r} here and {own[action_id]!r} in AVA, whose names "
                "the other ids have; correct it, if the data set is AVA's."
            )
            yield _finding("warning", "class_name", path, action_id, text)


def _ids_of_split(
    split: SplitTables, label_map: LabelMap, path: Path, num_classes: int
) -> Iterator[Finding]:
    rows, where = split.annotations.rows, shown(split.files.annotations)
    if not len(rows):
        return
    ids, firsts, counts = np.unique(
        rows["action_id"].to_numpy(), return_index=True, return_counts=True
    )
    lines = rows["line"].to_numpy()[firsts]
    above = np.flatnonzero(ids > num_classes)

    def too_high(place: int) -> Finding:
        text = (
            f"action id {ids[place]} is above dataset.num_classes = {num_classes} "
            f"({counts[place]:,} rows from here on): the model has no output for it; correct the "
            "id, or raise dataset.num_classes."
        )
        return Finding(
            severity="error",
            kind="unknown_action",
            path=where,
            line=int(lines[place]),
            text=text,
        )

    yield from listed(above, too_high)
    # Training learns every id up to num_classes; only those of the map are scored and named.
    unnamed = [
        place
        for place, action_id in enumerate(ids.tolist())
        if action_id <= num_classes and action_id not in label_map.names
    ]
    others_of_ava = set(ava_label_map(80).names) if is_ava(label_map) else set()
    expected = [place for place in unnamed if int(ids[place]) in others_of_ava]
    if expected:
        text = (
            f"{len(expected)} of AVA's 80 actions occur here but are not in {shown(path)}, so they "
            f"are learnt and not scored, as AVA has it: {some(ids[expected].tolist())}."
        )
        yield Finding(severity="note", kind="unknown_action", path=where, text=text)

    def unknown(place: int) -> Finding:
        text = (
            f"action id {ids[place]} ({counts[place]:,} rows from here on) is not in "
            f"{shown(path)}: it would be learnt and never scored; correct the id, or add it there "
            "with its name."
        )
        return Finding(
            severity="warning",
            kind="unknown_action",
            path=where,
            line=int(lines[place]),
            text=text,
        )

    yield from listed([place for place in unnamed if place not in expected], unknown)
    absent = [action_id for action_id in label_map.action_ids if action_id not in set(ids.tolist())]
    if absent:
        names = [f"{action_id} {label_map.names[action_id]}" for action_id in absent]
        effect = "cannot be learnt" if split.files.name == "train" else "cannot be scored"
        text = (
            f"{len(absent)} of {len(label_map)} classes of {shown(path)} have no row here and "
            f"{effect}: {some(names)}; add annotations, or take them out of the label map."
        )
        yield Finding(severity="warning", kind="missing_class", path=where, text=text)


def _finding(severity: Severity, kind: str, path: Path, action_id: int, text: str) -> Finding:
    """Return a finding at the line that holds this action's id."""
    line = _line_of(path, rf"\s*(?:id|label_id):\s*0*{action_id}\s*")
    return Finding(severity=severity, kind=kind, path=shown(path), line=line, text=text)


def _line_of(path: Path, pattern: str) -> int | None:
    for number, line in enumerate(_lines(path), start=1):
        if re.fullmatch(pattern, line):
            return number
    return None


def _lines(path: Path) -> list[str]:
    return _text(path).splitlines()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""  # read_label_map named that


def _entry_findings(path: Path) -> Iterator[Finding]:
    """Yield the lines that AVA's way of reading a pbtxt passes over, and entries it mixes up."""
    lines = _lines(path)
    if path.suffix.lower() in (".csv", ".json") or any(ID_LINE.fullmatch(line) for line in lines):
        return  # their readers leave no line out
    text = _text(path)
    for match in _CONTROL.finditer(text):
        line_of_match = text.count("\n", 0, match.start()) + 1
        fault = f"the line holds {match[0]!r}, which is no text; remove it."
        yield _line_finding(path, line_of_match, fault)
    fields: list[str] | None = None  # of the open entry, None between entries
    number = 0
    for number, line in enumerate(lines, start=1):
        fault = ""
        field = _FIELD.fullmatch(line)
        if _ENTRY.fullmatch(line):
            if fields is not None:
                fault = "an entry begins inside another; close that with } first."
            fields = []
        elif line.strip() == "}":
            if fields is None:
                fault = "no entry is open here; remove the line."
            elif not {"id", "label_id"} & set(fields):
                fault = "the entry has no id and is passed over; add the line '  label_id: 1'."
            fields = None
        elif field is not None:
            fault = _field_fault(field[1], fields)
            if fields is not None:
                fields.append("id" if field[1] == "label_id" else field[1])
        elif line.strip() and not line.lstrip().startswith("#"):
            fault = (
                "the line is not understood and passed over; fields begin with exactly two blanks, "
                "as in '  name: \"stand\"'."
            )
        if fault:
            yield _line_finding(path, number, f"{line.strip()[:60]}: {fault}")
    if fields is not None:
        yield _line_finding(
            path, number, "the file ends inside an entry; if it is cut short, copy it again."
        )


def _field_fault(name: str, fields: list[str] | None) -> str:
    if fields is None:
        return "the field stands outside an entry; put it between 'label {' and '}'."
    if (name if name != "label_id" else "id") in fields:
        return "the entry has this field already; keep one."
    if name == "label_type" and "id" not in fields:
        return "the group is passed over here; put it below the id."
    return ""


def _line_finding(path: Path, line: int, text: str) -> Finding:
    return Finding(severity="warning", kind="label_map", path=shown(path), line=line, text=text)
