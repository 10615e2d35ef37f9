"""Where the frames of a video come from: a file, or arrays of a program of one's own.

Every source decodes each frame once, in order of display. Cameras and streams: `live.py`.
Shape suffixes: H x W pixels, C channels red, green, blue.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np

from x3d_det.errors import ConfigError, DataError, VideoError
from x3d_det.io.video import DEFAULT_MAX_PIXELS
from x3d_det.io.video_file import (
    VideoFile,
    frame_duration_seconds,
    frames_from,
    time_tolerance_seconds,
    to_rgb,
)

# Formats whose first plane is the brightness, a byte a pixel.
_LUMA_FIRST = frozenset(
    f"{kind}{sampling}p" for kind in ("yuv", "yuvj") for sampling in ("420", "422", "444", "440")
) | {"gray", "nv12", "nv21"}
# As far as a header may promise more than there is; sound often runs on a little.
_TRUNCATED_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """What is known of a source once its first frame is there."""

    name: str
    """Path, address or word for messages."""
    path: Path | None
    """The file; None for arrays, cameras and streams."""
    height: int
    """Pixels of the upright frame."""
    width: int
    fps: Fraction
    """Average rate."""
    duration_seconds: float | None
    """None where it is not known."""
    has_audio: bool
    is_live: bool = False
    """Frames come when they come, and are dropped where nobody takes them."""


class SourceFrame(Protocol):
    """One frame of a source, as it was decoded; a conversion happens where it is asked for."""

    @property
    def seconds(self) -> float:
        """When it begins to be shown, from the start of the video."""

    @property
    def duration_seconds(self) -> float:
        """How long it is shown if no other frame follows."""

    def rgb_HWC(self) -> np.ndarray:
        """Return the upright picture, uint8; it must not be written to."""
        ...

    def luma_HW(self) -> np.ndarray:
        """Return its brightness, uint8, as it was stored: perhaps turned. For cuts."""
        ...


@dataclass(frozen=True)
class ShownFrame:
    """One frame of a video, on its way to whoever draws it."""

    seconds: float
    """When it begins to be shown, from the start of the video."""
    duration_seconds: float
    """How long it is shown if no other frame follows."""
    shot: int
    """Number of its shot, from 0 at the first frame that was read; one more at each cut."""
    source: SourceFrame

    def rgb_HWC(self) -> np.ndarray:
        """Return the upright picture, uint8; it is converted by each call. Do not write to it."""
        return self.source.rgb_HWC()


class VideoSource(Protocol):
    """Frames in order of display; made to be gone through once, by one thread."""

    @property
    def info(self) -> SourceInfo:
        """Known from the start, because the first frame is decoded by then."""

    @property
    def tolerance_seconds(self) -> float:
        """How much later than asked a frame may begin and still be the one shown."""

    @property
    def num_decoded(self) -> int:
        """Frames decoded so far."""

    @property
    def num_dropped(self) -> int:
        """Frames that came and were never seen, because nobody took them in time."""

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames from the start that the source was made with.

        Raises:
            VideoError: the source is damaged, or ends before it should.
        """
        ...

    def close(self) -> None:
        """Let go of the file or device; may be called twice."""
        ...


@dataclass(frozen=True)
class _DecodedFrame:
    """A frame of a file in its own pixel format: half the memory of RGB."""

    seconds: float
    duration_seconds: float
    native: av.VideoFrame
    video: VideoFile

    def rgb_HWC(self) -> np.ndarray:
        return to_rgb(self.video, self.native)

    def luma_HW(self) -> np.ndarray:
        return luma_of(self.native)


@dataclass(frozen=True)
class _ArrayFrame:
    seconds: float
    duration_seconds: float
    array_HWC: np.ndarray

    def rgb_HWC(self) -> np.ndarray:
        return self.array_HWC

    def luma_HW(self) -> np.ndarray:
        return self.array_HWC[:, :, 1]  # green is most of what is seen as bright


class FileSource:
    """A video file from a second on.

    Args:
        path: the file.
        start_seconds: the first frame is the one shown here, or an earlier one.
        num_threads: of the decoder; 0 leaves the number to FFmpeg.
        max_pixels: largest width times height.

    Raises:
        VideoError: no readable video, no picture in it, too large a picture.
    """

    num_dropped = 0

    def __init__(
        self,
        path: str | Path,
        *,
        start_seconds: float = 0.0,
        num_threads: int = 1,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        self.num_decoded = 0
        self._video = VideoFile(path, max_pixels=max_pixels, num_threads=num_threads)
        try:
            self._frames = self._decoded(start_seconds)
            first = next(self._frames, None)
            if first is None:
                raise VideoError(f"{path}: no picture could be decoded from it.")
            height, width = _upright_size(first)
        except BaseException:
            self.close()
            raise
        self._first = first
        self.tolerance_seconds = self._video.tolerance_seconds
        self.info = SourceInfo(
            name=str(path),
            path=Path(path),
            height=height,
            width=width,
            fps=self._video.fps,
            duration_seconds=self._video.duration_seconds,
            has_audio=bool(self._video.container.streams.audio),
        )

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames; see `VideoSource`."""
        native = self._first.native
        size = (native.width, native.height)
        last = self._first
        for last in itertools.chain([self._first], self._frames):
            found = (last.native.width, last.native.height)
            if found != size:
                raise VideoError(
                    f"{self.info.name}: the picture changes from {size[0]}x{size[1]} to "
                    f"{found[0]}x{found[1]} at second {last.seconds:.3f}; encode it anew in one "
                    "size."
                )
            yield last
        self._check_end(last.seconds)

    def close(self) -> None:
        """Close the file."""
        self._video.container.close()

    def _decoded(self, start_seconds: float) -> Iterator[_DecodedFrame]:
        for seconds, frame in frames_from(self._video, start_seconds):
            self.num_decoded += 1
            duration = frame_duration_seconds(self._video, frame)
            yield _DecodedFrame(seconds, duration, frame, self._video)

    def _check_end(self, last_seconds: float) -> None:
        promised = self.info.duration_seconds
        if promised is None:
            return
        if promised > last_seconds + _TRUNCATED_SECONDS + float(1 / self.info.fps):
            raise VideoError(
                f"{self.info.name}: is truncated: its last frame is at second {last_seconds:.3f}, "
                f"but its header promises {promised:.3f} s."
            )


class ArraySource:
    """Frames of a program of one's own; each is copied, so that its buffer may be used again.

    Args:
        frames_HWC: uint8 RGB of one size; iterated in a thread of its own, but for the first.
        fps: frame i is shown at second i / fps.

    Raises:
        ConfigError: `fps` is missing or not above 0.
        VideoError: there is no frame.
        DataError: a frame is no RGB picture, or of another size than the first.
    """

    num_dropped = 0

    def __init__(self, frames_HWC: Iterable[np.ndarray], *, fps: float | Fraction | None) -> None:
        if fps is None or not 0 < fps < float("inf"):
            raise ConfigError(f"fps is {fps}; for arrays of frames it must be given, above 0.")
        self.num_decoded = 0
        self._fps = Fraction(fps).limit_denominator(100_000)
        self._arrays = iter(frames_HWC)
        self._size: tuple[int, ...] | None = None
        first = next(self._arrays, None)
        if first is None:
            raise VideoError("frames: there is none; give at least one array.")
        self._first = self._checked(first, 0)
        height, width, _ = self._first.array_HWC.shape
        self.tolerance_seconds = time_tolerance_seconds(float(fps))
        self.info = SourceInfo(
            name="frames",
            path=None,
            height=height,
            width=width,
            fps=self._fps,
            duration_seconds=None,
            has_audio=False,
        )

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames; see `VideoSource`."""
        yield self._first
        for index, array in enumerate(self._arrays, start=1):
            yield self._checked(array, index)

    def close(self) -> None:
        """Close the iterable where it is a generator."""
        close = getattr(self._arrays, "close", None)
        if close is not None:
            close()

    def _checked(self, array: np.ndarray, index: int) -> _ArrayFrame:
        shape: tuple[int, ...] = getattr(array, "shape", ())
        dtype = getattr(array, "dtype", type(array).__name__)
        wanted = "(H, W, 3)" if self._size is None else str(self._size)
        is_picture = dtype == np.uint8 and len(shape) == 3 and shape[2] == 3 and 0 not in shape
        if not is_picture or (self._size is not None and shape != self._size):
            raise DataError(
                f"frames: number {index} is {dtype} of shape {tuple(shape)}; every frame must be "
                f"uint8 RGB of one shape {wanted}."
            )
        self._size = tuple(shape)
        self.num_decoded += 1
        frame = np.array(array)
        return _ArrayFrame(float(index / self._fps), float(1 / self._fps), frame)


def luma_of(frame: av.VideoFrame) -> np.ndarray:
    """Return a frame's brightness (H, W), uint8: a view where its format has it, else a copy."""
    if frame.format.name in _LUMA_FIRST:
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8)
        if plane.line_size >= frame.width and len(rows) >= plane.line_size * frame.height:
            rows = rows[: plane.line_size * frame.height].reshape(frame.height, plane.line_size)
            return rows[:, : frame.width]
    return np.asarray(frame.to_ndarray(format="gray"))


def _upright_size(frame: _DecodedFrame) -> tuple[int, int]:
    height, width = int(frame.native.height), int(frame.native.width)
    return (width, height) if frame.native.rotation % 180 else (height, width)
