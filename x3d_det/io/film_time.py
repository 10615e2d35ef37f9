"""When the video files of a data set start, and what the numbers in its csv files count."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from x3d_det.errors import DataError
from x3d_det.io.ava_csv import read_exclusions

if TYPE_CHECKING:
    import pandas as pd

_DECIMALS = 6  # as many as files keep
_NUM_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class FilmTime:
    """Seconds of the films, and how a data set's numbers become them.

    Args:
        start_seconds: second of the film at which a video file starts.
        starts: the same for single videos, by video id.
        frames_per_second: the csv files number the frames of a video, at this rate; None:
            they have seconds of the film.
        first_frame: number of a video's first frame, 0 or 1.
    """

    start_seconds: float = 0.0
    starts: Mapping[str, float] = field(default_factory=dict)
    frames_per_second: float | None = None
    first_frame: int = 0

    def start_of(self, video_id: str) -> float:
        """Return the second of the film at which a video's file starts."""
        return self.starts.get(video_id, self.start_seconds)

    def in_seconds(self, table: "pd.DataFrame", path: str | os.PathLike[str]) -> "pd.DataFrame":
        """Return the table with seconds of the film as its timestamps, rounded to microseconds.

        Args:
            table: video_id, timestamp and, for messages, line; returned as it is where the
                timestamps are seconds already.
            path: its file.

        Raises:
            DataError: a timestamp that numbers no frame; the first 20, with file and line.
        """
        if self.frames_per_second is None or not len(table):
            return table
        frames = table["timestamp"].to_numpy(np.float64)
        self._check_frames(table, path)
        names, videos = np.unique(table["video_id"].to_numpy(dtype=str), return_inverse=True)
        starts = np.array([self.start_of(str(name)) for name in names])[videos]
        seconds = starts + (frames - self.first_frame) / self.frames_per_second
        return table.assign(timestamp=np.round(seconds, _DECIMALS))

    def as_written(self, table: "pd.DataFrame") -> "pd.DataFrame":
        """Return the table with the data set's own timestamps again: `in_seconds` backwards."""
        if self.frames_per_second is None or not len(table):
            return table
        names, videos = np.unique(table["video_id"].to_numpy(dtype=str), return_inverse=True)
        starts = np.array([self.start_of(str(name)) for name in names])[videos]
        seconds = table["timestamp"].to_numpy(np.float64) - starts
        return table.assign(timestamp=np.rint(seconds * self.frames_per_second) + self.first_frame)

    def is_known(self, table: "pd.DataFrame") -> np.ndarray:
        """Return (N,) bool, False where a timestamp numbers no frame."""
        stamps = table["timestamp"].to_numpy(np.float64)
        if self.frames_per_second is None:
            return np.ones(len(stamps), np.bool_)
        return (stamps == np.floor(stamps)) & (stamps >= self.first_frame)

    def _check_frames(self, table: "pd.DataFrame", path: str | os.PathLike[str]) -> None:
        wrong = table[~self.is_known(table)]
        if not len(wrong):
            return
        lines = [
            f"{path}:{line}: {stamp:g} numbers no frame; with dataset.timestamps = frames it must "
            f"be whole and from {self.first_frame} (dataset.first_frame)."
            for line, stamp in zip(
                wrong["line"].iloc[:_NUM_SHOWN], wrong["timestamp"].iloc[:_NUM_SHOWN], strict=True
            )
        ]
        if len(wrong) > _NUM_SHOWN:
            lines.append(f"and {len(wrong) - _NUM_SHOWN:,} more such rows.")
        raise DataError("\n".join(lines))


def read_video_starts(path: str | os.PathLike[str]) -> dict[str, float]:
    """Return video id -> second of the film at which its file starts, of `video,second` rows.

    Raises:
        DataError: the faults of the file; a video that is listed twice.
    """
    rows = read_exclusions(path)
    repeated = rows[rows["video_id"].duplicated()]
    if len(repeated):
        raise DataError(
            "\n".join(
                f"{path}:{line}: video {video_id} has a start already; keep one row a video."
                for video_id, line in zip(repeated["video_id"], repeated["line"], strict=True)
            )
        )
    return dict(zip(rows["video_id"].tolist(), rows["timestamp"].tolist(), strict=True))
