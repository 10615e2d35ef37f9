"""Lists of keyframes, seconds and videos: exclusions, inclusions, test ids, file names.

-5KQ66BBWC4,0902      keyframes (exclusions, AVA-Kinetics' test lists)
0902                  seconds that hold for every video (ava_included_timestamps)
-5KQ66BBWC4           video ids (ava_test)
-5KQ66BBWC4.mkv       file names (ava_file_names)
"""

import math
import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from x3d_det.errors import DataError
from x3d_det.formats.foreign_files import Faults, short
from x3d_det.formats.rows import join_columns, key_texts, write_lines
from x3d_det.formats.text_lines import read_lines
from x3d_det.io.ava_csv import read_exclusions
from x3d_det.io.ava_rows import NUMBER
from x3d_det.keyframes import Keyframe, format_timestamp

if TYPE_CHECKING:
    import pandas as pd

_NO_BARE_NAME = re.compile(r'[/\\",;\t\0]|\.\.|^\s|\s$')
VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv")
"""Suffixes by which a list counts as one of file names."""


def read_keyframes(path: str | os.PathLike[str]) -> "pd.DataFrame":
    """Return video_id, timestamp and line of a list `video,second`; csv or csv.gz.

    Raises:
        DataError: the faults of the file; a keyframe that is there twice.
    """
    rows = read_exclusions(path)
    faults = Faults(path)
    repeated = rows[rows.duplicated(["video_id", "timestamp"])]
    for video_id, stamp, line in zip(
        repeated["video_id"], repeated["timestamp"].tolist(), repeated["line"], strict=True
    ):
        faults.add(f":{line}", f"{Keyframe(video_id, stamp)} is there twice; remove one of them.")
    faults.raise_if_any()
    return rows


def write_keyframes(rows: "pd.DataFrame", path: str | os.PathLike[str]) -> None:
    """Write a list of keyframes as `video,0902`, six decimals where a second is not whole.

    Raises:
        DataError: a video id that a csv cannot hold; the file cannot be written.
    """
    write_lines(join_columns(key_texts(rows, path)), path)


def read_included_seconds(path: str | os.PathLike[str]) -> tuple[float, ...]:
    """Return the seconds of a list with one a line, rising.

    Raises:
        DataError: a line that is no second from 0, a second twice, an empty list.
    """
    faults = Faults(path)
    lines: dict[float, int] = {}
    for number, text in read_lines(path, faults):
        stripped = text.strip()
        if not NUMBER.fullmatch(stripped) or not 0 <= float(stripped) < math.inf:
            faults.add(f":{number}", f"found {short(text)}; a line is one second, as in 0902.")
        elif float(stripped) in lines:
            first = lines[float(stripped)]
            faults.add(f":{number}", f"the second {stripped} repeats line {first}; remove one.")
        else:
            lines[float(stripped)] = number
    _raise_if_empty(faults, lines, "seconds, one a line")
    return tuple(sorted(lines))


def keyframes_at(video_ids: Sequence[str], seconds: Sequence[float]) -> "pd.DataFrame":
    """Return every second of every video as a list of keyframes."""
    import pandas as pd

    return pd.DataFrame(
        {
            "video_id": np.repeat(np.array(video_ids, dtype=object), len(seconds)),
            "timestamp": np.tile(np.array(seconds, np.float64), len(video_ids)),
            "line": np.arange(1, len(video_ids) * len(seconds) + 1),
        }
    )


def write_included_seconds(rows: "pd.DataFrame", path: str | os.PathLike[str]) -> None:
    """Write the seconds that all videos of a keyframe list have in common, rising.

    Raises:
        DataError: the videos differ in their seconds, which one list cannot say.
    """
    stamps = rows.groupby("video_id")["timestamp"]
    by_video = {str(video_id): frozenset(part) for video_id, part in stamps}
    sets = list(by_video.values())
    if len(set(sets)) > 1:
        first, other = next(
            (video, other)
            for video, seconds in by_video.items()
            for other in by_video
            if by_video[other] != seconds
        )
        differing = min(by_video[first] ^ by_video[other])
        raise DataError(
            f"{path}: one list of seconds holds for all videos, but {first} and {other} differ at "
            f"second {format_timestamp(differing)}; write the form keyframes instead."
        )
    write_lines([format_timestamp(second) for second in sorted(sets[0] if sets else ())], path)


def read_video_list(path: str | os.PathLike[str]) -> "pd.DataFrame":
    """Return video_id, file_name (empty where the line is a bare id) and line of a list.

    A line that ends in the suffix of a video is a file name; its id is the name without the
    last suffix.

    Raises:
        DataError: a line that is no bare name, an id twice, an empty list.
    """
    import pandas as pd

    faults = Faults(path)
    lines: dict[str, int] = {}
    names: list[str] = []
    for number, text in read_lines(path, faults):
        name = text.strip()
        stem, suffix = os.path.splitext(name)
        is_file = suffix.lower() in VIDEO_SUFFIXES
        video_id = stem if is_file else name
        if _NO_BARE_NAME.search(name):
            faults.add(
                f":{number}", f"found {short(text)}; a line is one video id or one file name."
            )
        elif video_id in lines:
            faults.add(f":{number}", f"{video_id} is there already, in line {lines[video_id]}.")
        else:
            lines[video_id] = number
            names.append(name if is_file else "")
    _raise_if_empty(faults, lines, "video ids or file names, one a line")
    return pd.DataFrame(
        {
            "video_id": np.array(list(lines), dtype=object),
            "file_name": np.array(names, dtype=object),
            "line": np.array(list(lines.values()), np.int64),
        }
    )


def write_video_ids(rows: "pd.DataFrame", path: str | os.PathLike[str]) -> None:
    """Write the ids of a video list, one a line.

    Raises:
        DataError: an id that could not be read back; the file cannot be written.
    """
    for video_id in rows["video_id"]:
        if os.path.splitext(video_id)[1].lower() in VIDEO_SUFFIXES:
            raise DataError(
                f"{path}: the video id {video_id!r} looks like a file name and would be read "
                "back without its suffix; rename the video."
            )
    write_lines(list(rows["video_id"]), path)


def write_file_names(
    rows: "pd.DataFrame",
    path: str | os.PathLike[str],
    *,
    find_name: Callable[[str], str] | None = None,
) -> None:
    """Write the file names of a video list, one a line.

    Args:
        rows: video_id and file_name.
        path: the file.
        find_name: id -> file name, for rows that have none.

    Raises:
        DataError: a row without a file name, and nobody to ask.
    """
    names = []
    for video_id, name in zip(rows["video_id"], rows["file_name"], strict=True):
        if not name and find_name is None:
            raise DataError(
                f"{path}: the list has the id {video_id} but not its file's suffix; "
                "give --videos DIR, where the file is looked up."
            )
        names.append(name or (find_name(video_id) if find_name else ""))
    write_lines(names, path)


def _raise_if_empty(faults: Faults, found: object, what: str) -> None:
    if not found and not faults.number:
        faults.add(":1", f"the file is empty; it must hold {what}.")
    faults.raise_if_any()
