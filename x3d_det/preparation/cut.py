"""A stretch of a film as a file of its own: every frame, each with its own time.

A cut starts with the frame that the film shows at the first second, at time 0; every other frame
keeps its distance to that second. So what a film shows at second s, its cut from second A shows
at s - A, whatever the rate, and nothing is scaled, dropped or doubled.
"""

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.frame import PictureType

from x3d_det.errors import VideoError
from x3d_det.io.sound import SoundTrack
from x3d_det.io.video import DEFAULT_MAX_PIXELS
from x3d_det.io.video_file import (
    VideoFile,
    frame_duration_seconds,
    frames_from,
    rotation_degrees,
    to_rgb,
)

_PRESET = "veryfast"
# Times of the new file count in at least this many ticks a second; mp4 allows 2^31.
_LEAST_CLOCK_HZ = 90_000
_TIME_TOLERANCE_SECONDS = 1e-4
_TRUNCATED_SECONDS = 0.5
# Of formats that are encoded as they are, the ones for pictures of odd height or width: H.264
# with halved colour planes has even sizes only.
_FORMATS = {"yuv420p": "yuv444p", "yuvj420p": "yuvj444p"}

Progress = Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class CutSettings:
    """How films are cut.

    Args:
        start_seconds, end_seconds: the stretch of the film, half-open.
        short_side: scale so that the shorter side has this many pixels; None keeps the size.
        gop_frames: most frames between two key frames; few make reading at any second quick.
        crf: quality of x264, 0 (lossless) to 51 (worst).
        keep_sound: carry the sound along.
    """

    start_seconds: float = 900.0
    end_seconds: float = 1801.0
    short_side: int | None = None
    gop_frames: int = 12
    crf: int = 18
    keep_sound: bool = True

    def as_dict(self) -> dict[str, object]:
        """Return the settings for a record."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What a cut holds; times are seconds of the new file."""

    path: Path
    num_frames: int
    last_seconds: float
    """When its last frame begins."""
    ends_early: bool
    """The film ended before the stretch did."""


def cut_film(
    film: Path,
    path: Path,
    settings: CutSettings,
    *,
    progress: Progress | None = None,
    before_naming: Callable[[Path, Cut], None] | None = None,
    num_threads: int = 1,
) -> Cut:
    """Write a stretch of `film` to `path`, H.264 in mp4; checked by decoding all of it again.

    Args:
        film: the video file.
        path: the file to make or replace; it appears whole, or not at all.
        settings: the stretch, and how it is encoded.
        progress: called with the share that is done, in [0, 1].
        before_naming: called with the checked file, still under its temporary name.
        num_threads: of the decoder and of the encoder.

    Raises:
        VideoError: a film that is broken, truncated or ends before the stretch; a picture that
            changes its size; a result with other frames or times than went in.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with VideoFile(film, max_pixels=DEFAULT_MAX_PIXELS, num_threads=num_threads) as video:
            seconds = _write(video, temporary, settings, progress, num_threads)
            ends_early = _ends_early(video, settings, seconds[-1])
        _check(temporary, film, seconds, num_threads)
        cut = Cut(
            path=path, num_frames=len(seconds), last_seconds=seconds[-1], ends_early=ends_early
        )
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        if before_naming is not None:
            before_naming(temporary, cut)
        os.replace(temporary, path)
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{path}: cannot be cut from {film}: {reason}.") from error
    finally:
        temporary.unlink(missing_ok=True)
    return cut


def _write(
    video: VideoFile,
    path: Path,
    settings: CutSettings,
    progress: Progress | None,
    num_threads: int,
) -> list[float]:
    """Encode the stretch; return when each frame begins, in seconds of the new file."""
    start, end = settings.start_seconds, settings.end_seconds
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        encoder: _Encoder | None = None
        for seconds, duration_seconds, frame in _stretch(video, start, end):
            if encoder is None:
                encoder = _Encoder(container, video, frame, settings, num_threads)
            encoder.encode(seconds, duration_seconds, frame)
            if progress is not None:
                progress(min((seconds + duration_seconds) / (end - start), 1.0))
        if encoder is None:
            length = video.duration_seconds
            lasts = "" if length is None else f" It lasts {length:.3f} s."
            raise VideoError(
                f"{video.path}: ends before second {start:g}, where the cut would start.{lasts} "
                "Get the film anew, or choose other --cut-seconds."
            )
        encoder.finish()
    return encoder.seconds


def _stretch(
    video: VideoFile, start_seconds: float, end_seconds: float
) -> Iterator[tuple[float, float, av.VideoFrame]]:
    """Yield (second after the start, duration, frame), from the frame shown at the start on."""
    tolerance = video.tolerance_seconds
    held: tuple[float, av.VideoFrame] | None = None
    is_first = True

    def placed(until_seconds: float) -> tuple[float, float, av.VideoFrame]:
        assert held is not None
        begins = 0.0 if is_first else held[0] - start_seconds
        return begins, min(until_seconds, end_seconds) - start_seconds - begins, held[1]

    for seconds, frame in frames_from(video, start_seconds):
        if held is not None and seconds > start_seconds + tolerance:
            yield placed(seconds)
            is_first = False
        if seconds >= end_seconds - tolerance:
            return
        held = (seconds, frame)
    if held is not None:
        shown_until = held[0] + frame_duration_seconds(video, held[1])
        if shown_until > start_seconds + tolerance:
            yield placed(shown_until)


class _Encoder:
    """The new file's picture, and its sound beside it."""

    def __init__(
        self,
        container: Any,
        video: VideoFile,
        first: av.VideoFrame,
        settings: CutSettings,
        num_threads: int,
    ) -> None:
        self.seconds: list[float] = []
        self._container, self._video = container, video
        self._size = (first.height, first.width)
        picture = self._upright(first)
        self._height, self._width = _scaled(picture.height, picture.width, settings.short_side)
        is_odd = bool(self._height % 2 or self._width % 2)
        name = picture.format.name if picture.format.name in _FORMATS else "yuv420p"
        self._format = _FORMATS[name] if is_odd else name
        self._durations: dict[int, int] = {}
        self._clock = _clock(video.time_base)
        self._stream = self._opened(picture, settings, num_threads)
        self._sound = self._opened_sound(settings) if settings.keep_sound else None

    def _opened(self, picture: av.VideoFrame, settings: CutSettings, num_threads: int) -> Any:
        stream = self._container.add_stream("libx264", rate=self._video.fps)
        stream.height, stream.width, stream.pix_fmt = self._height, self._width, self._format
        context, read = stream.codec_context, self._video.stream.codec_context
        context.time_base = self._clock
        context.thread_count = num_threads
        if read.sample_aspect_ratio:
            context.sample_aspect_ratio = read.sample_aspect_ratio
        context.color_range, context.colorspace = picture.color_range, picture.colorspace
        context.color_primaries, context.color_trc = read.color_primaries, read.color_trc
        # With B-frames uneven times give the file a wrong duration.
        context.max_b_frames = 0
        context.gop_size = settings.gop_frames
        context.options = {"crf": str(settings.crf), "preset": _PRESET}
        return stream

    def _opened_sound(self, settings: CutSettings) -> SoundTrack:
        audio = next(iter(self._video.container.streams.audio), None)
        late = 0.0  # how much later than the picture the film's sound begins
        if audio is not None:
            late = float((audio.start_time or 0) * audio.time_base)
            late -= float((self._video.start_pts or 0) * self._video.time_base)
        start = settings.start_seconds - late
        return SoundTrack(self._video.path, self._container, start_seconds=start)

    def encode(self, seconds: float, duration_seconds: float, frame: av.VideoFrame) -> None:
        """Append a frame that is shown at `seconds`."""
        if (frame.height, frame.width) != self._size:
            raise VideoError(
                f"{self._video.path}: the picture changes from {self._size[1]}x{self._size[0]} to "
                f"{frame.width}x{frame.height} {seconds:.3f} s into the cut; such a film cannot "
                "be one video."
            )
        picture = self._upright(frame)
        if (picture.height, picture.width, picture.format.name) != (
            self._height,
            self._width,
            self._format,
        ):
            picture = picture.reformat(self._width, self._height, self._format)
        picture.pts, picture.time_base = round(seconds / self._clock), self._clock
        picture.pict_type = PictureType.NONE  # else the film's key frames would be forced again
        self._durations[picture.pts] = max(1, round(duration_seconds / self._clock))
        self._mux(self._stream.encode(picture))
        self.seconds.append(seconds)
        if self._sound is not None:
            self._sound.mux_until(seconds)
        self._end_seconds = seconds + duration_seconds

    def finish(self) -> None:
        """Write what the encoder still holds, and the rest of the sound."""
        self._mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.mux_until(self._end_seconds)

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts)
            self._container.mux(packet)

    def _upright(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Return the frame as it is shown; turned pixels stay right where the mark gets lost."""
        if not rotation_degrees(self._video, frame):
            return frame
        rgb_HWC = to_rgb(self._video, frame)
        return av.VideoFrame.from_ndarray(rgb_HWC.copy(), format="rgb24")


def _clock(time_base: Fraction) -> Fraction:
    """Return ticks in which whole seconds and all times of the film are whole numbers."""
    times = math.ceil(_LEAST_CLOCK_HZ / time_base.denominator)
    return Fraction(1, time_base.denominator * times)


def _scaled(height: int, width: int, short_side: int | None) -> tuple[int, int]:
    """Return the size with the shorter side scaled, both even."""
    if short_side is None:
        return height, width
    scale = short_side / min(height, width)
    return 2 * round(height * scale / 2), 2 * round(width * scale / 2)


def _ends_early(video: VideoFile, settings: CutSettings, last_seconds: float) -> bool:
    """Return whether the film is shorter than the stretch; raise where it is truncated."""
    last = settings.start_seconds + last_seconds
    slack = _TRUNCATED_SECONDS + float(1 / video.fps)
    promised = video.duration_seconds
    if promised is not None and last + slack < min(promised, settings.end_seconds):
        raise VideoError(
            f"{video.path}: is truncated: its last frame is at second {last:.3f}, but its header "
            f"promises {promised:.3f} s. Get the film anew."
        )
    return last + slack < settings.end_seconds


def _check(path: Path, film: Path, seconds: list[float], num_threads: int) -> None:
    """Decode the new file and compare every time with what went in."""
    with VideoFile(path, max_pixels=DEFAULT_MAX_PIXELS, num_threads=num_threads) as video:
        found = [second for second, _ in frames_from(video, 0.0)]
    if len(found) != len(seconds):
        raise VideoError(
            f"{film}: {len(seconds)} frames went into the cut and {len(found)} come out; nothing "
            "was kept."
        )
    for number, (wanted, got) in enumerate(zip(seconds, found, strict=True)):
        if abs(wanted - got) > _TIME_TOLERANCE_SECONDS:
            raise VideoError(
                f"{film}: frame {number} of the cut is at second {got:.6f} in place of "
                f"{wanted:.6f}; nothing was kept."
            )
