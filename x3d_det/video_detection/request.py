"""What is asked of a video: which seconds, which persons; checked before any work."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, Union

import numpy as np

from x3d_det.errors import ConfigError
from x3d_det.video_detection.frames import ArraySource, FileSource, VideoSource
from x3d_det.video_detection.live import LiveSource
from x3d_det.video_detection.options import PipelineOptions
from x3d_det.video_detection.persons import (
    GivenBoxes,
    boxes_by_second,
    checked_boxes,
    read_given_boxes,
)
from x3d_det.video_detection.window import Moment, grid_moments

if TYPE_CHECKING:
    import pandas as pd

Video = str | Path | int | Iterable[np.ndarray] | VideoSource
"""A file, the URL of a stream, the number of a camera, RGB arrays, or a source of one's own."""
Boxes = Union[str, Path, "pd.DataFrame", GivenBoxes]
"""A table of person boxes (its file, or its rows of one video), or second -> (N, 5)."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which seconds of a video are looked at, and whose actions are named.

    Raises:
        ConfigError: a value outside its range.
    """

    fps: float | Fraction | None = None
    """Frames a second of arrays; of nothing else."""
    interval_seconds: float = 1.0
    """From one keyframe to the next; they are its multiples."""
    person_looks: int = 1
    """Times that persons are looked for each interval; results between keyframes have persons
    without actions."""
    boxes: Boxes | None = None
    """Persons by second, in place of the detector: a table of person boxes (a file, or its rows of
    this video), or second -> (N, 5). Its seconds are the keyframes. Of a file, the rows named as
    the video's file is, without its ending."""
    start_seconds: float = 0.0
    """First second at which a keyframe may lie."""
    end_seconds: float | None = None
    """Keyframes lie before it; None: to the end."""
    options: PipelineOptions = field(default_factory=PipelineOptions)
    """Queues and batches; they change no result."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.interval_seconds) and self.interval_seconds > 0):
            raise ConfigError(f"interval_seconds is {self.interval_seconds}; it must be above 0.")
        if self.person_looks < 1:
            raise ConfigError(f"person_looks is {self.person_looks}; it must be 1 or more.")
        if self.boxes is not None and self.person_looks != 1:
            raise ConfigError(
                f"person_looks is {self.person_looks}, but with boxes given nobody is looked for; "
                "leave it out."
            )
        if not (math.isfinite(self.start_seconds) and self.start_seconds >= 0):
            raise ConfigError(f"start_seconds is {self.start_seconds}; it must be 0 or more.")
        if self.end_seconds is not None and not self.end_seconds > self.start_seconds:
            raise ConfigError(
                f"end_seconds is {self.end_seconds}; it must be above start_seconds = "
                f"{self.start_seconds:g}."
            )

    def given_boxes(self, video: Video) -> dict[float, np.ndarray] | None:
        """Return the given boxes of the range, by rising second; None where none were given.

        Raises:
            DataError: boxes that cannot be used.
            ConfigError: none of them is in the range, or their video is not known.
        """
        if self.boxes is None:
            return None
        checked = checked_boxes(self._table(self.boxes, video))
        end = math.inf if self.end_seconds is None else self.end_seconds
        chosen = {at: rows for at, rows in checked.items() if self.start_seconds <= at < end}
        if not chosen:
            raise ConfigError(
                f"no second with boxes lies from {self.start_seconds:g} to {end:g}; the boxes are "
                f"of the seconds {min(checked):g} to {max(checked):g}."
            )
        return chosen

    def moments(self, given: GivenBoxes | None, *, num_known: int = 0) -> Iterator[Moment]:
        """Yield the seconds at which something is to be found, rising.

        Args:
            given: from `given_boxes`.
            num_known: so many, the first ones, have their result already.
        """
        if given is not None:
            moments: Iterator[Moment] = (Moment(second) for second in given)
        else:
            moments = grid_moments(
                self.interval_seconds,
                looks=self.person_looks,
                start_seconds=self.start_seconds,
                end_seconds=self.end_seconds,
            )
        for number, moment in enumerate(moments):
            yield replace(moment, is_known=True) if number < num_known else moment

    def open(self, video: Video, *, from_seconds: float) -> VideoSource:
        """Return the video's frames, of a file from a second on.

        Raises:
            VideoError: it cannot be opened, or has no picture.
            ConfigError: no video, or `fps` for something that has a rate of its own.
        """
        if isinstance(video, bool) or video is None:
            raise ConfigError(
                f"video is {video!r}; give a file, a URL, a camera's number or arrays."
            )
        options = self.options
        has_rate = isinstance(video, str | Path | int) or _is_source(video)
        if has_rate and self.fps is not None:
            raise ConfigError(
                f"fps is {self.fps}, but {video} has a rate of its own; leave it out."
            )
        if isinstance(video, int) or (isinstance(video, str) and "://" in video):
            return LiveSource(video, max_frames=options.live_frames, max_pixels=options.max_pixels)
        if isinstance(video, str | Path):
            return FileSource(
                video,
                start_seconds=from_seconds,
                num_threads=options.decode_threads,
                max_pixels=options.max_pixels,
            )
        return video if _is_source(video) else ArraySource(_arrays(video), fps=self.fps)

    def _table(self, boxes: Boxes, video: Video) -> GivenBoxes:
        if isinstance(boxes, Mapping):
            return boxes
        if not isinstance(boxes, str | Path):
            return boxes_by_second(boxes)
        if not isinstance(video, str | Path):
            raise ConfigError(
                f"boxes = {boxes}: a file's rows are chosen by the name of the video's file; for "
                "another source give second -> boxes."
            )
        return read_given_boxes(boxes, video_id=Path(video).stem)


def _is_source(video: Video) -> TypeGuard[VideoSource]:
    return hasattr(video, "frames") and hasattr(video, "info")


def _arrays(video: Any) -> Iterable[np.ndarray]:
    if not isinstance(video, Iterable):
        raise ConfigError(f"video is a {type(video).__name__}; arrays of frames are iterable.")
    return video
