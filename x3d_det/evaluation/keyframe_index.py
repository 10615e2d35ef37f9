"""Keyframes of several tables numbered from 0, so that the rest works on whole numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class KeyframeIndex:
    """Keyframes (video and second, to six decimals) and where each table names them.

    Args:
        keyframes: for each table, (N,) int32 keyframe numbers of its rows.
        runs: for each table, keyframe number and length of each run of equal rows.
        videos: (F,) video number of each keyframe.
        seconds: (F,) float64.
        video_names: id of each video number.
    """

    keyframes: list[np.ndarray]
    runs: list[tuple[np.ndarray, np.ndarray]]
    videos: np.ndarray
    seconds: np.ndarray
    video_names: list[str]

    @property
    def size(self) -> int:
        """Number F of keyframes."""
        return len(self.videos)


def index_keyframes(tables: Sequence[pd.DataFrame]) -> KeyframeIndex:
    """Number the keyframes of all tables together.

    Args:
        tables: each with `video_id` (text or Categorical) and `timestamp`. Rows of
            one keyframe that follow each other are numbered as one.
    """
    numbers: dict[str, int] = {}
    run_videos, run_seconds, run_lengths = [], [], []
    for table in tables:
        videos = _video_numbers(table["video_id"], numbers)
        seconds = table["timestamp"].to_numpy(np.float64)
        changes = (videos[1:] != videos[:-1]) | (seconds[1:] != seconds[:-1])
        starts = np.flatnonzero(np.append(len(videos) > 0, changes)) if len(videos) else _NONE
        run_videos.append(videos[starts])
        run_seconds.append(np.rint(seconds[starts] * 1e6))
        run_lengths.append(np.diff(np.append(starts, len(videos))))
    all_videos = np.concatenate(run_videos).astype(np.int64)
    second_codes, seconds = pd.factorize(np.concatenate(run_seconds))
    keys = all_videos * max(len(seconds), 1) + second_codes
    codes, unique_keys = pd.factorize(keys)
    codes = codes.astype(np.int32)
    bounds = np.cumsum([len(starts) for starts in run_videos])[:-1]
    runs = list(zip(np.split(codes, bounds), run_lengths, strict=True))
    return KeyframeIndex(
        keyframes=[np.repeat(part, lengths) for part, lengths in runs],
        runs=runs,
        videos=unique_keys // max(len(seconds), 1),
        seconds=seconds[unique_keys % max(len(seconds), 1)] / 1e6,
        video_names=list(numbers),
    )


_NONE = np.empty(0, np.int64)


def _video_numbers(videos: pd.Series, numbers: dict[str, int]) -> np.ndarray:
    """Return each row's video number, giving new names the next numbers."""
    if isinstance(videos.dtype, pd.CategoricalDtype):
        codes, names = videos.cat.codes.to_numpy(), videos.cat.categories
    else:
        codes, names = pd.factorize(videos)
    of_names = [numbers.setdefault(str(name), len(numbers)) for name in names]
    if of_names == list(range(len(names))):
        return codes
    return np.array([*of_names, -1], np.int32)[codes]
