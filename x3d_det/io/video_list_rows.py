"""The lines of lists of videos as rows, in each form; `video_lists` checks what they say."""

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from x3d_det.errors import DataError
from x3d_det.io.class_names import loose_name

_NUM_SHOWN = 10
_KINETICS_COLUMNS = ("youtube_id", "time_start", "time_end")
_TEST_LIST = "a list without labels (of a test set) cannot be used: nothing could be scored"


@dataclass(frozen=True, slots=True)
class Row:
    """One video as a list names it."""

    place: str
    shown: str
    """The video in the list's own words."""
    path: Path | None
    """Where it must be; None where it was looked for and not found."""
    label: int | str
    """Index or name of its class."""


@dataclass
class Faults:
    """What is wrong with a list: the first faults in full, all counted by what mends them."""

    texts: list[str] = field(default_factory=list)
    remedies: Counter[str] = field(default_factory=Counter)

    def add(self, text: str, remedy: str) -> None:
        """Note one fault."""
        self.remedies[remedy] += 1
        if self.number <= _NUM_SHOWN:
            self.texts.append(text)

    @property
    def number(self) -> int:
        """All faults."""
        return self.remedies.total()

    def raise_if_any(self, path: Path, num_rows: int) -> None:
        """Raise all of them as one `DataError`.

        Args:
            path: the list.
            num_rows: what it lists, with faults or without.
        """
        if not self.number:
            return
        counts = "; ".join(f"{remedy}: {number:,}" for remedy, number in self.remedies.items())
        more = "" if self.number <= _NUM_SHOWN else f", the first {_NUM_SHOWN} named above"
        total = f"{path}: faults in the {num_rows:,} videos that it lists{more}: {counts}."
        raise DataError("\n".join([*self.texts, total]))


def label_rows(
    path: Path, text: str, *, videos_folder: Path, extensions: Sequence[str], faults: Faults
) -> list[Row]:
    """Return the rows of `path label` lines, separated by blanks, a tab or a comma.

    A path may hold blanks; the label is what stands behind the last separator. A path
    without an ending is looked for with each of `extensions`.
    """
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        name, label = _split_line(line.strip())
        fault = _line_fault(name, label, extensions)
        if fault:
            faults.add(f"{place}: {line.strip()[:80]!r} {fault}", "lines other than `path label`")
            continue
        video = _with_ending(videos_folder / name, extensions)
        rows.append(Row(place, name, video, int(label)))
    return rows


def _split_line(line: str) -> tuple[str, str]:
    cut = max(line.rfind(separator) for separator in " \t,")
    if cut < 0:
        return line, ""
    name, label = line[:cut].rstrip(), line[cut + 1 :]
    if line[cut] != "," and name.endswith(","):
        name = name[:-1].rstrip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1].replace('""', '"')
    return name, label


def _line_fault(name: str, label: str, extensions: Sequence[str]) -> str:
    """Return what keeps a line from being a video and its label, or nothing."""
    if label and not name:
        return "has a label and no path."
    if not label or _is_video(f"{name} {label}", extensions):
        return f"has no label; {_TEST_LIST}."
    if not _is_whole(label):
        return f"ends in {label[:40]!r}, which is no label: a whole number from 0 is expected."
    before, second = _split_line(name)
    if _is_whole(second) and _is_video(before, extensions):
        return "has two numbers; each video has one label."
    if _is_whole(second) and not _is_video(name, extensions):
        return (
            "looks like a folder of images, its number of frames and a label (MMAction2's "
            "rawframes); videos are read from their files: give the list of videos, `path label`."
        )
    return ""


def _is_whole(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 10


def _is_video(name: str, extensions: Sequence[str]) -> bool:
    return Path(name).suffix[1:].lower() in extensions


def _with_ending(path: Path, extensions: Sequence[str]) -> Path:
    if _is_video(path.name, extensions) or is_file(path):
        return path
    candidates = (Path(f"{path}.{ending}") for ending in extensions)
    return next((candidate for candidate in candidates if is_file(candidate)), path)


def is_file(path: Path) -> bool:
    """Return whether there is such a file; names that no system allows are none."""
    return os.path.isfile(path)  # unlike `Path.is_file`, it bears names that are too long


def kinetics_rows(
    path: Path, text: str, *, videos_folder: Path, extensions: Sequence[str], faults: Faults
) -> list[Row]:
    """Return the rows of an official Kinetics csv.

    A segment is looked for as `<id>_<000010>_<000020>` and as `<id>`, in the folder of its
    class (blanks may be underscores) or right below `videos_folder`.

    Raises:
        DataError: the csv cannot be parsed or lacks a column.
    """
    lines = list(_csv_lines(path, text))
    labels = {line["label"] for _, line in lines}
    files = _FilesByName(videos_folder, extensions, classes={loose_name(name) for name in labels})
    rows = []
    for place, line in lines:
        try:
            start, end = (int(float(line[name])) for name in _KINETICS_COLUMNS[1:])
        except (ValueError, OverflowError):
            times = f"{line['time_start'][:20]!r} and {line['time_end'][:20]!r}"
            faults.add(f"{place}: {times} are no seconds.", "lines without start and end")
            continue
        segment = f"{line['youtube_id']}_{start:06d}_{end:06d}"
        found = files.find((segment, line["youtube_id"]), line["label"])
        rows.append(Row(place, segment, found, line["label"]))
    return rows


def _csv_lines(path: Path, text: str) -> list[tuple[str, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    lines = []
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        _check_header(path, header)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{path}:{reader.line_num}: {len(cells)} columns where the header has "
                    f"{len(header)}; a label that holds a comma stands in double quotes."
                )
            values = dict(zip(header, (cell.strip() for cell in cells), strict=True))
            values["label"] = values["label"].strip('"')
            lines.append((f"{path}:{reader.line_num}", values))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: {error}; save the list as plain csv.") from None
    return lines


def _check_header(path: Path, header: list[str]) -> None:
    if "label" not in header:
        raise DataError(f"{path}:1: there is no column label; {_TEST_LIST}.")
    for name in _KINETICS_COLUMNS:
        if name not in header:
            raise DataError(
                f"{path}:1: there is no column {name}; the official lists begin with "
                "label,youtube_id,time_start,time_end,split."
            )


class _FilesByName:
    """The videos right below a folder and in its folders; listed once, not asked one by one."""

    def __init__(self, folder: Path, extensions: Sequence[str], *, classes: set[str]) -> None:
        self._classes = classes
        self._found: dict[str, dict[str, Path]] = {}
        order = {ending: place for place, ending in enumerate(extensions)}
        for parent, file in _two_levels(folder):
            ending = file.suffix[1:].lower()
            if ending not in order:
                continue
            places = self._found.setdefault(file.stem, {})
            known = places.get(parent)
            if known is None or order[ending] < order[known.suffix[1:].lower()]:
                places[parent] = file

    def find(self, names: Sequence[str], label: str) -> Path | None:
        """Return the video with one of these names, in its class's folder before others.

        A file in the folder of another class is another segment of the same film.
        """
        own = loose_name(label)
        for name in names:
            places = self._found.get(name, {})
            for parent in (own, "", *sorted(set(places) - self._classes - {own, ""})):
                if parent in places:
                    return places[parent]
        return None


def _two_levels(folder: Path) -> list[tuple[str, Path]]:
    """Return (loose name of the folder inside, file) of all files; the name of `folder` is ""."""
    found = []
    for entry in listed(folder):
        if entry.is_dir():
            found += [(loose_name(entry.name), file) for file in listed(entry)]
        else:
            found.append(("", entry))
    return found


def listed(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted, without hidden names.

    Raises:
        DataError: it is no folder or cannot be listed.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: no folder of videos: {error.strerror or error}.") from error
    return [folder / name for name in names]


def folder_rows(
    folder: Path, *, extensions: Sequence[str]
) -> tuple[list[Row], list[str], list[str]]:
    """Return the rows of a tree of class folders, the folders' names, and notes."""
    classes = [entry for entry in listed(folder) if entry.is_dir()]
    if not classes:
        raise DataError(f"{folder}: holds no folders; each class is a folder with its videos.")
    rows, empty, num_others = [], [], 0
    for parent in classes:
        files = listed(parent)
        videos = [file for file in files if _is_video(file.name, extensions)]
        num_others += len(files) - len(videos)
        if not videos:
            empty.append(parent.name)
        for file in videos:
            rows.append(Row(str(parent), f"{parent.name}/{file.name}", file, parent.name))
    notes = []
    if num_others:
        endings = ", ".join(extensions)
        notes.append(f"{num_others:,} files or folders in class folders end in none of {endings}.")
    if empty:
        notes.append(f"{len(empty):,} class folders hold no video: {named(empty)}.")
    return rows, [parent.name for parent in classes], notes


def named(names: Sequence[str]) -> str:
    """Return the first names with commas, and how many more there are."""
    rest = len(names) - _NUM_SHOWN
    return ", ".join(names[:_NUM_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")
