"""Columns of text for the rows of AVA-like csv files, and the decimals that they need.

A table is written with as many decimals as its coordinates have, at least AVA's
three, unless the caller rounds: what was read is written back as it was.
"""

import gzip
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from x3d_det.errors import DataError
from x3d_det.io.ava_csv import COORDINATES
from x3d_det.io.files import atomic_write
from x3d_det.keyframes import format_timestamp

if TYPE_CHECKING:
    import pandas as pd

AVA_DECIMALS = 3
_MOST_DECIMALS = 17  # enough to tell any two float64 in [0, 1] apart that a file is likely to hold


def needed_decimals(rows: "pd.DataFrame", *, at_least: int = AVA_DECIMALS) -> int:
    """Return the fewest decimals that give the coordinates of `rows` back exactly.

    A number of d decimals is the float64 nearest to a whole number over 10 ** d, and that
    division is rounded correctly as long as both are exact (d up to 15 in [0, 1]).
    """
    corners = rows[list(COORDINATES)].to_numpy(np.float64)
    for decimals in range(at_least, 16):
        scale = 10.0**decimals
        exact = np.rint(corners * scale) / scale == corners
        if exact.all():
            return decimals
        corners = corners[~exact.all(axis=1)]  # only these can still need more
    return _MOST_DECIMALS


def rounding_notes(rows: "pd.DataFrame", decimals: int) -> tuple[str, ...]:
    """Return what rounding the coordinates to `decimals` changes, in words; nothing if nothing.

    Raises:
        DataError: a box would have no width or height left.
    """
    corners = rows[list(COORDINATES)].to_numpy(np.float64)
    rounded = np.round(corners, decimals)
    flat = (rounded[:, 2:] <= rounded[:, :2]).any(axis=1) if len(rows) else np.zeros(0, np.bool_)
    if flat.any():
        first = rows.iloc[int(np.flatnonzero(flat)[0])]
        box = ", ".join(f"{first[name]:.9g}" for name in COORDINATES)
        raise DataError(
            f"{decimals} decimals leave {int(flat.sum()):,} boxes without width or height; the "
            f"first is {box} of {first['video_id']},{format_timestamp(first['timestamp'])}: "
            "ask for more decimals."
        )
    changed = int((np.abs(rounded - corners) > 1e-15).any(axis=1).sum())
    if not changed:
        return ()
    return (f"{changed:,} of {len(rows):,} boxes are rounded to {decimals} decimals",)


def key_texts(
    rows: "pd.DataFrame", path: str | os.PathLike[str], *, timestamp_decimals: int | None = None
) -> list[list[str]]:
    """Return the columns of video ids and seconds as text.

    Args:
        rows: with video_id and timestamp.
        path: of the file to write, for messages.
        timestamp_decimals: of the seconds; None writes `0902`, and six where not whole.

    Raises:
        DataError: a video id that csv files of this kind cannot hold.
    """
    videos = [str(video_id) for video_id in rows["video_id"]]
    for video_id in dict.fromkeys(videos):
        if not video_id or any(mark in video_id for mark in ',"\r\n\0'):
            raise DataError(
                f"{path}: the video id {video_id!r} cannot be written; it must not be empty "
                "nor hold commas, quotes or line breaks."
            )
    texts: dict[float, str] = {}
    for stamp in set(rows["timestamp"].tolist()):
        texts[stamp] = (
            format_timestamp(stamp)
            if timestamp_decimals is None
            else f"{stamp:.{timestamp_decimals}f}"
        )
    return [videos, [texts[stamp] for stamp in rows["timestamp"].tolist()]]


def corner_texts(rows: "pd.DataFrame", decimals: int) -> list[list[str]]:
    """Return the four columns of the box as text."""
    form = f".{decimals}f"
    return [[format(value, form) for value in rows[name].tolist()] for name in COORDINATES]


def join_columns(columns: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a csv from its columns."""
    return [",".join(cells) for cells in zip(*columns, strict=True)]


def in_line_order(
    first: Sequence[str], first_lines: np.ndarray, second: Sequence[str], second_lines: np.ndarray
) -> list[str]:
    """Return two lists of lines as one, by the lines that they had in their file."""
    order = np.argsort(np.concatenate([first_lines, second_lines]), kind="stable")
    texts = [*first, *second]
    return [texts[place] for place in order]


def write_lines(lines: Iterable[str], path: str | os.PathLike[str]) -> None:
    """Write lines with LF ends, whole or not at all; `.gz` packs them, the same bytes each time."""
    content = "".join(f"{line}\n" for line in lines).encode()
    if str(path).endswith(".gz"):
        content = gzip.compress(content, compresslevel=6, mtime=0)
    with atomic_write(path, "wb") as file:
        file.write(content)
