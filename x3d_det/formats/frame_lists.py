"""PySlowFast's frame lists: which picture file is which frame of which video.

    original_vido_id video_id frame_id path labels
    -5KQ66BBWC4 0 0 -5KQ66BBWC4/-5KQ66BBWC4_000001.jpg ""

The header is misspelt in the original and required so. `video_id` counts videos from 0;
`frame_id` counts a video's frames from 0 while file names count from 1. PySlowFast takes
the frame's place in the list, not its number, and second s is frame (s - 900) * 30.
"""

import itertools
import os
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from x3d_det.errors import DataError
from x3d_det.formats.foreign_files import Faults, short
from x3d_det.formats.rows import write_lines
from x3d_det.formats.text_lines import read_lines

if TYPE_CHECKING:
    import pandas as pd

HEADER = ("original_vido_id", "video_id", "frame_id", "path", "labels")
"""The first line; `vido` is PySlowFast's own spelling."""

_NO_LABELS = '""'
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Suffixes of pictures in a frames folder."""

_DRIVE = re.compile(r"[A-Za-z]:")
_NUMBER_AT_END = re.compile(r"(\d+)$", re.ASCII)


def read_frame_list(path: str | os.PathLike[str]) -> "pd.DataFrame":
    """Return original_vido_id, video_id, frame_id, path, labels and line of a frame list.

    Raises:
        DataError: every fault with its line: no header, not five columns between blanks,
    XX
    """
    import pandas as pd

    faults = Faults(path)
    lines = read_lines(path, faults)
    if lines and _is_header(*lines[0], faults):
        lines = lines[1:]
    checker = _Checker(faults)
    rows = []
    for number, text in lines:
        fields = _split(number, text, faults)
        if fields is not None and checker.accepts(number, fields):
            name, video, frame, picture, labels = fields
            rows.append((name, int(video), int(frame), picture, labels, number))
    if not rows and not faults.number:
        faults.add(":1", f"the list is empty; below the header {' '.join(HEADER)!r} stand frames.")
    faults.raise_if_any()
    return pd.DataFrame(rows, columns=[*HEADER, "line"])


def write_frame_list(rows: "pd.DataFrame", path: str | os.PathLike[str]) -> None:
    """Write a frame list with PySlowFast's header.

    Raises:
        DataError: a video id or path with a blank, which the form cannot carry.
    """
    for name in ("original_vido_id", "path"):
        for value in dict.fromkeys(rows[name]):
            if not value or re.search(r"\s", value):
                raise DataError(
                    f"{path}: {value!r} cannot stand in a frame list, whose columns are separated "
                    "by blanks; rename the video."
                )
    columns = [[str(value) for value in rows[name].tolist()] for name in HEADER]
    write_lines(
        [" ".join(HEADER), *(" ".join(cells) for cells in zip(*columns, strict=True))], path
    )


def frame_list_of_folder(folder: str | os.PathLike[str]) -> "pd.DataFrame":
    """Return the frame list of a folder that has a folder of pictures for each video.

    Frames are ordered by the number at the end of their names, videos by theirs.

    Raises:
        DataError: no such folder, none with pictures; a picture without a number, two with
            the same, or a number missing in between.
    """
    root = Path(folder)
    try:
        folders = sorted(entry for entry in root.iterdir() if entry.is_dir())
    except OSError as error:
        raise DataError(f"cannot list the frames in {root}: {error.strerror or error}.") from error
    faults = Faults(root)
    pictures = {entry.name: _pictures(entry, faults) for entry in folders}
    faults.raise_if_any()
    found = {name: paths for name, paths in pictures.items() if paths}
    if not found:
        raise DataError(
            f"{root}: no folder with pictures ({', '.join(IMAGE_SUFFIXES)}) in it; a frames "
            "folder holds one folder for each video, as in VIDEO/VIDEO_000001.jpg."
        )
    return _frame_table(found)


def frame_list_of_videos(
    video_ids: Iterable[str], *, fps: float | Fraction, start_seconds: float, end_seconds: float
) -> "pd.DataFrame":
    """Return the frame list that ffmpeg's usual cut gives: `VIDEO/VIDEO_000001.jpg` and on.

    Args:
        video_ids: of the videos, in the list's order.
        fps: frames a second of the cut; PySlowFast counts on 30.
        start_seconds, end_seconds: of the film, half-open; PySlowFast's are 900 and 1801.

    Raises:
        DataError: no frame lies in the range.
    """
    num_frames = round((end_seconds - start_seconds) * fps)
    if num_frames < 1:
        raise DataError(
            f"from second {start_seconds:g} to {end_seconds:g} at {float(fps):g} frames a second "
            "there is no frame; the end must lie behind the start."
        )
    return _frame_table(
        {
            video_id: [
                f"{video_id}/{video_id}_{number:06d}.jpg" for number in range(1, num_frames + 1)
            ]
            for video_id in video_ids
        }
    )


def _frame_table(pictures: Mapping[str, list[str]]) -> "pd.DataFrame":
    import pandas as pd

    counts = [len(paths) for paths in pictures.values()]
    paths = [path for paths in pictures.values() for path in paths]
    return pd.DataFrame(
        {
            "original_vido_id": np.repeat(np.array(list(pictures), dtype=object), counts),
            "video_id": np.repeat(np.arange(len(counts)), counts),
            "frame_id": np.concatenate([np.arange(count) for count in counts] or [np.arange(0)]),
            "path": np.array(paths, dtype=object),
            "labels": np.full(len(paths), _NO_LABELS, dtype=object),
            "line": np.arange(2, len(paths) + 2),
        }
    )


def _pictures(folder: Path, faults: Faults) -> list[str]:
    """Return the paths of a video's pictures in the order of their numbers."""
    numbered: dict[int, str] = {}
    for picture in sorted(folder.iterdir()):
        if picture.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        match = _NUMBER_AT_END.search(picture.stem)
        place = f"/{folder.name}/{picture.name}"
        if match is None:
            faults.add(place, "the name does not end in the frame's number, as in VIDEO_000001.")
        elif int(match[1]) in numbered:
            faults.add(place, f"has the number of {numbered[int(match[1])]} again; remove one.")
        else:
            numbered[int(match[1])] = f"{folder.name}/{picture.name}"
    numbers = sorted(numbered)
    for before, number in itertools.pairwise(numbers):
        if number != before + 1:
            faults.add(
                f"/{folder.name}",
                f"the frames {before + 1} to {number - 1} are missing between "
                f"{numbered[before]} and {numbered[number]}; every later frame would shift.",
            )
            break
    return [numbered[number] for number in numbers]


def _is_header(number: int, text: str, faults: Faults) -> bool:
    if tuple(text.split()) == HEADER:
        return True
    faults.add(
        f":{number}",
        f"the list begins with {short(text)}; its first line must be "
        f"{' '.join(HEADER)!r} (spelt so): PySlowFast drops the first line unread.",
    )
    return False


def _split(number: int, text: str, faults: Faults) -> list[str] | None:
    fields = text.split(" ")
    if "\t" in text:
        found = "is separated by tabs, as spreadsheets write it"
    elif "," in text and len(fields) < 5:
        found = "is separated by commas"
    elif len(fields) == 5 and all(fields):
        return fields
    else:
        found = f"has {len(text.split())} columns between blanks"
    faults.add(
        f":{number}",
        f"the line {found} ({short(text)}); a frame list has 5 columns ({' '.join(HEADER)}), one "
        "blank between two: save it as plain text, not from a spreadsheet.",
    )
    return None


class _Checker:
    """Follows the numbers of videos and frames from line to line."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._number_of: dict[str, str] = {}
        self._name_of: dict[str, str] = {}
        self._num_frames: dict[str, int] = {}

    def accepts(self, line: int, fields: list[str]) -> bool:
        """Return whether the line is in order, after noting what is not."""
        name, video, frame, picture, _ = fields
        before = self._faults.number
        place = f":{line}"
        if not _WHOLE.fullmatch(video) or not _WHOLE.fullmatch(frame):
            self._faults.add(
                place, f"video_id {short(video)} and frame_id {short(frame)} must be whole numbers."
            )
            return False
        known = self._number_of.setdefault(name, video)
        owner = self._name_of.setdefault(video, name)
        if known != video or owner != name:
            self._faults.add(
                place,
                f"video_id of {name} is {video}, but "
                + (f"{known} above." if known != video else f"that is {owner}'s.")
                + " Every video has one number.",
            )
        expected = self._num_frames.get(name, 0)
        if int(frame) != expected:
            self._faults.add(
                place,
                f"frame_id is {frame} where {expected} follows; PySlowFast takes a frame's place "
                "in the list for its number: sort the list and fill the gaps.",
            )
        self._num_frames[name] = int(frame) + 1
        parts = PurePosixPath(picture.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or _DRIVE.match(picture):
            self._faults.add(place, f"the path {short(picture)} leaves the folder of frames.")
        return self._faults.number == before
