"""Action tubes: one person's box on every frame of an action, with the action's label.

Frames are numbered from 1 at the video's rate. Boxes are pixels of the video, corners as
their file has them; `ActionTubes.inclusive_corners` tells what x2 and y2 mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from x3d_det.errors import DataError, did_you_mean

SplitName = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class Tube:
    """One annotated or detected tube.

    Args:
        video_id: as the annotation file names the video.
        label: index of the action in `ActionTubes.labels`, from 0.
        frames: (n,) int64, rising by 1, the first at least 1; n is 1 or more.
        boxes_px: (n, 4) float64 x1, y1, x2, y2.
        score: any finite number; of annotations 1.
    """

    video_id: str
    label: int
    frames: np.ndarray
    boxes_px: np.ndarray
    score: float = 1.0


@dataclass(frozen=True, eq=False)
class FrameDetections:
    """Boxes with one action each.

    Args:
        videos: the ids that `video` counts.
        video: (N,) index in `videos`.
        frames: (N,) int64, from 1.
        labels: (N,) index of the action, from 0.
        scores: (N,) finite.
        boxes_px: (N, 4), corners as the annotation file has them.
    """

    videos: tuple[str, ...]
    video: np.ndarray
    frames: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    boxes_px: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    def of_videos(self, videos: Sequence[str]) -> "FrameDetections":
        """Return the rows of these videos."""
        wanted = set(videos)
        kept = np.array([video in wanted for video in self.videos], bool)[self.video]
        columns = (self.video, self.frames, self.labels, self.scores, self.boxes_px)
        return FrameDetections(self.videos, *(column[kept] for column in columns))


@dataclass(frozen=True, eq=False)
class ActionTubes:
    """The annotations of one data set.

    Args:
        path: the file, for messages.
        labels: names of the actions.
        tubes: of all videos and splits, in the file's order.
        num_frames: frames of each video.
        resolution: height and width of each video in pixels.
        splits: train and test videos of split 1, 2, ...
        inclusive_corners: True: x2 is the last pixel column of the person, so that the width
            is x2 - x1 + 1 (JHMDB-21, UCF101-24). False: the width is x2 - x1 (MultiSports).
    """

    path: str
    labels: tuple[str, ...]
    tubes: tuple[Tube, ...]
    num_frames: Mapping[str, int]
    resolution: Mapping[str, tuple[int, int]]
    splits: tuple[Mapping[SplitName, tuple[str, ...]], ...]
    inclusive_corners: bool

    def videos(self, split: int, name: SplitName) -> tuple[str, ...]:
        """Return the training or test videos of a split.

        Raises:
            DataError: there is no such split.
        """
        if not 1 <= split <= len(self.splits):
            raise DataError(
                f"{self.path} has no split {split}; it has "
                f"{'1' if len(self.splits) == 1 else f'1 to {len(self.splits)}'}."
            )
        return self.splits[split - 1][name]

    def tubes_of(self, videos: Sequence[str]) -> list[Tube]:
        """Return the tubes of these videos, in the file's order."""
        wanted = set(videos)
        return [tube for tube in self.tubes if tube.video_id in wanted]

    def video_named(self, name: str, place: str) -> str:
        """Return the video id meant by `name`: the id itself, or its part behind the last `/`.

        Args:
            name: as a file of detections has it.
            place: of the name, for the message.

        Raises:
            DataError: no or more than one video is meant.
        """
        if name in self.num_frames:
            return name
        found = [video for video in self.num_frames if bare_name(video) == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(
                f"{place}: the video {name!r} may be {found[0]!r} or {found[1]!r} of {self.path}; "
                "write the whole id."
            )
        names = [*self.num_frames, *map(bare_name, self.num_frames)]
        raise DataError(
            f"{place}: the video {name!r} is not in {self.path}, which has "
            f"{len(self.num_frames):,}{did_you_mean(name, names)}."
        )


def bare_name(video_id: str) -> str:
    """Return a video's name without the folders before it, as AVA's csv files want it."""
    return video_id.rsplit("/", 1)[-1]


def continuous_corners(boxes_px: np.ndarray, *, inclusive: bool) -> np.ndarray:
    """Return boxes (N, 4) whose width is x2 - x1, from a file's own corners."""
    return boxes_px + np.array([0.0, 0.0, 1.0, 1.0]) if inclusive else boxes_px


def file_corners(boxes_px: np.ndarray, *, inclusive: bool) -> np.ndarray:
    """Return boxes (N, 4) in a file's own corners: the reverse of `continuous_corners`."""
    return boxes_px - np.array([0.0, 0.0, 1.0, 1.0]) if inclusive else boxes_px


def checked_tube(
    video_id: str, label: int, frames: object, boxes: object, *, score: float = 1.0, place: str
) -> Tube:
    """Return a tube, its frames and boxes checked.

    Args:
        video_id: the video.
        label: index of the action.
        frames: frame numbers in order, whole numbers.
        boxes: x1, y1, x2, y2 a frame.
        score: of the tube.
        place: file and key, for the message.

    Raises:
        DataError: no frame, a frame below 1 or not whole, frames that do not rise by 1, a
            number that is not finite, an inverted box.
    """
    numbers, boxes_px = np.asarray(frames, np.float64), np.asarray(boxes, np.float64)
    if numbers.ndim != 1 or boxes_px.shape != (len(numbers), 4) or not len(numbers):
        raise DataError(
            f"{place}: frames of shape {numbers.shape} and boxes of shape {boxes_px.shape}; "
            "a tube has one frame or more, and four corners a frame."
        )
    if not (np.isfinite(numbers).all() and np.isfinite(boxes_px).all() and np.isfinite(score)):
        raise DataError(f"{place} holds a number that is not finite.")
    wrong = np.flatnonzero((numbers < 1) | (numbers != np.round(numbers)))
    if wrong.size:
        raise DataError(
            f"{place}: frame {numbers[wrong[0]]:g} is no frame number; they count 1, 2, 3, ..."
        )
    steps = np.flatnonzero(np.diff(numbers) != 1)
    if steps.size:
        first, second = numbers[steps[0] : steps[0] + 2]
        raise DataError(
            f"{place}: frame {second:g} follows frame {first:g}; the frames of a tube rise by 1. "
            "Fill the gap, or make two tubes of it."
        )
    inverted = np.flatnonzero((boxes_px[:, 2:] < boxes_px[:, :2]).any(axis=1))
    if inverted.size:
        row = inverted[0]
        corners = ", ".join(f"{value:g}" for value in boxes_px[row])
        raise DataError(
            f"{place}: the box {corners} of frame {numbers[row]:g} is inverted; boxes are "
            "x1, y1, x2, y2."
        )
    return Tube(video_id, label, numbers.astype(np.int64), boxes_px, float(score))
