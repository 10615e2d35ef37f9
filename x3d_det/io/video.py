"""Frames of a video file at given seconds, by their presentation times.

Second 0 is the start of the picture stream. A frame is shown from its own time
until the next frame's; frame numbers and frame rates play no part, so that
29.97 frames a second, a varying rate and a gap are all read right.

Shape suffixes in this file: T frames, H x W pixels, C channels red, green, blue.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from x3d_det.errors import VideoError
from x3d_det.io.video_file import (
    VideoFile,
    frame_duration_seconds,
    frames_from,
    rotation_degrees,
    to_rgb,
)

DEFAULT_MAX_PIXELS = 8192 * 4320
# A file counts as truncated when a second that its header promises is this far (and a frame)
# behind the last picture. Headers round, and the sound often runs on a little.
_TRUNCATED_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video's header says; the size is the one that frames are returned in."""

    path: Path
    width: int
    height: int
    fps: Fraction
    """Average rate; a video of varying rate has no other."""
    duration_seconds: float | None
    """Length of the picture stream, None where the file does not say."""
    num_frames: int | None
    """None where the file does not say (Matroska, mostly)."""
    rotation_degrees: int
    """Counter-clockwise turn (0, 90, 180, 270) that was applied to show frames upright."""
    codec: str
    has_audio: bool


@dataclass(frozen=True, kw_only=True)
class DecodedClip:
    """The frames shown at the seconds asked for, in the order asked."""

    frames_THWC: np.ndarray
    """uint8 RGB, upright."""
    pts_seconds_T: np.ndarray
    """float64: when each frame begins to be shown, from the start of the stream."""
    clamped_T: np.ndarray
    """bool: the second lay before the first or after the last frame, and got that frame."""
    num_decoded: int
    """Frames decoded to get these T."""
    decode_seconds: float
    """Wall time of the whole read."""

    @property
    def num_clamped(self) -> int:
        """How many of the T frames stand in for a second outside the video."""
        return int(self.clamped_T.sum())


def probe_video(path: str | Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> VideoInfo:
    """Return size, rate and length of a video; decodes its first frame, for the rotation.

    Raises:
        VideoError: as `read_frames_at`.
    """
    with VideoFile(path, max_pixels=max_pixels) as video:
        _, first = next(frames_from(video, 0.0), (0.0, None))
        if first is None:
            raise VideoError(f"{video.path}: no picture could be decoded from it.")
        degrees = rotation_degrees(video, first)
        height, width = first.height, first.width
        if degrees % 180:
            height, width = width, height
        return VideoInfo(
            path=video.path,
            width=width,
            height=height,
            fps=video.fps,
            duration_seconds=video.duration_seconds,
            num_frames=video.stream.frames or None,
            rotation_degrees=degrees,
            codec=video.stream.codec_context.name,
            has_audio=bool(video.container.streams.audio),
        )


def read_frames_at(
    path: str | Path,
    seconds_T: Sequence[float] | np.ndarray,
    *,
    required_seconds: Sequence[float] | np.ndarray = (),
    num_threads: int = 1,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> DecodedClip:
    """Return the frame shown at each second: the last one that began at or before it.

    Seconds before the first frame get the first, seconds after the last get the last; both
    are counted. Decoding starts at the nearest key frame before the earliest second.

    Args:
        path: video file.
        seconds_T: seconds from the start of the stream, in any order, repeats allowed.
        required_seconds: seconds that must lie inside the video (the keyframes'); with none
            given, one of `seconds_T` must.
        num_threads: decoder threads.
        max_pixels: largest width times height; checked in the header, before any decoding.

    Raises:
        VideoError: no regular file, no video, damaged or truncated before the last second
            that is needed, a required second outside the video, too large a picture.
    """
    started = time.perf_counter()
    seconds = np.asarray(seconds_T, dtype=np.float64)
    if seconds.ndim != 1 or not seconds.size or not np.isfinite(seconds).all():
        raise ValueError(f"seconds_T must be finite numbers, at least one; found {seconds_T!r}.")
    required = np.asarray(required_seconds, dtype=np.float64)
    with VideoFile(path, max_pixels=max_pixels, num_threads=num_threads) as video:
        picked = _Picked(video, seconds)
        num_decoded = 0
        last_seconds, last_frame = 0.0, None
        for frame_seconds, frame in frames_from(video, float(seconds.min())):
            num_decoded += 1
            if last_frame is not None:
                picked.show_until(frame_seconds, last_seconds, last_frame)
            last_seconds, last_frame = frame_seconds, frame
            if picked.is_complete:
                break
        if last_frame is None:
            raise VideoError(f"{video.path}: no picture could be decoded from it.")
        if not picked.is_complete:
            picked.finish(last_seconds, last_frame)
            _check_end(video, max(seconds.max(), *required, -math.inf), last_seconds)
        _check_inside(video, picked, seconds, required)
    return DecodedClip(
        frames_THWC=picked.frames_THWC,
        pts_seconds_T=picked.pts_seconds_T,
        clamped_T=picked.clamped_T,
        num_decoded=num_decoded,
        decode_seconds=time.perf_counter() - started,
    )


def iterate_frames(
    path: str | Path,
    *,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    num_threads: int = 1,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (second, frame (H, W, 3) uint8 RGB) for every frame that begins in the range.

    One frame is held at a time, whatever the video's length.

    Args:
        path: video file.
        start_seconds, end_seconds: half-open range; None reads to the end of the file.
        num_threads: decoder threads.
        max_pixels: largest width times height.

    Raises:
        VideoError: as `read_frames_at`; also when the file ends before its header says.
    """
    with VideoFile(path, max_pixels=max_pixels, num_threads=num_threads) as video:
        frame_seconds = None
        for frame_seconds, frame in frames_from(video, start_seconds):
            if end_seconds is not None and frame_seconds >= end_seconds - video.tolerance_seconds:
                return
            if frame_seconds >= start_seconds - video.tolerance_seconds:
                yield frame_seconds, to_rgb(video, frame)
        if frame_seconds is None:
            raise VideoError(f"{video.path}: no picture could be decoded from it.")
        _check_end(video, math.inf if end_seconds is None else end_seconds, frame_seconds)


class _Picked:
    """Collects, for each second asked for, the frame shown at it."""

    def __init__(self, video: VideoFile, seconds: np.ndarray) -> None:
        self._video = video
        self._seconds = seconds
        self._order = np.argsort(seconds, kind="stable")
        self._num_done = 0
        self.frames_THWC = np.empty((0, 0, 0, 3), np.uint8)
        self.pts_seconds_T = np.empty(len(seconds), np.float64)
        self.clamped_T = np.zeros(len(seconds), np.bool_)
        self.end_seconds: float | None = None  # known once the file's last frame was met

    @property
    def is_complete(self) -> bool:
        return self._num_done == len(self._seconds)

    def show_until(self, end_seconds: float, frame_seconds: float, frame: av.VideoFrame) -> None:
        """Give `frame` to all seconds before `end_seconds`, when the next one begins."""
        rgb_HWC: np.ndarray | None = None
        while not self.is_complete:
            place = self._order[self._num_done]
            second = self._seconds[place] + self._video.tolerance_seconds
            if second >= end_seconds:
                return
            if rgb_HWC is None:
                rgb_HWC = self._convert(frame_seconds, frame)
            self.frames_THWC[place] = rgb_HWC
            self.pts_seconds_T[place] = frame_seconds
            self.clamped_T[place] = second < frame_seconds
            self._num_done += 1

    def finish(self, frame_seconds: float, frame: av.VideoFrame) -> None:
        """Give the last frame of the file to all seconds that are left."""
        first_left = self._num_done
        self.show_until(math.inf, frame_seconds, frame)
        shown_seconds = frame_duration_seconds(self._video, frame)
        self.end_seconds = frame_seconds + shown_seconds + 2 * self._video.tolerance_seconds
        places = self._order[first_left:]
        self.clamped_T[places] |= self._seconds[places] > self.end_seconds

    def _convert(self, frame_seconds: float, frame: av.VideoFrame) -> np.ndarray:
        rgb_HWC = to_rgb(self._video, frame)
        if not len(self.frames_THWC):
            self.frames_THWC = np.empty((len(self._seconds), *rgb_HWC.shape), np.uint8)
        self._check_size(rgb_HWC, frame_seconds)
        return rgb_HWC

    def _check_size(self, rgb_HWC: np.ndarray, frame_seconds: float) -> None:
        if rgb_HWC.shape != self.frames_THWC.shape[1:]:
            found, first = rgb_HWC.shape, self.frames_THWC.shape[1:]
            raise VideoError(
                f"{self._video.path}: the picture changes from {first[1]}x{first[0]} to "
                f"{found[1]}x{found[0]} at second {frame_seconds:.3f}; encode it anew in one size."
            )


def _check_end(video: VideoFile, needed_seconds: float, last_seconds: float) -> None:
    """Raise if the file ended at `last_seconds` although its header promises what is needed."""
    promised = video.duration_seconds
    if promised is None:
        return
    needed = min(needed_seconds, promised)
    if needed > last_seconds + _TRUNCATED_SECONDS + float(1 / video.fps):
        raise VideoError(
            f"{video.path}: is truncated: its last frame is at second {last_seconds:.3f}, but its "
            f"header promises {promised:.3f} s and second {needed:.3f} is needed."
        )


def _check_inside(
    video: VideoFile, picked: _Picked, seconds: np.ndarray, required: np.ndarray
) -> None:
    """Raise for a required second outside the video; an end may have been met or not."""
    outside = required[required < -video.tolerance_seconds]
    if picked.end_seconds is not None:
        outside = np.append(outside, required[required > picked.end_seconds])
    if not len(required) and picked.clamped_T.all():
        outside = seconds
    if len(outside):
        promised = video.duration_seconds
        length = "its length is unknown" if promised is None else f"it lasts {promised:.3f} s"
        raise VideoError(
            f"{video.path}: second {outside[0]:.3f} is outside the video ({length}); check the "
            "keyframe's second and the setting that says where the file starts."
        )
