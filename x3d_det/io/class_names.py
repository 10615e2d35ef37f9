"""The names of classes in the order of their labels, from the files that projects use."""

import functools
import re
from pathlib import Path

from x3d_det.errors import DataError
from x3d_det.io.ava_rows import read_bytes
from x3d_det.io.label_entries import LabelEntry, csv_entries, json_entries

_NO_LETTERS = re.compile(r"[\W_]+")


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Return the names of classes; the place of a name is its label.

    Args:
        path: `.csv` with an id and a name column; `.json` as `{"name": id}` (PySlowFast's),
            `{"id": "name"}` or a list; any other ending: one name a line. Ids count from 0.

    Raises:
        DataError: the file cannot be read or is empty, a name is missing or stands twice, or
            the ids are not 0 to the number of names less 1.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte 0x{error.object[error.start]:02x} is not UTF-8; save it as UTF-8."
        ) from None
    suffix = Path(path).suffix.lower()
    if suffix == ".csv":
        entries = csv_entries(str(path), text)
    elif suffix == ".json":
        entries = json_entries(str(path), text, first_id=0)
    else:
        entries = _line_entries(str(path), text)
    return _in_order(str(path), entries)


@functools.lru_cache(maxsize=4096)  # lists name few classes many times
def loose_name(name: str) -> str:
    """Return a name without what folders and lists write differently: case, blanks, marks."""
    return _NO_LETTERS.sub("_", name.casefold()).strip("_")


def _line_entries(path: str, text: str) -> list[LabelEntry]:
    lines = text.rstrip().split("\n") if text.strip() else []
    return [LabelEntry(f"{path}:{number + 1}", number, line) for number, line in enumerate(lines)]


def _in_order(path: str, entries: list[LabelEntry]) -> tuple[str, ...]:
    if not entries:
        raise DataError(f"{path}: holds no class; one name a line is expected.")
    by_id: dict[int, str] = {}
    where: dict[str, str] = {}
    for entry in entries:
        name = entry.name.strip().strip('"').strip()
        if not name:
            raise DataError(f"{entry.where}: the class has no name.")
        if not isinstance(entry.action_id, int) or entry.action_id in by_id:
            raise DataError(
                f"{entry.where}: the id {entry.action_id} of {name!r} is no whole number or "
                "stands twice; every class has its own, from 0."
            )
        if name in where:
            raise DataError(f"{entry.where}: {name!r} stands at {where[name]} already.")
        by_id[entry.action_id], where[name] = name, entry.where
    if sorted(by_id) != list(range(len(by_id))):
        raise DataError(
            f"{path}: the ids of {len(by_id)} classes run from {min(by_id)} to {max(by_id)}; they "
            f"are the outputs of a network and must be 0 to {len(by_id) - 1}, each once."
        )
    return tuple(by_id[label] for label in range(len(by_id)))
