"""Frames into one H.264 mp4 that plays in a browser.

Shape suffixes in this file: H x W pixels, C the three channels red, green, blue.
"""

import os
import tempfile
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np

from x3d_det.errors import VideoError
from x3d_det.io.sound import SoundTrack

# Explicit times are kept to 1/90000 s, the clock of MPEG: 24, 25, 30 and 29.97 fps are exact.
_CLOCK = Fraction(1, 90_000)
_BT601, _LIMITED_RANGE = 6, 1  # what swscale makes of RGB; written down so that players agree


class VideoWriter:
    """Write RGB frames one by one into an H.264 (yuv420p) mp4.

    A context manager. The file appears under its name when the block ends without
    an exception, whole or not at all; until then it has a temporary name beside it.
    The same frames give the same bytes, because no date is written and the encoder
    runs on a fixed number of threads; but on a busy machine x264 has been seen to code
    them otherwise now and then (its macroblock tree in AVX-512; see the changelog).

    Args:
        path: the mp4 to write; its folder is made where it is missing.
        height, width: size of the frames given to `write`. An odd size is padded by one
            row or column, a copy of the last, because yuv420p halves both sides.
        fps: frames per second; with explicit times only a hint for players.
        crf: quality of x264, 0 (lossless) to 51 (worst).
        gop_frames: most frames between two key frames; None leaves x264's 250.
        preset: speed of x264, "ultrafast" to "placebo".
        num_threads: encoder threads; part of what fixes the bytes.
        audio_from: a media file whose first sound stream is carried along, cut to the
            length of the picture; a file without sound gives a video without sound.
        audio_start_seconds: second of `audio_from` that plays with the first frame.

    Raises:
        VideoError: a frame of another size, times that do not rise, no frame at all,
            or a file that cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        height: int,
        width: int,
        fps: Fraction | int | float,
        crf: int = 23,
        gop_frames: int | None = None,
        preset: str = "veryfast",
        num_threads: int = 1,
        audio_from: Path | None = None,
        audio_start_seconds: float = 0.0,
    ) -> None:
        self.path = Path(path)
        self.height = height
        self.width = width
        self.fps = Fraction(fps).limit_denominator(100_000)
        if height < 1 or width < 1:
            raise VideoError(f"{self.path}: a video of {width}x{height} pixels cannot be written.")
        if self.fps <= 0:
            raise VideoError(f"{self.path}: fps = {fps} is not above 0.")
        self.num_frames = 0
        self._crf, self._gop_frames, self._preset = crf, gop_frames, preset
        self._num_threads = num_threads
        self._audio_from, self._audio_start_seconds = audio_from, audio_start_seconds
        self._last_pts = -1
        self._explicit_times = False
        self._temporary: Path | None = None
        self._container: Any = None
        self._stream: Any = None
        self._sound: SoundTrack | None = None

    def __enter__(self) -> "VideoWriter":
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(
                prefix=f".{self.path.name}.", suffix=".tmp", dir=self.path.parent
            )
        except OSError as error:
            raise VideoError(f"{self.path}: cannot be written: {error.strerror}.") from error
        os.close(handle)
        self._temporary = Path(name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._temporary is not None
        try:
            if kind is None:
                self._finish()
        finally:
            self._close_quietly()
            self._temporary.unlink(missing_ok=True)

    def write(self, frame_HWC: np.ndarray, seconds: float | None = None) -> None:
        """Append one frame.

        Args:
            frame_HWC: uint8 RGB of the size given to the constructor.
            seconds: when the frame is shown, from 0, rising; None places it 1 / fps after
                the one before. All frames of a video have a time, or none has.
        """
        if self._temporary is None:
            raise VideoError(f"{self.path}: VideoWriter is used outside its `with` block.")
        if frame_HWC.shape != (self.height, self.width, 3) or frame_HWC.dtype != np.uint8:
            raise VideoError(
                f"{self.path}: frame {self.num_frames} has shape {frame_HWC.shape} and type "
                f"{frame_HWC.dtype}; it must be ({self.height}, {self.width}, 3) and uint8."
            )
        if self.num_frames == 0:
            self._explicit_times = seconds is not None
        elif self._explicit_times != (seconds is not None):
            raise VideoError(
                f"{self.path}: frame {self.num_frames} has "
                f"{'no time' if seconds is None else 'a time'} and those before differ; "
                "give a time to all frames or to none."
            )
        pts = self.num_frames if seconds is None else round(seconds / _CLOCK)
        if pts <= self._last_pts:
            raise VideoError(
                f"{self.path}: frame {self.num_frames} is to be shown at {seconds} s, not after "
                f"the one before ({float(self._last_pts * _CLOCK)} s); times start at 0 and rise."
            )
        try:
            self._encode(_pad_to_even(frame_HWC), pts)
        except (av.FFmpegError, OSError) as error:
            raise self._write_error(error) from error
        self._last_pts = pts
        self.num_frames += 1

    def _encode(self, frame_HWC: np.ndarray, pts: int) -> None:
        if self._container is None:
            self._open(frame_HWC.shape[0], frame_HWC.shape[1])
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
        frame.pts = pts
        frame.time_base = self._time_base
        self._container.mux(self._stream.encode(frame))
        self._mux_sound_until(float(pts * self._time_base))

    @property
    def _time_base(self) -> Fraction:
        return _CLOCK if self._explicit_times else 1 / self.fps

    def _open(self, height: int, width: int) -> None:
        self._container = av.open(
            str(self._temporary),
            "w",
            format="mp4",
            options={"movflags": "+faststart", "fflags": "+bitexact"},
        )
        stream = self._container.add_stream("libx264", rate=self.fps)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        context = stream.codec_context
        context.time_base = self._time_base
        context.thread_count = self._num_threads
        context.color_range = _LIMITED_RANGE
        context.colorspace = context.color_primaries = context.color_trc = _BT601
        # With B-frames uneven times give the file a wrong duration, and x264 has been seen to
        # give other bytes for the same frames.
        context.max_b_frames = 0
        if self._gop_frames is not None:
            context.gop_size = self._gop_frames
        context.options = {"crf": str(self._crf), "preset": self._preset}
        self._stream = stream
        if self._audio_from is not None:
            self._sound = SoundTrack(
                self._audio_from, self._container, start_seconds=self._audio_start_seconds
            )

    def _mux_sound_until(self, end_seconds: float) -> None:
        if self._sound is not None:
            self._sound.mux_until(end_seconds)

    def _finish(self) -> None:
        assert self._temporary is not None
        if self.num_frames == 0:
            raise VideoError(f"{self.path}: no frame was written; a video needs at least one.")
        try:
            self._container.mux(self._stream.encode(None))
            self._mux_sound_until(float(self._last_pts * self._time_base + 1 / self.fps))
            self._container.close()
            self._container = None
            umask = os.umask(0)
            os.umask(umask)
            self._temporary.chmod(0o666 & ~umask)  # mkstemp makes it readable to us alone
            os.replace(self._temporary, self.path)
        except (av.FFmpegError, OSError) as error:
            raise self._write_error(error) from error

    def _close_quietly(self) -> None:
        """Free the encoder after a failure whose own error is on its way to the user."""
        if self._container is not None:
            container, self._container = self._container, None
            try:
                container.close()
            except (av.FFmpegError, OSError):
                return

    def _write_error(self, error: Exception) -> VideoError:
        return VideoError(
            f"{self.path}: frame {self.num_frames} could not be written: {_reason(error)}."
        )


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)


def _pad_to_even(frame_HWC: np.ndarray) -> np.ndarray:
    odd_height, odd_width = frame_HWC.shape[0] % 2, frame_HWC.shape[1] % 2
    if not odd_height and not odd_width:
        return frame_HWC
    return np.pad(frame_HWC, ((0, odd_height), (0, odd_width), (0, 0)), mode="edge")
