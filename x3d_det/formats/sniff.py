"""Which form a file has, told from its suffix and its content; doubtful files keep several.

A form is only named where the content cannot be another one that makes sense. Nothing
is checked here: that is the readers' work.
"""

import json
import os
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from x3d_det.formats.coco_persons import PERSON
from x3d_det.formats.foreign_files import read_text
from x3d_det.formats.frame_lists import HEADER, IMAGE_SUFFIXES
from x3d_det.formats.keyframe_lists import VIDEO_SUFFIXES
from x3d_det.io.ava_rows import NUMBER, read_bytes
from x3d_det.io.label_entries import ID_COLUMNS, ID_LINE, NAME_COLUMNS

_LOOKED_AT = 2000  # lines of a text file
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)


def candidate_forms(path: str | os.PathLike[str]) -> list[str]:
    """Return the names of the forms that the file may have: one, several, or none.

    Raises:
        DataError: the file cannot be read.
    """
    file = Path(path)
    if file.is_dir():
        return ["frames-folder"]
    suffix = file.suffix.lower()
    if suffix in (".pkl", ".pickle"):
        return ["mmaction2-proposals"]
    if suffix == ".xml":
        return ["cvat"]
    if file.is_file() and zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            inside = {Path(name).suffix.lower() for name in archive.namelist()}
        if ".xml" in inside:
            return ["cvat"]
        return _json_forms(path) if ".json" in inside else []
    if suffix == ".json":
        return _json_forms(path)
    return _text_forms(_first_lines(path))


def _json_forms(path: str | os.PathLike[str]) -> list[str]:
    try:
        content = json.loads(read_text(path, suffix=".json"))
    except (ValueError, RecursionError):
        return []  # the reader says what is wrong with it
    if isinstance(content, list):
        is_results = any(isinstance(item, dict) and "image_id" in item for item in content[:1])
        return ["coco-results"] if is_results or not content else ["label-json"]
    if not isinstance(content, dict):
        return []
    if any(key.startswith("_via_") for key in content) or {"project", "config"} <= set(content):
        return ["via"]
    if isinstance(content.get("videos"), list) and "annotations" in content:
        return ["coco-video"]
    if "images" in content and "annotations" in content:
        return ["coco-persons" if _is_of_persons(content) else "coco"]
    if any(isinstance(value, dict) and "regions" in value for value in content.values()):
        return ["via"]
    return ["label-json"]


def _is_of_persons(content: dict) -> bool:
    categories = content.get("categories")
    names = [item.get("name") for item in categories or [] if isinstance(item, dict)]
    return PERSON in [name.lower() for name in names if isinstance(name, str)]


def _first_lines(path: str | os.PathLike[str]) -> list[str]:
    content = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    lines = content.decode("utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip()][:_LOOKED_AT]


def _text_forms(lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    first = lines[0]
    if first.split()[:1] == [HEADER[0]]:
        return ["frame-list"]
    if first.startswith(("filename,file_size,", "# Exported using VIA")):
        return ["via"]
    if any(re.match(r"  (name|id|label_id):", line) for line in lines):
        return ["pbtxt-item" if any(line.startswith("item") for line in lines) else "pbtxt"]
    if all(ID_LINE.fullmatch(line) for line in lines):
        return ["label-text"]
    # A spreadsheet's separators are guessed through: the reader then names the fault's line.
    separator = max((",", "\t", ";"), key=first.count)
    header = {cell.strip().lower() for cell in first.split(separator)}
    if header & set(ID_COLUMNS) and header & set(NAME_COLUMNS):
        return ["label-csv"]
    table = [[cell.strip() for cell in line.split(separator)] for line in lines]
    if len(table[0]) >= 5 and Path(table[0][3]).suffix.lower() in IMAGE_SUFFIXES:
        return ["frame-list"]
    widths = {len(cells) for cells in table}
    by_widths: tuple[tuple[set[int], Callable[[list[list[str]]], list[str]]], ...] = (
        ({1}, _forms_of_one_column),
        ({2}, _forms_of_two_columns),
        ({2, 7, 8}, _forms_of_box_rows),
    )
    for allowed, forms_of in by_widths:
        if widths <= allowed:
            forms = forms_of(table)
            return forms if separator == "," else forms[:1]
    return []


def _forms_of_one_column(table: list[list[str]]) -> list[str]:
    cells = [row[0] for row in table]
    if all(NUMBER.fullmatch(cell) and len(cell.partition(".")[0]) <= 5 for cell in cells):
        return ["included-seconds"]
    if all(Path(cell).suffix.lower() in VIDEO_SUFFIXES for cell in cells):
        return ["file-names"]
    return ["video-ids"]


def _forms_of_two_columns(table: list[list[str]]) -> list[str]:
    """`video,0902` is a keyframe, `12,stand` an action; `stand,12` could be either."""
    if not all(NUMBER.fullmatch(row[1]) for row in table):
        return ["label-csv"]
    is_padded = any(len(row[1]) >= 4 for row in table)
    if is_padded or len({row[0] for row in table}) < len(table):
        return ["keyframes"]
    return ["keyframes", "label-csv"]


def _forms_of_box_rows(table: list[list[str]]) -> list[str]:
    """Tell rows of boxes apart by their seventh and eighth columns."""
    full = [row for row in table if len(row) == 8]
    if not full:
        has_fractions = any("." in row[1] for row in table)
        return ["ava-kinetics" if has_fractions else "ava-v1.0"]
    if any(row[6] in ("", "-1") for row in full):
        return ["person-boxes"]
    if all(_WHOLE.fullmatch(row[7]) for row in full):
        return ["ava"]
    if _has_scores_of_actions(full):
        return ["detections"]
    certain = all(NUMBER.fullmatch(row[7]) and float(row[7]) == 1 for row in full)
    return ["person-boxes", "detections"] + (["result-ground-truth"] if certain else [])


def _has_scores_of_actions(rows: list[list[str]]) -> bool:
    """Return whether a box has several scores: then they are not those of a person."""
    scores: dict[tuple[str, ...], str] = {}
    return any(scores.setdefault(tuple(row[:6]), row[7]) != row[7] for row in rows)
