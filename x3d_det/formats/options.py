"""What conversions may need besides the file: sizes and rates of videos, names, rounding."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from x3d_det.errors import DataError
from x3d_det.formats.exports.imported import FrameRate, FrameSize
from x3d_det.formats.keyframe_lists import VIDEO_SUFFIXES
from x3d_det.io.label_map import LabelMap
from x3d_det.io.video import VideoInfo, probe_video


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Everything that a form may ask for; which form uses what stands in the registry."""

    videos: Path | None = None
    """Folder of the video files, `ID.mp4` and so on: sizes and rates are looked up there."""
    frame_size: tuple[int, int] | None = None
    """(height, width) of every frame in pixels, instead of looking."""
    fps: float | Fraction | None = None
    """Frames a second of every video, instead of looking."""
    label_map: LabelMap | None = None
    """Names of the actions."""
    first_id: int = 1
    """0 where the ids of the input count from 0."""
    decimals: int | None = None
    """Of the coordinates written; None keeps them as they are."""
    images: Path | None = None
    """COCO data set whose images a list of results counts."""
    video_ids: Path | None = None
    """List of the videos that a list of seconds holds for."""
    video_start_seconds: float | None = None
    """Second of the film at which every file starts."""
    video_end_seconds: float | None = None
    """Second of the film at which every file ends."""
    keyframe_interval_seconds: float | None = None
    """Seconds between the keyframes of an export."""
    video_id: str | None = None
    """The one video of an export."""
    person_label: str | None = None
    """The label of an export that is a person and not an action."""
    action_attribute: str | None = None
    """The attribute of an export that holds the actions."""
    first_frame_number: int = 0
    """Number of a video's first frame in an export."""

    def find_frame_size(self) -> FrameSize | None:
        """Return what tells the frame size of a video, or None where nothing can."""
        if self.frame_size is not None:
            size = self.frame_size
            return lambda _video_id: size
        if self.videos is None:
            return None
        look = self._look()
        return lambda video_id: (look(video_id).height, look(video_id).width)

    def find_fps(self) -> FrameRate | None:
        """Return what tells the frame rate of a video, or None where nothing can."""
        if self.fps is not None:
            rate = self.fps
            return lambda _video_id: rate
        if self.videos is None:
            return None
        look = self._look()
        return lambda video_id: look(video_id).fps

    def need_frame_size(self, why: str) -> FrameSize:
        """Return what tells the frame size of a video.

        Raises:
            DataError: neither a size nor a folder of videos was given.
        """
        found = self.find_frame_size()
        if found is None:
            raise DataError(
                f"{why} are in pixels; give --frame-size WxH, or --videos DIR to look it up."
            )
        return found

    def _look(self) -> Callable[[str], VideoInfo]:
        assert self.videos is not None
        folder = self.videos
        return lru_cache(maxsize=None)(lambda video_id: probe_video(find_video(folder, video_id)))


def find_video(folder: str | os.PathLike[str], video_id: str) -> Path:
    """Return the file of a video in a folder: its name is the id and a video's suffix.

    Raises:
        DataError: there is none, or several.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"--videos {root}: there is no such folder.")
    found = [path for suffix in VIDEO_SUFFIXES if (path := root / f"{video_id}{suffix}").is_file()]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(
            f"{root}: there must be one video file of {video_id} "
            f"({', '.join(VIDEO_SUFFIXES)}), found {names}."
        )
    return found[0]
