"""Action names and ids: AVA's own list, and label maps as pbtxt, csv, json and text.

A pbtxt is read line by line as AVA's official program reads it: only lines that
begin with exactly two blanks and `name:`, `id:`, `label_id:` or `label_type:`
count, and each id line closes an entry. Of the other forms `label_entries` tells.
"""

import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from x3d_det.errors import DataError
from x3d_det.io.files import atomic_write
from x3d_det.io.label_entries import (
    ID_LINE,
    LabelEntry,
    csv_entries,
    id_line_entries,
    json_entries,
)

ACTION_GROUPS = ("PERSON_MOVEMENT", "OBJECT_MANIPULATION", "PERSON_INTERACTION")
"""AVA's three groups, in the order of its papers."""

MAX_ACTION_ID = 1_000_000
"""Action id a is column a - 1 of a model: larger ids are mistakes."""

LabelMapForm = Literal["label", "item", "csv", "json", "text"]
"""Forms of label maps: AVA's 80 actions (pbtxt `label`), its evaluated 60 (pbtxt `item`),
`action_id,name,group`, `{"1": "stand"}`, and MMAction2's `1: stand`."""

_ZERO_HINT = (
    " Ids that count from 0 are class indices: tools/convert_annotations.py --first-id 0 "
    "adds 1 to each."
)
_AVA_ACTIONS = Path(__file__).with_name("ava_actions.csv")
_FIELD = re.compile(r"^  (name|id|label_id|label_type):\s*(.*?)\s*$")
_ID = re.compile(r"\d{1,9}", re.ASCII)
_QUOTED = re.compile(r'^"([^"]*)"$')


@dataclass(frozen=True)
class LabelMap:
    """The actions that a data set or an evaluation knows.

    Args:
        names: action id (1 or more) to name.
        groups: action id to group, for the ids that have one.
    """

    names: Mapping[int, str]
    groups: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for action_id in self.names:
            if not 1 <= action_id <= MAX_ACTION_ID:
                raise ValueError(f"action id {action_id} is not in 1 to {MAX_ACTION_ID:,}.")
        strangers = sorted(set(self.groups) - set(self.names))
        if strangers:
            raise ValueError(f"action id {strangers[0]} has a group but no name.")
        ordered = {action_id: self.names[action_id] for action_id in sorted(self.names)}
        object.__setattr__(self, "names", MappingProxyType(ordered))
        object.__setattr__(self, "groups", MappingProxyType(dict(self.groups)))

    def __reduce__(self) -> tuple[type["LabelMap"], tuple[dict[int, str], dict[int, str]]]:
        """Pickle by content: workers of a data loader receive one."""
        return LabelMap, (dict(self.names), dict(self.groups))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def action_ids(self) -> tuple[int, ...]:
        """The ids, rising; they need not follow each other (AVA's 60 end at 80)."""
        return tuple(self.names)


def read_label_map(path: str | os.PathLike[str], *, first_id: int = 1) -> LabelMap:
    """Return the label map of a file: json or csv by its suffix, else pbtxt or `id: name` lines.

    Args:
        path: pbtxt entries `label { name, label_id, label_type }` (AVA's 80 actions) or
            `item { name, id }` (the evaluated 60); csv with a header such as
            `action_id,name,group` or with two columns; json `{"1": "stand"}`,
            `{"stand": 1}`, `["stand", ...]` (numbered from 1) or COCO's categories; lines
            `1: stand` (MMAction2).
        first_id: 0 where the file counts classes from 0, as SlowFast's demo json does:
            every id gets 1 added. 1 leaves them; an id 0 is then refused, not guessed at.
            A json list without ids is numbered from 1 in both cases.

    Raises:
        DataError: missing or empty file, no entry, an id that is no whole number
            in 1 to 1,000,000 or occurs twice, an entry without a name; all at once.
    """
    if first_id not in (0, 1):
        raise ValueError(f"first_id is {first_id}; ids begin at 0 or at 1.")
    text = _read_text(path)
    suffix = Path(path).suffix.lower()
    if suffix == ".json":
        entries = json_entries(str(path), text, first_id=first_id)
    elif suffix == ".csv":
        entries = csv_entries(str(path), text)
    elif any(ID_LINE.fullmatch(line) for line in text.splitlines()):
        entries = id_line_entries(str(path), text)
    else:
        return _read_pbtxt(path, text, shift=1 - first_id)
    return _checked(path, entries, shift=1 - first_id)


def _read_text(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not UTF-8; save the label map as plain UTF-8 text."
        ) from error
    except OSError as error:
        raise DataError(f"cannot read the label map {path}: {error.strerror or error}.") from error


def _checked(
    path: str | os.PathLike[str], entries: Sequence[LabelEntry], *, shift: int
) -> LabelMap:
    """Return the entries as a label map, `shift` added to every id, or name all faults."""
    names: dict[int, str] = {}
    groups: dict[int, str] = {}
    faults: list[str] = []
    for entry in entries:
        action_id = entry.action_id + shift if isinstance(entry.action_id, int) else 0
        if not 1 <= action_id <= MAX_ACTION_ID:
            faults.append(
                f"{entry.where}: id {entry.action_id}: an action id is a whole number from 1 to "
                f"{MAX_ACTION_ID:,}.{_ZERO_HINT if entry.action_id == 0 else ''}"
            )
        elif action_id in names:
            faults.append(
                f"{entry.where}: action id {entry.action_id} occurs twice; "
                "give every action its own."
            )
        elif not entry.name:
            faults.append(f"{entry.where}: action id {entry.action_id} has no name; give it one.")
        else:
            names[action_id] = entry.name
            if entry.group:
                groups[action_id] = entry.group
    if faults:
        raise DataError("\n".join(faults))
    if not names:
        raise DataError(f"{path}: no action found; the label map is empty.")
    return LabelMap(names, groups)


def _read_pbtxt(path: str | os.PathLike[str], text: str, *, shift: int) -> LabelMap:
    names: dict[int, str] = {}
    groups: dict[int, str] = {}
    faults: list[str] = []
    name: str | None = None
    last_id: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        match = _FIELD.match(line)
        if match is None:
            continue
        key, value = match.groups()
        where = f"{path}:{number}: {line.strip()}"
        if key == "name":
            quoted = _QUOTED.match(value)
            if quoted is None:
                faults.append(f'{where}: a name stands in double quotes, as in name: "stand".')
            name, last_id = (quoted[1] if quoted else ""), None
        elif key == "label_type":
            if last_id is not None:
                groups[last_id] = value
        else:
            last_id = None
            if not _ID.fullmatch(value) or not 1 <= int(value) + shift <= MAX_ACTION_ID:
                faults.append(
                    f"{where}: an action id is a whole number from 1 to {MAX_ACTION_ID:,}."
                )
            elif int(value) + shift in names:
                faults.append(
                    f"{where}: action id {value} occurs twice; give every action its own."
                )
            elif name is None:
                faults.append(f'{where}: no name stands before this id; put name: "..." above it.')
            else:
                last_id = int(value) + shift
                names[last_id] = name
            name = None
    if faults:
        raise DataError("\n".join(faults))
    if not names:
        raise DataError(
            f"{path}: no action found; each entry needs the lines '  name: \"...\"' and '  id: 1' "
            "(or '  label_id: 1'), each beginning with exactly two blanks."
        )
    return LabelMap(names, groups)


def ava_label_map(num_classes: int = 60) -> LabelMap:
    """Return AVA's own actions.

    Args:
        num_classes: 80, all actions of AVA v2.x, or 60, those that are evaluated
            (at least 25 instances in validation and test; ids still reach 80).

    Raises:
        ValueError: another number.

    Source: ava_action_list_v2.2.pbtxt and ..._for_activitynet_2019.pbtxt.
    """
    if num_classes not in (60, 80):
        raise ValueError(f"num_classes is {num_classes}; AVA has lists of 60 and of 80 actions.")
    names: dict[int, str] = {}
    groups: dict[int, str] = {}
    with open(_AVA_ACTIONS, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if num_classes == 80 or row["evaluated"] == "1":
                names[int(row["action_id"])] = row["name"]
                groups[int(row["action_id"])] = row["group"]
    return LabelMap(names, groups)


def write_label_map(
    label_map: LabelMap, path: str | os.PathLike[str], *, form: LabelMapForm | None = None
) -> None:
    """Write a label map, atomically. Groups are kept by the forms `label` and `csv` alone.

    Args:
        label_map: what to write.
        path: the file.
        form: None goes by the suffix: csv for .csv, json for .json, else `label` (pbtxt).

    Raises:
        DataError: a name that the form cannot carry: a double quote in a pbtxt, a line break
            in a pbtxt or text.
    """
    if form is None:
        by_suffix: dict[str, LabelMapForm] = {".csv": "csv", ".json": "json"}
        form = by_suffix.get(Path(path).suffix.lower(), "label")
    if form not in get_args(LabelMapForm):
        raise ValueError(f"form is {form!r}; it must be one of {get_args(LabelMapForm)}.")
    if form != "json":
        _check_names(label_map, path, form)
    with atomic_write(path, "w") as file:
        file.write(_formatted(label_map, form))


def _check_names(label_map: LabelMap, path: str | os.PathLike[str], form: LabelMapForm) -> None:
    """Raise where a name would not read back from this form as it is."""
    is_pbtxt = form in ("label", "item")
    for action_id, name in label_map.names.items():
        found = None
        if len(f"{name}.".splitlines()) > 1 or (is_pbtxt and '"' in name):
            found = "a quote or a line break" if is_pbtxt else "a line break"
        elif not is_pbtxt and (not name or name != name.strip()):
            found = "nothing, or blanks at its ends"
        if found is not None:
            raise DataError(
                f"{path}: the name {name!r} of action {action_id} holds {found}; "
                "a label map of this form cannot carry it."
            )


def _formatted(label_map: LabelMap, form: LabelMapForm) -> str:
    names, groups = label_map.names, label_map.groups
    if form == "json":
        texts = {str(action_id): name for action_id, name in names.items()}
        return json.dumps(texts, indent=1, ensure_ascii=False) + "\n"
    if form == "csv":
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["action_id", "name", "group"])
        writer.writerows([i, name, groups.get(i, "")] for i, name in names.items())
        return table.getvalue()
    if form == "text":
        return "".join(f"{action_id}: {name}\n" for action_id, name in names.items())
    if form == "item":
        return "".join(f'item {{\n  name: "{name}"\n  id: {i}\n}}\n' for i, name in names.items())
    return "".join(
        f'label {{\n  name: "{name}"\n  label_id: {action_id}\n'
        + (f"  label_type: {groups[action_id]}\n" if action_id in groups else "")
        + "}\n"
        for action_id, name in names.items()
    )
