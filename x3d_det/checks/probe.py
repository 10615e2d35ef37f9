"""What a video file, or a folder of frames, really holds: looked into, or decoded to the end.

Called in processes of their own; results are plain values that travel between processes.
"""

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from x3d_det.checks.watched import Report
from x3d_det.errors import VideoError
from x3d_det.io.video import DEFAULT_MAX_PIXELS
from x3d_det.io.video_file import (
    VideoFile,
    frame_duration_seconds,
    frames_from,
    rotation_degrees,
    time_tolerance_seconds,
)

_FRAMES_LOOKED_AT = 48
_TAIL_SECONDS = 1.5  # more than the reader's allowance for headers that round
_IMAGES_A_SECOND_CHECKED = 1000  # reports come this often while a folder is listed


@dataclass(frozen=True, kw_only=True)
class VideoJob:
    """One video file to look into.

    Args:
        path: the file.
        full_decode: decode every frame, not the first and last ones alone.
        max_pixels: largest width times height.
    """

    path: str
    full_decode: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS


@dataclass(frozen=True, kw_only=True)
class FramesJob:
    """One folder of extracted frames to look into.

    Args:
        folder: of this video.
        video_id: its id.
        template, fps, first_index: as `io.frame_folder.FrameFolderReader` has them.
        full_decode: open every image, not the first and the last alone.
    """

    folder: str
    video_id: str
    template: str
    fps: float
    first_index: int
    full_decode: bool = False


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What was found in a video; with an `error`, what came before it."""

    error: str | None = None
    """Why it cannot be read, without the path; None where it can."""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    codec: str = ""
    rotation_degrees: int = 0
    pixel_aspect: float = 1.0
    """Width of a pixel by its height."""
    shortest_frame_seconds: float = 0.0
    longest_frame_seconds: float = 0.0
    """Of the frames looked at: the first ones, or all."""
    promised_seconds: float | None = None
    """Length by the header, None where it says none."""
    end_seconds: float | None = None
    """End of the last frame, with the tolerance of the reader; None where unknown."""
    num_damaged: int = 0
    """Frames that the decoder marked as damaged (full decode)."""
    first_damaged_seconds: float = 0.0
    num_frames: int | None = None
    """Counted in a full decode, or by the header; None where unknown."""


@dataclass(frozen=True, kw_only=True)
class FramesFacts:
    """What was found in a folder of frames."""

    error: str | None = None
    num_images: int = 0
    """Images from `first_index` to the last."""
    missing: tuple[int, ...] = ()
    """Numbers between that no image has."""
    end_seconds: float | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    """Sizes (width, height) that occur among the images opened."""
    broken: tuple[tuple[str, str], ...] = ()
    """Images that cannot be read: file name and reason."""
    num_strangers: int = 0
    """Files that the template does not name."""


def look_into(job: VideoJob | FramesJob, report: Report) -> VideoFacts | FramesFacts:
    """Return the facts of a video file or a folder of frames; faults are facts too."""
    return _look_into_video(job, report) if isinstance(job, VideoJob) else _frames(job, report)


def _look_into_video(job: VideoJob, report: Report) -> VideoFacts:
    facts: dict = {}
    try:
        with VideoFile(job.path, max_pixels=job.max_pixels) as video:
            facts |= {
                "fps": float(video.fps),
                "codec": video.stream.codec_context.name,
                "promised_seconds": video.duration_seconds,
                "num_frames": video.stream.frames or None,
            }
            _read_head(video, facts)
        with VideoFile(job.path, max_pixels=job.max_pixels) as video:
            is_short_look = not job.full_decode and video.duration_seconds is not None
            start = (video.duration_seconds or 0.0) - _TAIL_SECONDS if is_short_look else 0.0
            _read_on(video, max(start, 0.0), facts, report, counts=not is_short_look)
    except VideoError as error:
        facts["error"] = str(error).removeprefix(f"{job.path}: ")
    return VideoFacts(**facts)


def _read_head(video: VideoFile, facts: dict) -> None:
    """Note size, rotation and the lengths of the first frames."""
    seconds: list[float] = []
    for second, frame in itertools.islice(frames_from(video, 0.0), _FRAMES_LOOKED_AT):
        if not seconds:
            degrees = rotation_degrees(video, frame)
            aspect = video.stream.sample_aspect_ratio
            facts |= {
                "width": frame.width,
                "height": frame.height,
                "rotation_degrees": degrees,
                "pixel_aspect": float(aspect) if aspect else 1.0,
            }
        seconds.append(second)
    if not seconds:
        raise VideoError("no picture could be decoded from it.")
    steps = [b - a for a, b in itertools.pairwise(seconds)]
    if steps:
        facts |= {"shortest_frame_seconds": min(steps), "longest_frame_seconds": max(steps)}


def _read_on(
    video: VideoFile, start_seconds: float, facts: dict, report: Report, *, counts: bool
) -> None:
    """Read from a second to the end of the file and note where that is, and what is damaged."""
    last: float | None = None
    number = 0
    size = None
    for second, frame in frames_from(video, start_seconds):
        if last is not None and counts:
            step = second - last
            facts["shortest_frame_seconds"] = min(facts["shortest_frame_seconds"], step)
            facts["longest_frame_seconds"] = max(facts["longest_frame_seconds"], step)
        number, last = number + 1, second
        end = second + frame_duration_seconds(video, frame)
        facts["end_seconds"] = end + 2 * video.tolerance_seconds
        if size not in (None, (frame.width, frame.height)):
            raise VideoError(
                f"the picture changes from {size[0]}x{size[1]} to {frame.width}x{frame.height} "  # type: ignore[index]
                f"at second {second:.3f}; encode it anew in one size."
            )
        size = (frame.width, frame.height)
        if frame.is_corrupt:
            facts.setdefault("first_damaged_seconds", second)
            facts["num_damaged"] = facts.get("num_damaged", 0) + 1
        report(second)
    if counts:
        facts["num_frames"] = number


def _frames(job: FramesJob, report: Report) -> FramesFacts:
    folder = Path(job.folder)
    indices: set[int] = set()
    num_strangers = 0
    try:
        for place, name in enumerate(os.listdir(folder)):
            index = _index_of(name, job)
            if index is None:
                num_strangers += 1
            else:
                indices.add(index)
            if place % _IMAGES_A_SECOND_CHECKED == 0:
                report(0.0)
    except OSError as error:
        return FramesFacts(error=f"is no folder of frames: {error.strerror or error}.")
    example = job.template.format(video_id=job.video_id, index=job.first_index)
    indices = {index for index in indices if index >= job.first_index}
    if not indices:
        return FramesFacts(
            error=f"holds no frame named like {example}.", num_strangers=num_strangers
        )
    numbers = range(job.first_index, max(indices) + 1)
    sizes, broken = _open_images(job, sorted(indices), report)
    return FramesFacts(
        num_images=len(numbers),
        missing=tuple(number for number in numbers if number not in indices),
        end_seconds=len(numbers) / job.fps + 2 * time_tolerance_seconds(job.fps),
        sizes=tuple(sizes),
        broken=tuple(broken),
        num_strangers=num_strangers,
    )


def _index_of(name: str, job: FramesJob) -> int | None:
    """Return the number that makes the template give this name, None where there is none."""
    for digits in reversed(re.findall(r"\d+", name)):
        if job.template.format(video_id=job.video_id, index=int(digits)) == name:
            return int(digits)
    return None


def _open_images(
    job: FramesJob, indices: list[int], report: Report
) -> tuple[list[tuple[int, int]], list[tuple[str, str]]]:
    sizes: dict[tuple[int, int], None] = {}
    broken = []
    for name, second in _names_to_open(job, indices):
        try:
            with Image.open(Path(job.folder) / name) as image:
                if image.width * image.height > DEFAULT_MAX_PIXELS:
                    raise OSError(f"{image.width}x{image.height} is more than the pixels allowed")
                image.load()
                sizes[image.size] = None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = getattr(error, "strerror", None) or str(error).split(" '/")[0]
            broken.append((name, reason))
        report(second)
    return list(sizes), broken


def _names_to_open(job: FramesJob, indices: list[int]) -> Iterator[tuple[str, float]]:
    for index in indices if job.full_decode else sorted({indices[0], indices[-1]}):
        name = job.template.format(video_id=job.video_id, index=index)
        yield name, (index - job.first_index) / job.fps
