"""Action names and ids: AVA's own list, and label maps (pbtxt) of either form.

A label map is read line by line as AVA's official program reads it: only lines
that begin with exactly two blanks and `name:`, `id:`, `label_id:` or
`label_type:` count, and each id line closes an entry.
"""

import csv
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from x3d_det.errors import DataError
from x3d_det.io.files import atomic_write

ACTION_GROUPS = ("PERSON_MOVEMENT", "OBJECT_MANIPULATION", "PERSON_INTERACTION")
"""AVA's three groups, in the order of its papers."""

MAX_ACTION_ID = 1_000_000
"""Action id a is column a - 1 of a model: larger ids are mistakes."""

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


def read_label_map(path: str | os.PathLike[str]) -> LabelMap:
    """Return the label map of a pbtxt file.

    Args:
        path: entries `label { name, label_id, label_type }` (AVA's 80 actions) or
            `item { name, id }` (the evaluated 60).

    Raises:
        DataError: missing or empty file, no entry, an id that is no whole number
            in 1 to 1,000,000 or occurs twice, an entry without a name; all at once.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not UTF-8; save the label map as plain UTF-8 text."
        ) from error
    except OSError as error:
        raise DataError(f"cannot read the label map {path}: {error.strerror or error}.") from error

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
            if not _ID.fullmatch(value) or not 1 <= int(value) <= MAX_ACTION_ID:
                faults.append(
                    f"{where}: an action id is a whole number from 1 to {MAX_ACTION_ID:,}."
                )
            elif int(value) in names:
                faults.append(
                    f"{where}: action id {value} occurs twice; give every action its own."
                )
            elif name is None:
                faults.append(f'{where}: no name stands before this id; put name: "..." above it.')
            else:
                last_id = int(value)
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


def write_label_map(label_map: LabelMap, path: str | os.PathLike[str]) -> None:
    """Write a pbtxt in AVA's form `label { name, label_id, label_type }`, atomically.

    Raises:
        DataError: a name holds a double quote or a line break, which the form cannot carry.
    """
    entries = []
    for action_id, name in label_map.names.items():
        if re.search(r'["\r\n]', name):
            raise DataError(
                f"{path}: the name {name!r} of action {action_id} holds a quote or a line break; "
                "a label map cannot carry it."
            )
        group = label_map.groups.get(action_id)
        last = f"  label_type: {group}\n" if group else ""
        entries.append(f'label {{\n  name: "{name}"\n  label_id: {action_id}\n{last}}}\n')
    with atomic_write(path, "w") as file:
        file.write("".join(entries))
