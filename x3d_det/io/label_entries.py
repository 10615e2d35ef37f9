"""Entries of label maps in csv, json and `id: name` text, before `label_map` checks them.

Every entry keeps the place where it stands, for messages. Nothing here decides
whether an id is allowed or a name is missing.
"""

import csv
import io
import json
import re
from dataclasses import dataclass

from x3d_det.errors import DataError

ID_COLUMNS = ("action_id", "id", "label_id", "class_id")
NAME_COLUMNS = ("name", "label_name", "action_name", "class_name", "action", "label", "class")
GROUP_COLUMNS = ("group", "label_type", "supercategory")

ID_LINE = re.compile(r"\s*(\d{1,9})\s*:\s*(.*?)\s*", re.ASCII)
"""A line of MMAction2's label_map.txt, as in `12: stand`."""

_WHOLE = re.compile(r"[+-]?\d{1,9}", re.ASCII)


@dataclass(frozen=True)
class LabelEntry:
    """One action as a file states it.

    Args:
        where: place in the file, with the file's name.
        action_id: whole number, or the text that should have been one.
        name: may be empty.
        group: empty where the file has none.
    """

    where: str
    action_id: int | str
    name: str
    group: str = ""


def csv_entries(path: str, text: str) -> list[LabelEntry]:
    """Return the entries of a csv: a header that names an id and a name, or two bare columns.

    Raises:
        DataError: no id and name column can be told, or a line is too short or too long.
    """
    rows = _csv_rows(path, text)
    if not rows:
        return []
    header = [cell.strip().lower() for cell in rows[0][1]]
    id_place, name_place = _column(header, ID_COLUMNS), _column(header, NAME_COLUMNS)
    if id_place is not None and name_place is not None:
        width, group_place = len(header), _column(header, GROUP_COLUMNS)
        rows = rows[1:]
    else:
        id_place, name_place = _bare_columns(path, rows[0][1])
        width, group_place = 2, None
    entries = []
    for line, cells in rows:
        where = f"{path}:{line}"
        if len(cells) != width:
            raise DataError(
                f"{where}: {len(cells)} columns ({','.join(cells)[:60]!r}) where the first line "
                f"has {width}; a name that holds a comma stands in double quotes."
            )
        group = "" if group_place is None else cells[group_place].strip()
        entries.append(LabelEntry(where, _whole(cells[id_place]), cells[name_place].strip(), group))
    return entries


def _csv_rows(path: str, text: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    rows = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num}: {error}; save the label map as plain csv."
        ) from None
    return rows


def _bare_columns(path: str, cells: list[str]) -> tuple[int, int]:
    """Return the places of id and name in a csv without a header."""
    if len(cells) == 2:
        is_id = [_WHOLE.fullmatch(cell.strip()) is not None for cell in cells]
        if is_id[0] != is_id[1]:
            return (0, 1) if is_id[0] else (1, 0)
    raise DataError(
        f"{path}:1: {','.join(cells)[:60]!r} tells no id and no name; a label map in csv begins "
        "with a header such as action_id,name,group, or has two columns, one of whole numbers."
    )


def json_entries(path: str, text: str, *, first_id: int) -> list[LabelEntry]:
    """Return the entries of a json label map in any form that projects use.

    These are `{"1": "stand"}`, `{"stand": 1}`, `["stand", ...]` (numbered from
    `first_id`), and a list of `{"id": 1, "name": "stand", "supercategory": ...}`, bare or
    as the value of "categories" (COCO).

    Raises:
        DataError: no json, or another structure.
    """
    try:
        content = json.loads(text, object_pairs_hook=_Pairs)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise DataError(f"{path}:{line}: this is no json ({error}).") from None
    if isinstance(content, _Pairs):
        categories = [value for key, value in content if key == "categories"]
        if categories and isinstance(categories[0], list):
            content = categories[0]
        else:
            return _entries_of_object(path, content)
    if isinstance(content, list) and content and not isinstance(content, _Pairs):
        if all(isinstance(item, str) for item in content):
            return [
                LabelEntry(f"{path}: entry {place}", place, name)
                for place, name in enumerate(content, start=first_id)
            ]
        if all(isinstance(item, _Pairs) for item in content):
            return [_category(path, place, dict(item)) for place, item in enumerate(content)]
    raise DataError(
        f'{path}: no label map; json label maps are {{"1": "stand"}}, {{"stand": 1}}, '
        '["stand", ...] or [{"id": 1, "name": "stand"}, ...].'
    )


class _Pairs(list):
    """A json object with all its pairs, repeated keys too: a dict would drop them silently."""


def _entries_of_object(path: str, pairs: _Pairs) -> list[LabelEntry]:
    values = [value for _, value in pairs]
    if all(isinstance(value, str) for value in values):
        return [LabelEntry(f'{path}: "{key}"', _whole(key), value) for key, value in pairs]
    if all(type(value) is int for value in values):
        return [LabelEntry(f'{path}: "{key}"', value, key) for key, value in pairs]
    allowed = str if isinstance(values[0], str) else int
    odd, value = next(pair for pair in pairs if type(pair[1]) is not allowed)
    raise DataError(
        f'{path}: the value of "{odd[:60]}" is {str(value)[:60]}; all values must be names, as in '
        '{"1": "stand"}, or all whole numbers, as in {"stand": 1}.'
    )


def _category(path: str, place: int, item: dict[str, object]) -> LabelEntry:
    found = {key: item.get(key) for key in ("id", "name", "supercategory")}
    action_id = found["id"]
    return LabelEntry(
        f"{path}: entry {place}",
        action_id if type(action_id) is int else repr(action_id),
        found["name"] if isinstance(found["name"], str) else "",
        found["supercategory"] if isinstance(found["supercategory"], str) else "",
    )


def id_line_entries(path: str, text: str) -> list[LabelEntry]:
    """Return the entries of lines `12: stand`.

    Raises:
        DataError: a line is not of this form.
    """
    entries = []
    for line, content in enumerate(text.splitlines(), start=1):
        if not content.strip():
            continue
        match = ID_LINE.fullmatch(content)
        if match is None:
            raise DataError(f"{path}:{line}: {content[:60]!r} is not of the form 12: stand.")
        entries.append(LabelEntry(f"{path}:{line}", int(match[1]), match[2]))
    return entries


def _column(header: list[str], names: tuple[str, ...]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _whole(text: str) -> int | str:
    stripped = text.strip()
    return int(stripped) if _WHOLE.fullmatch(stripped) else stripped
