"""Small videos of every kind, made on the spot; every frame carries its number.

The number stands in the upper half as eight black or white columns, so that it
survives any codec; `frame_number` reads it back.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH = 48, 64
_NUM_BITS = 8
_CLOCK = 90_000


def numbered_frame(number: int, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a grey frame (H, W, 3) with `number` (0 to 255) as black and white columns."""
    frame_HWC = np.full((height, width, 3), 96, np.uint8)
    columns = np.arange(width) * _NUM_BITS // width
    bits = (number >> np.arange(_NUM_BITS)) & 1
    frame_HWC[: height // 2] = np.where(bits[columns], 235, 16)[None, :, None]
    return frame_HWC


def frame_number(frame_HWC: np.ndarray) -> int:
    """Return the number that a decoded frame carries."""
    height, width = frame_HWC.shape[:2]
    centers = (np.arange(_NUM_BITS) * width + width // 2) // _NUM_BITS
    bits = frame_HWC[height // 4, centers].mean(axis=-1) > 128
    return int((bits << np.arange(_NUM_BITS)).sum())


def make_video(
    path: Path,
    *,
    num_frames: int,
    fps: float | Fraction = 30,
    seconds: Sequence[float] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    height: int = HEIGHT,
    width: int = WIDTH,
    gop_frames: int = 12,
    b_frames: int = 0,
    rotation_degrees: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    container_format: str | None = None,
    with_audio: bool = False,
    first_seconds: float = 0.0,
) -> Path:
    """Write `num_frames` numbered frames; times are `seconds`, or index / fps."""
    fps = Fraction(fps).limit_denominator(100_000)
    with av.open(
        str(path), "w", format=container_format, options=container_options or {}
    ) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
        context = stream.codec_context
        context.gop_size, context.max_b_frames = gop_frames, b_frames
        context.time_base = 1 / fps if seconds is None else Fraction(1, _CLOCK)
        if codec.startswith("lib"):
            context.options = {"preset": "ultrafast", "crf": "10", **(options or {})}
        if codec == "libvpx-vp9":
            context.options = {"cpu-used": "8", "deadline": "realtime", "crf": "10", "b": "0"}
        if rotation_degrees:
            stream.set_display_rotation(rotation_degrees)
        audio = container.add_stream("aac", rate=16_000) if with_audio else None
        for number in range(num_frames):
            picture = numbered_frame(number, height=height, width=width)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
            frame.time_base = context.time_base
            shift = round(first_seconds / context.time_base)
            frame.pts = shift + (
                number if seconds is None else round(seconds[number] / context.time_base)
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None:
            _mux_tone(container, audio, num_samples=round(16_000 * num_frames / fps))
    return path


def _mux_tone(container: av.container.OutputContainer, stream: object, *, num_samples: int) -> None:
    for first in range(0, num_samples, 1024):
        wave = 0.1 * np.sin(np.arange(first, first + 1024) * 0.1).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, first, Fraction(1, 16_000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def make_audio(path: Path, *, seconds: float = 0.5) -> Path:
    """Write a file with sound alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        _mux_tone(container, stream, num_samples=round(16_000 * seconds))
    return path


def cut_file(path: Path, *, share: float) -> Path:
    """Keep the first `share` of a file's bytes, in a file of its own."""
    cut = path.with_name(f"cut_{path.name}")
    content = path.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    return cut
