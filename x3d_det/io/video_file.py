"""An opened video file: its checks, its clock, its frames from any second on.

Shape suffixes: H x W pixels, C channels red, green, blue.
"""

import functools
import itertools
import math
import os
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from x3d_det.errors import VideoError

# Older clocks jitter by less; a larger step back means that times start anew inside the file.
_LARGEST_STEP_BACK_SECONDS = 1.0
_SEEK_TRIES = 12
# Other formats (AVI, MPEG program streams) name a start that no frame has.
_FORMATS_WITH_EXACT_START = frozenset({"mp4", "matroska"})
# After a seek in an MPEG program stream, FFmpeg guesses times until a packet carries one.
_FORMATS_READ_FROM_THE_START = frozenset({"mpeg"})
# PyAV before 18 crashes on decoder options for formats whose header names no streams (FLV, TS).
_CAN_LIMIT_PROBING = int(av.__version__.split(".")[0]) >= 18


class VideoFile:
    """An opened file and its first picture stream."""

    def __init__(self, path: str | Path, *, max_pixels: int, num_threads: int = 1) -> None:
        self.path = Path(path)
        self.max_pixels = max_pixels
        self.num_threads = num_threads
        _check_regular_file(self.path)
        self._open()
        self.start_pts: int | None = self.stream.start_time
        if not set(self.container.format.name.split(",")) & _FORMATS_WITH_EXACT_START:
            self.start_pts = self._stamp_of_first_frame()
            self.reopen()

    def _open(self) -> None:
        # The limit is given to FFmpeg too: looking for a stream's properties may decode frames.
        limit = {"max_pixels": str(self.max_pixels), "protocol_whitelist": "file"}
        settings: Any = {"options" if _CAN_LIMIT_PROBING else "container_options": limit}
        try:
            self.container = av.open(os.path.abspath(self.path), "r", **settings)
        except (av.FFmpegError, OSError, UnicodeError) as error:
            raise VideoError(f"{self.path}: is no readable video: {_reason(error)}.") from error
        try:
            self.stream = self._checked_stream()
        except BaseException:
            self.container.close()
            raise
        context = self.stream.codec_context
        context.options = {"max_pixels": str(self.max_pixels)}
        context.thread_count = self.num_threads
        context.thread_type = "AUTO" if self.num_threads != 1 else "SLICE"
        self.time_base = Fraction(self.stream.time_base or Fraction(1, 1_000_000))
        self.fps = Fraction(self.stream.average_rate or self.stream.guessed_rate or 25)
        self.tolerance_seconds = time_tolerance_seconds(float(self.fps))

    def _checked_stream(self) -> Any:
        pictures = [
            stream
            for stream in self.container.streams.video
            # FFmpeg draws text files as pictures, and gives cover art a picture stream.
            if stream.codec_context is not None
            and stream.codec_context.name != "ansi"
            and not stream.disposition & av.stream.Disposition.attached_pic
        ]
        if not pictures:
            raise VideoError(f"{self.path}: has no video stream.")
        context = pictures[0].codec_context
        if context.width * context.height > self.max_pixels:
            raise VideoError(
                f"{self.path}: pictures of {context.width}x{context.height} have more than the "
                f"{self.max_pixels} pixels allowed; scale the video down or raise max_pixels."
            )
        return pictures[0]

    def _stamp_of_first_frame(self) -> int | None:
        try:
            for packet in self.container.demux(self.stream):
                for frame in packet.decode():
                    return stamp_of(frame)
        except (av.FFmpegError, OSError):
            pass  # reading the frames that are wanted meets the same damage, and names it
        return None

    def reopen(self) -> None:
        """Go back to the first packet; a seek to 0 does not do so in every format."""
        self.container.close()
        self._open()

    @property
    def duration_seconds(self) -> float | None:
        """Length of the picture stream; None where only the length with other streams is known."""
        if self.stream.duration:
            return float(self.stream.duration * self.time_base)
        for name, text in self.stream.metadata.items():
            if name.upper().startswith("DURATION"):
                return _parse_clock(text)
        streams = self.container.streams
        if self.container.duration and len(streams.video) + len(streams.audio) == 1:
            return self.container.duration / 1_000_000
        return None

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()


def frames_from(video: VideoFile, start_seconds: float) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yield (second, frame) in order of display, from at or before `start_seconds`.

    Decoders put frames out in the order of display. A frame whose time does not rise
    (AVI, broken muxers) is never shown; a step far back is an error.
    """
    first_pts, packets = _packets_from(video, start_seconds)
    clock = _Clock(video)
    last_seconds: float | None = None
    try:
        for packet in packets:
            for frame in packet.decode():
                stamp = stamp_of(frame)
                if first_pts is not None and stamp is not None and stamp < first_pts:
                    continue  # shown before the key frame: refers to frames we did not decode
                seconds = clock.seconds(stamp)
                if last_seconds is not None and seconds <= last_seconds:
                    _check_step_back(video, last_seconds, seconds)
                    continue
                last_seconds = seconds
                yield seconds, frame
    except (av.FFmpegError, OSError) as error:
        at = max(start_seconds, 0.0) if last_seconds is None else last_seconds
        raise VideoError(
            f"{video.path}: is damaged at about second {at:.3f}: {_reason(error)}."
        ) from error


class _Clock:
    """Turns time stamps into seconds; frames without any are counted at the average rate."""

    def __init__(self, video: VideoFile) -> None:
        self._video = video
        self._num_without = 0
        self._start_pts = video.start_pts

    def seconds(self, stamp: int | None) -> float:
        if stamp is None:
            self._num_without += 1
            return float((self._num_without - 1) / self._video.fps)
        if self._start_pts is None:
            self._start_pts = stamp
        return float((stamp - self._start_pts) * self._video.time_base)


def _packets_from(video: VideoFile, start_seconds: float) -> tuple[int | None, Iterator[Any]]:
    """Return the packets from a key frame shown at or before `start_seconds`, and its time.

    Files are indexed by decoding time, which B-frames set apart from the time of display:
    a seek may land on a key frame shown too late, and then goes on further back.
    """
    is_seekable = video.container.format.name not in _FORMATS_READ_FROM_THE_START
    if video.start_pts is None or start_seconds <= 0 or not is_seekable:
        return None, video.container.demux(video.stream)
    target = video.start_pts + math.floor(start_seconds / video.time_base)
    offset = target
    one_second = max(1, round(1 / video.time_base))
    for attempt in range(_SEEK_TRIES):
        if offset <= video.start_pts:
            break
        try:
            video.container.seek(offset, stream=video.stream)
            packets = video.container.demux(video.stream)
            key = next((packet for packet in packets if packet.is_keyframe), None)
        except (av.FFmpegError, OSError):
            break  # not seekable, or damaged: reading from the start meets the damage by name
        if key is not None:
            stamp = key.pts if key.pts is not None else key.dts
            if stamp is not None and stamp <= target:
                return stamp, itertools.chain([key], packets)
            offset = min(offset, key.dts if key.dts is not None else offset)
        offset -= 1 if attempt == 0 else one_second << attempt
    video.reopen()
    return None, video.container.demux(video.stream)


def time_tolerance_seconds(fps: float) -> float:
    """Return how much later than asked a frame may begin and still be the one shown.

    Matroska rounds times to whole milliseconds: frame 2 of 30 a second is stored at 0.067,
    and second 2 / 30 must still show it.
    """
    return min(1e-3, 0.25 / fps)


def stamp_of(frame: av.VideoFrame) -> int | None:
    """Return when a frame is shown, in units of its stream; None where the file does not say."""
    return frame.pts if frame.pts is not None else frame.dts


@functools.cache
def _one_conversion_thread() -> dict[str, Any]:
    """Return the option that keeps colour conversion on this thread, where PyAV has it.

    Newer versions share each picture out among all cores by default, which workers that
    have a core each pay for; older ones know neither the threads nor the option.
    """
    probe = av.VideoFrame(16, 16, "yuv420p")
    try:
        probe.reformat(format="rgb24", threads=1)
    except TypeError:
        return {}
    return {"threads": 1}


def to_rgb(video: VideoFile, frame: av.VideoFrame) -> np.ndarray:
    rgb = frame.to_ndarray(format="rgb24", **_one_conversion_thread())
    turns = rotation_degrees(video, frame) // 90
    return np.rot90(rgb, turns) if turns else rgb


def rotation_degrees(video: VideoFile, frame: av.VideoFrame) -> int:
    degrees = frame.rotation % 360
    if degrees % 90:
        raise VideoError(
            f"{video.path}: is marked as turned by {degrees} degrees; "
            "only 90, 180 and 270 are read."
        )
    return degrees


def frame_duration_seconds(video: VideoFile, frame: av.VideoFrame) -> float:
    return float(frame.duration * video.time_base) if frame.duration else float(1 / video.fps)


def _check_step_back(video: VideoFile, last_seconds: float, seconds: float) -> None:
    if last_seconds - seconds > _LARGEST_STEP_BACK_SECONDS:
        raise VideoError(
            f"{video.path}: times run back from second {last_seconds:.3f} to {seconds:.3f}; "
            "write the file anew with rising times."
        )


def _check_regular_file(path: Path) -> None:
    """Refuse what is no file before opening it: a FIFO would block for ever."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise VideoError(f"{path}: cannot be read: {_reason(error)}.") from error
    if stat.S_ISDIR(mode):
        raise VideoError(f"{path}: is a folder, not a video file.")
    if not stat.S_ISREG(mode):
        raise VideoError(f"{path}: is no regular file (a pipe, socket or device).")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: is empty (0 bytes).")


def _parse_clock(text: str) -> float | None:
    """Return the seconds of Matroska's `00:00:01.566000000`, None for any other text."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
