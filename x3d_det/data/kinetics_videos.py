"""Videos with one label each, and at which seconds their clips lie.

Second 0 is the start of a file's picture stream. A clip of T frames takes up
T * stride / fps seconds, its span; it may start wherever its span still ends inside the
video. A shorter video has one legal start, second 0, and its last frame is repeated.

Shape suffixes in this file: T frames, V clips of a video.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np

from x3d_det.errors import DataError, VideoError
from x3d_det.io.video import DEFAULT_MAX_PIXELS, DecodedClip, read_frames_at
from x3d_det.io.video_file import VideoFile
from x3d_det.io.video_lists import LabelledVideo

ClipRule = Literal["middle", "pyslowfast"]
"""Where the clips of a test lie; see `view_starts`."""
Spacing = Literal["stride", "span"]
"""How far a clip's frames lie apart; see `frame_offsets`."""
# Broken videos that a message names.
_NUM_NAMED = 10


class ClipPlan(NamedTuple):
    """What a clip is made of, as far as multigrid training varies it."""

    num_frames: int
    """T."""
    sampling_stride: int
    """Steps of 1 / fps between two frames."""
    crop_px: int
    """Side of the square crop."""
    short_side_range_px: tuple[int, int]
    """Lowest and highest short side, both included."""

    def check(self) -> None:
        """Raise for numbers that cannot be.

        Raises:
            ValueError: no frame or stride, or a crop larger than the lowest short side.
        """
        low, high = self.short_side_range_px
        if self.num_frames < 1 or self.sampling_stride < 1:
            raise ValueError(
                f"num_frames is {self.num_frames} and sampling_stride {self.sampling_stride}; "
                "both must be at least 1."
            )
        if not 1 <= self.crop_px <= low <= high:
            raise ValueError(
                f"short_side_range_px is ({low}, {high}) and crop_px is {self.crop_px}; they must "
                "obey 1 <= crop_px <= lowest <= highest."
            )


def clip_span_seconds(num_frames: int, sampling_stride: int, fps: float) -> float:
    """Return how much of a video a clip takes up."""
    return num_frames * sampling_stride / fps


def frame_offsets(
    num_frames: int, sampling_stride: int, fps: float, spacing: Spacing = "stride"
) -> np.ndarray:
    """Return the seconds (T,) of a clip's frames from its start.

    Args:
        num_frames: T.
        sampling_stride: steps of 1 / fps.
        fps: rate in which the stride counts, whatever rate the video has.
        spacing: "stride" sets frames one stride apart, as in AVA's clips. "span" spreads them
            over the whole span, the last one step before its end: at 4 frames with stride 12
            they are 15.7 steps apart, not 12. Published weights were trained like that.

    Source: of "span": PySlowFast, slowfast/datasets/decoder.py, temporal_sampling;
        PyTorchVideo's UniformTemporalSubsample does the same.
    """
    if spacing == "stride" or num_frames == 1:
        return np.arange(num_frames) * sampling_stride / fps
    return np.linspace(0, (num_frames * sampling_stride - 1) / fps, num_frames)


def view_starts(
    duration_seconds: float, span_seconds: float, num_clips: int, rule: ClipRule = "middle"
) -> np.ndarray:
    """Return the seconds (num_clips,) at which the clips of a test start.

    Args:
        duration_seconds: of the video.
        span_seconds: of a clip.
        num_clips: K.
        rule: "middle": one clip in the middle; several evenly from the first legal start to
            the last, both included. "pyslowfast": clip k starts at k / K of the last legal
            start, so that this is never used, and one clip is the first of the video.

    Source: X3D, arXiv:2004.04730, "K-Center" testing; PySlowFast,
        slowfast/datasets/decoder.py, get_start_end_idx without offset sampling.
    """
    assert num_clips >= 1
    last_start = max(0.0, duration_seconds - span_seconds)
    if rule == "pyslowfast":
        return last_start * np.arange(num_clips) / num_clips
    if num_clips == 1:
        return np.array([last_start / 2])
    return np.linspace(0, last_start, num_clips)


class VideoFiles:
    """Labelled videos in a few arrays, which travel cheaply to data workers.

    Args:
        videos: in the order of their indices.
        num_threads: decoder threads a read.
        max_pixels: largest width times height.
    """

    def __init__(
        self,
        videos: Sequence[LabelledVideo],
        *,
        num_threads: int = 1,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        self.labels = np.array([video.label for video in videos], dtype=np.int64)
        self._paths = _Texts(os.fspath(video.path) for video in videos)
        self._places = _Texts(video.place for video in videos)
        self._num_threads, self._max_pixels = num_threads, max_pixels
        self._durations: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        """Return the file of a video."""
        return Path(self._paths[index])

    def name(self, index: int) -> str:
        """Return the last folder and the name of a video's file."""
        return "/".join(self.path(index).parts[-2:])

    def place(self, index: int) -> str:
        """Return where a video is listed."""
        return self._places[index]

    def duration_seconds(self, index: int) -> float:
        """Return the length of a video's pictures; looked up once.

        Raises:
            VideoError: the file cannot be read, or has no picture.
        """
        if index not in self._durations:
            found = _duration_seconds(self.path(index), max_pixels=self._max_pixels)
            self._durations[index] = found
        return self._durations[index]

    def read(self, index: int, seconds_VT: np.ndarray) -> tuple[DecodedClip, np.ndarray]:
        """Return the frames of several clips, every frame decoded and held once.

        Returns:
            The frames, and where in them those of each clip are: (V, T), int64.

        Raises:
            VideoError: the file cannot be read there.
        """
        # Overlapping clips share seconds up to rounding errors; a microsecond is no frame.
        seconds, places = np.unique(np.round(seconds_VT, 6), return_inverse=True)
        read = read_frames_at(
            self.path(index), seconds, num_threads=self._num_threads, max_pixels=self._max_pixels
        )
        return read, places.reshape(seconds_VT.shape)


class _Texts:
    """Many texts in one array of bytes: half a million `str` would be pickled one by one."""

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [os.fsencode(text) for text in texts]
        self._bytes = np.frombuffer(b"".join(encoded), np.uint8)
        self._ends = np.cumsum([0, *map(len, encoded)])

    def __getitem__(self, index: int) -> str:
        part = self._bytes[self._ends[index] : self._ends[index + 1]]
        return os.fsdecode(part.tobytes())


def _duration_seconds(path: Path, *, max_pixels: int) -> float:
    """Return the length a header states, else the end of the last packet, without decoding."""
    with VideoFile(path, max_pixels=max_pixels) as video:
        stated = video.duration_seconds
        if stated:
            return stated
        first, end = video.start_pts, None
        try:
            for packet in video.container.demux(video.stream):
                if packet.pts is not None:
                    first = packet.pts if first is None else first
                    end = max(end or packet.pts, packet.pts + (packet.duration or 0))
        except (av.FFmpegError, OSError):
            pass  # reading the frames meets the same damage, and names it
        if first is None or end is None:
            return 0.0
        return max(0.0, float((end - first) * video.time_base))


def broken_text(videos: VideoFiles, index: int, error: VideoError) -> str:
    """Return what is wrong with a video, and where it is listed."""
    return f"{error} (listed at {videos.place(index)})"


class BrokenVideos:
    """Counts the different videos that could not be read, up to a limit.

    Args:
        max_broken: how many are borne.
    """

    def __init__(self, max_broken: int) -> None:
        self.max_broken = max_broken
        self.texts: dict[str, str] = {}
        """What is wrong, by name; in the order met."""

    def add(self, name: str, text: str) -> None:
        """Count one; a video met before counts once.

        Raises:
            DataError: there are more than `max_broken`; names the first of them.
        """
        self.texts.setdefault(name, text)
        if len(self.texts) > self.max_broken:
            raise DataError(
                f"{len(self.texts)} videos of the training set cannot be read, and "
                f"{self.max_broken} are borne: {self._named()} Mend them, take them out of the "
                "list, or raise the limit (max_broken)."
            )

    def _named(self) -> str:
        texts = list(self.texts.values())
        rest = len(texts) - _NUM_NAMED
        return " | ".join(texts[:_NUM_NAMED]) + (f" | and {rest} more." if rest > 0 else "")
