"""Frames of a camera or of a stream's address: a thread takes them as they come.

Who comes late misses the oldest ones; memory does not grow. Shape suffixes as in `frames.py`.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from x3d_det.errors import VideoError
from x3d_det.io.video import DEFAULT_MAX_PIXELS
from x3d_det.io.video_file import stamp_of, time_tolerance_seconds
from x3d_det.video_detection.frames import SourceFrame, SourceInfo, luma_of

_TIMEOUT_SECONDS = 10.0
_WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class _LiveFrame:
    seconds: float
    duration_seconds: float
    native: av.VideoFrame

    def rgb_HWC(self) -> np.ndarray:
        return np.asarray(self.native.to_ndarray(format="rgb24"))

    def luma_HW(self) -> np.ndarray:
        return luma_of(self.native)


class LiveSource:
    """A camera or stream; second 0 is the first frame that came.

    Args:
        address: number of a camera, or the URL of a stream.
        max_frames: most frames that wait; then the oldest is dropped.
        max_pixels: largest width times height.
        timeout_seconds: a source that is silent for so long has ended.

    Raises:
        VideoError: it cannot be opened, has no picture, or sends none in time.
    """

    def __init__(
        self,
        address: int | str,
        *,
        max_frames: int = 32,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self.num_decoded = 0
        self.num_dropped = 0
        self.num_damaged = 0
        self._name = f"camera {address}" if isinstance(address, int) else address
        self._waiting: deque[_LiveFrame] = deque()
        self._max_frames = max_frames
        self._changed = threading.Condition()
        self._is_closed = self._has_ended = False
        self._error: VideoError | None = None
        self._container = _open(address, self._name, timeout_seconds)
        try:
            self._stream = self._checked_stream(max_pixels)
            self.tolerance_seconds = time_tolerance_seconds(float(self._fps))
            self._received = self._receive()
            first = next(self._received, None)
        except BaseException:
            self._container.close()
            raise
        if first is None:
            self._container.close()
            raise VideoError(f"{self._name}: no picture came from it.")
        self.info = SourceInfo(
            name=self._name,
            path=None,
            height=first.native.height,
            width=first.native.width,
            fps=self._fps,
            duration_seconds=None,
            has_audio=False,
            is_live=True,
        )
        self._waiting.append(first)
        self._thread = threading.Thread(target=self._capture, name="x3d_det capture", daemon=True)
        self._thread.start()

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames that were not dropped; see `VideoSource`."""
        while (frame := self._taken()) is not None:
            found, first = (frame.native.width, frame.native.height), self.info
            if found != (first.width, first.height):
                raise VideoError(
                    f"{self._name}: the picture changes from {first.width}x{first.height} to "
                    f"{found[0]}x{found[1]} at second {frame.seconds:.3f}; start again."
                )
            yield frame
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the thread and let go of the device."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()  # at most as long as the source may be silent

    def _taken(self) -> _LiveFrame | None:
        with self._changed:
            while not (self._waiting or self._has_ended or self._is_closed):
                self._changed.wait(_WAIT_SECONDS)
            return self._waiting.popleft() if self._waiting else None

    def _capture(self) -> None:
        try:
            for frame in self._received:
                with self._changed:
                    if self._is_closed:
                        return
                    if len(self._waiting) >= self._max_frames:
                        self._waiting.popleft()
                        self.num_dropped += 1
                    self._waiting.append(frame)
                    self._changed.notify_all()
        except VideoError as error:
            self._error = error
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()
            self._container.close()

    def _receive(self) -> Iterator[_LiveFrame]:
        """Yield frames with times that rise; a damaged packet is skipped and counted."""
        started, first_stamp, last = time.monotonic(), None, -1.0
        packets = self._container.demux(self._stream)
        while (packet := self._next_packet(packets, max(last, 0.0))) is not None:
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.num_damaged += 1
                continue
            for frame in frames:
                stamp = stamp_of(frame)
                if stamp is None:
                    seconds = time.monotonic() - started
                else:
                    first_stamp = stamp if first_stamp is None else first_stamp
                    seconds = float((stamp - first_stamp) * self._time_base)
                if seconds > last:
                    last = seconds
                    self.num_decoded += 1
                    yield _LiveFrame(seconds, float(1 / self._fps), frame)

    def _next_packet(self, packets: Iterator[Any], seconds: float) -> Any:
        try:
            return next(packets, None)
        except (av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise VideoError(
                f"{self._name}: broke off at second {seconds:.3f}: {reason}."
            ) from error

    def _checked_stream(self, max_pixels: int) -> Any:
        streams = self._container.streams.video
        if not streams:
            raise VideoError(f"{self._name}: has no video stream.")
        stream = streams[0]
        context = stream.codec_context
        if context.width * context.height > max_pixels:
            raise VideoError(
                f"{self._name}: pictures of {context.width}x{context.height} have more than the "
                f"{max_pixels} pixels allowed; ask the source for smaller ones."
            )
        self._time_base = Fraction(stream.time_base or Fraction(1, 1_000_000))
        self._fps = Fraction(stream.average_rate or stream.guessed_rate or 25)
        return stream


def _open(address: int | str, name: str, timeout_seconds: float) -> Any:
    file, form = str(address), None
    if isinstance(address, int):
        file, form = _camera(address)
    try:
        container: Any = av.open(file, "r", format=form, timeout=timeout_seconds)
        if container.format.name == "mpegts" and file.startswith("http"):
            # FFmpeg looks at the start of a transport stream and seeks back; over HTTP it may
            # then find the end of a short one at once. Without seeking it keeps what it saw.
            container.close()
            container = av.open(
                file, "r", timeout=timeout_seconds, container_options={"seekable": "0"}
            )
        return container
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{name}: cannot be opened: {reason}.") from error


def _camera(number: int) -> tuple[str, str]:
    """Return what FFmpeg calls a camera, and the interface that has it."""
    if number < 0:
        raise VideoError(f"camera {number}: cameras are numbered from 0.")
    if sys.platform.startswith("linux"):
        return f"/dev/video{number}", "v4l2"
    if sys.platform == "darwin":
        return str(number), "avfoundation"
    raise VideoError(
        f"camera {number}: cameras have no numbers on {sys.platform}; give the URL of a stream."
    )
