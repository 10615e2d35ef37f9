"""Lists of videos with one label each, in the forms that Kinetics is used in.

A list is checked whole: every video is there, has a class, and stands once; what is
wrong is told at once, with its line.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from x3d_det.errors import DataError, did_you_mean
from x3d_det.io.ava_rows import read_bytes
from x3d_det.io.class_names import loose_name, read_class_names
from x3d_det.io.text import utf8_text
from x3d_det.io.video_list_rows import (
    Faults,
    Row,
    folder_rows,
    is_file,
    kinetics_rows,
    label_rows,
    named,
)

__all__ = [
    "VIDEO_EXTENSIONS",
    "VIDEO_LIST_FORMS",
    "LabelledVideo",
    "VideoList",
    "read_class_names",
    "read_video_list",
]

VIDEO_LIST_FORMS = ("auto", "pyslowfast", "mmaction2", "kinetics_csv", "class_folders")
VIDEO_EXTENSIONS = ("mp4", "mkv", "webm", "avi", "mov")


@dataclass(frozen=True, slots=True)
class LabelledVideo:
    """One video and its class."""

    path: Path
    label: int
    """Index of its class, from 0."""
    place: str
    """Where it is listed, as in `train.csv:12`, for messages."""


@dataclass(frozen=True)
class VideoList:
    """The videos of a list."""

    videos: tuple[LabelledVideo, ...]
    """In the order of the list."""
    class_names: tuple[str, ...]
    """In the order of their labels."""
    notes: tuple[str, ...]
    """What was left out or assumed, in words with counts."""


def read_video_list(
    path: str | Path,
    *,
    videos_folder: Path,
    class_names: tuple[str, ...] | None = None,
    form: str = "auto",
    extensions: Sequence[str] = VIDEO_EXTENSIONS,
    skip_missing: bool = False,
) -> VideoList:
    """Return the videos of a list, each of which is there.

    Args:
        path: the list, or the folder of class folders.
        videos_folder: where the list's paths start; absolute ones stay as they are.
        class_names: in the order of their labels. None: the folders or labels that the list
            names, in alphabetical order; of labels that are numbers, `class 0` and so on.
        form: one of `VIDEO_LIST_FORMS`. "pyslowfast" and "mmaction2" are lines `path label`,
            "kinetics_csv" is label,youtube_id,time_start,time_end,split, "class_folders" a
            folder with a folder of videos for each class. "auto" looks which it is. Lists
            without labels, and lists of frame folders, are refused.
        extensions: endings of videos, without dot, lower case.
        skip_missing: leave videos out that are not there, and note how many; otherwise they
            are a fault.

    Raises:
        DataError: the list cannot be read, is empty or of no such form, or has faults:
            missing videos, labels outside the classes, a video listed twice. All faults are
            counted, the first ones named with their lines.
        ValueError: an unknown form.
    """
    if form not in VIDEO_LIST_FORMS:
        allowed = ", ".join(VIDEO_LIST_FORMS)
        raise ValueError(
            f"form is {form!r}; allowed are {allowed}{did_you_mean(form, VIDEO_LIST_FORMS)}"
        )
    source, faults = Path(path), Faults()
    rows, folders, notes = _rows(source, videos_folder, form, extensions, faults)
    num_unread = faults.number
    if not rows and not num_unread:
        raise DataError(f"{source}: lists no video; is it the right file, and whole?")
    names = class_names if class_names is not None else _own_names(rows, folders, notes)
    videos, missing = _checked(rows, names, faults, skip_missing=skip_missing)
    faults.raise_if_any(source, len(rows) + num_unread)
    if missing:
        notes.append(f"{len(missing):,} of {len(rows):,} videos are missing: {named(missing)}.")
    if not videos:
        raise DataError(f"{source}: none of its {len(rows):,} videos is in {videos_folder}.")
    notes += _classes_without_videos(videos, names)
    return VideoList(tuple(videos), names, tuple(notes))


def _rows(
    source: Path, videos_folder: Path, form: str, extensions: Sequence[str], faults: Faults
) -> tuple[list[Row], list[str], list[str]]:
    """Return the rows, the names of class folders, and notes."""
    if source.is_dir() != (form == "class_folders") and form != "auto":
        found = "a folder" if source.is_dir() else "no folder"
        raise DataError(
            f"{source}: is {found}; the form class_folders needs a folder, the others a file."
        )
    if source.is_dir():
        return folder_rows(source, extensions=extensions)
    text = utf8_text(source, read_bytes(source))
    is_csv = form == "kinetics_csv" or (form == "auto" and _looks_official(text))
    read = kinetics_rows if is_csv else label_rows
    rows = read(source, text, videos_folder=videos_folder, extensions=extensions, faults=faults)
    return rows, [], []


def _looks_official(text: str) -> bool:
    header = text.lstrip().partition("\n")[0].lower()
    return "youtube_id" in header and "," in header


def _own_names(rows: Sequence[Row], folders: Sequence[str], notes: list[str]) -> tuple[str, ...]:
    """Return names for the classes of a list that comes without any."""
    texts = {*folders, *(row.label for row in rows if isinstance(row.label, str))}
    if texts:
        return tuple(sorted(texts))
    last = max((row.label for row in rows if isinstance(row.label, int)), default=-1)
    notes.append(f"the list names no classes; its labels are called class 0 to class {last}.")
    return tuple(f"class {label}" for label in range(last + 1))


def _checked(
    rows: Sequence[Row], names: tuple[str, ...], faults: Faults, *, skip_missing: bool
) -> tuple[list[LabelledVideo], list[str]]:
    """Return the videos without fault, and those that are missing where that is allowed."""
    label_of = _label_finder(names, faults)
    videos, missing = [], []
    places: dict[Path, str] = {}
    for row in rows:
        label = label_of(row)
        if row.path is None or not is_file(row.path):
            missing.append(row.shown)
            if not skip_missing:
                _add_missing(row, faults)
        elif row.path in places:
            faults.add(
                f"{row.place}: {row.shown} is listed at {places[row.path]} already.",
                "videos listed twice (take one of the lines out)",
            )
        elif label is not None:
            places[row.path] = row.place
            videos.append(LabelledVideo(row.path, label, row.place))
    return videos, missing


def _add_missing(row: Row, faults: Faults) -> None:
    looked = "" if row.path is None else f"; looked for {row.path}"
    faults.add(
        f"{row.place}: {row.shown} is missing{looked}.",
        "missing videos (add them, name the folder that they are in, or take their lines out)",
    )


def _label_finder(names: tuple[str, ...], faults: Faults) -> Callable[[Row], int | None]:
    """Return what gives a row its label, and notes a fault where the class is none of them."""
    exact = {name: label for label, name in enumerate(names)}
    loose: dict[str, int | None] = {}
    for label, name in enumerate(names):
        key = loose_name(name)
        loose[key] = None if key in loose else label  # two classes alike: only exact names count

    def find(row: Row) -> int | None:
        if isinstance(row.label, int):
            if 0 <= row.label < len(names):
                return row.label
            faults.add(
                f"{row.place}: label {row.label} of {row.shown} is outside the {len(names)} "
                f"classes, 0 to {len(names) - 1}.",
                "labels outside the classes (correct them, or the file of the class names)",
            )
            return None
        label = exact.get(row.label, loose.get(loose_name(row.label)))
        if label is None:
            hint = did_you_mean(row.label, names) or "."
            faults.add(
                f"{row.place}: {row.label!r} is none of the {len(names)} classes{hint}",
                "unknown classes (correct them, or the file of the class names)",
            )
        return label

    return find


def _classes_without_videos(videos: Sequence[LabelledVideo], names: tuple[str, ...]) -> list[str]:
    seen = {video.label for video in videos}
    absent = [name for label, name in enumerate(names) if label not in seen]
    if not absent:
        return []
    return [f"{len(absent):,} of {len(names):,} classes have no video: {named(absent)}."]
