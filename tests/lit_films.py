"""Films in which persons are bright rectangles, and a detector that finds exactly those.

A frame is 48 x 64 pixels, dark but for at most one rectangle in each half (left, right).
Corners are even, so that lossless yuv420p keeps every pixel. The score of a rectangle is its
width as a share of the half, 32 pixels.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from x3d_det.io.video import DecodedClip
from x3d_det.io.video_writer import VideoWriter

HEIGHT, WIDTH, HALF = 48, 64, 32
FPS = 4
Boxes = Sequence[tuple[int, int, int, int]]


def lit_frame(boxes: Boxes) -> np.ndarray:
    """Return a dark frame with bright boxes (x1, y1, x2, y2 in pixels)."""
    frame_HWC = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    for x1, y1, x2, y2 in boxes:
        frame_HWC[y1:y2, x1:x2] = 230
    return frame_HWC


def lit_film(path: Path, seconds: Sequence[Boxes]) -> Path:
    """Write a video of `len(seconds)` seconds, whose second i shows the boxes `seconds[i]`."""
    with VideoWriter(path, height=HEIGHT, width=WIDTH, fps=FPS, crf=0) as video:
        for boxes in seconds:
            for _ in range(FPS):
                video.write(lit_frame(boxes))
    return path


def drawn_boxes(second: int) -> Boxes:
    """Return some boxes for a second: none at each third, else one or two."""
    width, height = 2 + 2 * (second * 7 % 15), 4 + 2 * (second * 5 % 20)
    left = (2, 2, 2 + width, 2 + height)
    right = (HALF, 0, HALF + 8 + second % 12 * 2, height)
    return ([], [left], [left, right])[second % 3]


class LitDetector:
    """Finds the bright rectangles; frames of a batch do not matter to each other.

    Args:
        seconds_per_frame: it takes so long.
        settings: what a journal is to hold.
        fail_after: raise `error` at the call after so many.
        error: what to raise.
    """

    def __init__(
        self,
        *,
        seconds_per_frame: float = 0.0,
        settings: Mapping[str, str | int | float | None] | None = None,
        fail_after: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        self.settings = settings or {"backend": "lit", "min_score": 0.05}
        self.batches: list[list[tuple[float, ...]]] = []
        self._seconds_per_frame = seconds_per_frame
        self._fail_after, self._error = fail_after, error

    @property
    def num_frames(self) -> int:
        """Frames looked at so far."""
        return sum(map(len, self.batches))

    def detect(self, frames_HWC: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return (N, 5) float32 for each frame."""
        if self._error is not None and len(self.batches) == self._fail_after:
            raise self._error
        found = [self._find(frame_HWC) for frame_HWC in frames_HWC]
        self.batches.append([tuple(boxes.ravel()) for boxes in found])
        time.sleep(self._seconds_per_frame * len(frames_HWC))
        return found

    def _find(self, frame_HWC: np.ndarray) -> np.ndarray:
        rows = []
        for first in (0, HALF):
            half = frame_HWC[:, first : first + HALF].mean(axis=-1) > 128
            if half.any():
                ys, xs = np.flatnonzero(half.any(axis=1)), np.flatnonzero(half.any(axis=0))
                score = (xs[-1] + 1 - xs[0]) / HALF
                rows.append([first + xs[0], ys[0], first + xs[-1] + 1, ys[-1] + 1, score])
        return np.array(rows, np.float32).reshape(-1, 5)


class LitSource:
    """Films that are drawn when they are read; whole seconds from `start` on.

    Args:
        num_seconds: length of each film by video id.
        start: second of the film at which the files start.
    """

    def __init__(self, num_seconds: Mapping[str, int], *, start: float = 0.0) -> None:
        self._num_seconds, self._start = num_seconds, start
        self.reads: list[tuple[str, tuple[float, ...]]] = []

    def read(
        self,
        video_id: str,
        seconds_T: np.ndarray,
        *,
        required_seconds: Sequence[float] | np.ndarray = (),
    ) -> DecodedClip:
        """Return the drawn frames."""
        self.reads.append((video_id, tuple(seconds_T)))
        places = np.asarray(seconds_T) - self._start
        shown = np.clip(places, 0, self._num_seconds[video_id] - 1)
        return DecodedClip(
            frames_THWC=np.stack([lit_frame(drawn_boxes(int(place))) for place in shown]),
            pts_seconds_T=shown,
            clamped_T=places != shown,
            num_decoded=len(shown),
            decode_seconds=0.0,
        )

    def has_video(self, video_id: str) -> bool:
        """Return whether there is such a film."""
        return video_id in self._num_seconds

    def describe(self, video_id: str) -> str:
        """Return a name for messages."""
        return f"drawn {video_id}"
