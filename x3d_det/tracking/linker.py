"""Person boxes of keyframes joined over time: one number a person, keyframe after keyframe.

Shape suffixes in this file: N boxes of a keyframe, M tracks.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from x3d_det.boxes import pairwise_iou

# Keyframe seconds are sums of an interval; a gap of exactly the longest allowed still counts.
_EPSILON_SECONDS = 1e-6


class PersonLinker(Protocol):
    """Whatever numbers the persons of one video; it is told the keyframes in their order."""

    def link(self, seconds: float, boxes_norm: np.ndarray, scores_N: np.ndarray) -> np.ndarray:
        """Return the number of each person, int64 (N,), from 1 on; no two boxes share one.

        Args:
            seconds: of the keyframe, above that of the call before.
            boxes_norm: (N, 4) x1, y1, x2, y2 as fractions of the frame; N may be 0.
            scores_N: person scores in [0, 1].
        """
        ...

    def new_shot(self) -> None:
        """Forget who was where: the film has cut, and the next persons get new numbers."""
        ...


@dataclass
class _Track:
    number: int
    seconds: float
    box_norm: np.ndarray
    velocity: np.ndarray
    """Change of the four corners a second; 0 for a person seen once."""

    def box_at(self, seconds: float) -> np.ndarray:
        return self.box_norm + self.velocity * (seconds - self.seconds)


class IouLinker:
    """Join boxes by overlap, all of a keyframe at once, as the Hungarian method pairs them.

    A box is compared with where a track was last seen and with where its motion would have
    brought it by now, and the larger overlap counts: at one keyframe a second a walking person
    leaves the old box, and one who stopped leaves the predicted one. Among all pairings the one
    with the largest sum of overlaps is taken, of pairs that overlap by `min_iou` or more. What
    is left begins a new track, numbered in the order of the boxes.

    Args:
        min_iou: least overlap of one person on two keyframes, in (0, 1].
        max_gap_seconds: a person unseen for longer comes back under a new number.

    Raises:
        ValueError: a limit outside its range; `link` for seconds that do not rise.

    Source: the assignment as in SORT, arXiv:1602.00763, Sec. 3.3, without its Kalman filter:
    with one box a second there is too little to estimate a filter's noise from.
    """

    def __init__(self, *, min_iou: float = 0.2, max_gap_seconds: float = 3.0) -> None:
        if not 0 < min_iou <= 1:
            raise ValueError(f"min_iou is {min_iou}; it must be above 0 and at most 1.")
        if not max_gap_seconds > 0:
            raise ValueError(f"max_gap_seconds is {max_gap_seconds}; it must be above 0.")
        self.min_iou = min_iou
        self.max_gap_seconds = max_gap_seconds
        self._tracks: list[_Track] = []
        self._num_tracks = 0
        self._last_seconds = -np.inf

    def link(self, seconds: float, boxes_norm: np.ndarray, scores_N: np.ndarray) -> np.ndarray:
        """Return the number of each person; see `PersonLinker`."""
        if not seconds > self._last_seconds:
            raise ValueError(
                f"seconds is {seconds:g} after {self._last_seconds:g}; keyframes come in order."
            )
        self._last_seconds = seconds
        oldest = seconds - self.max_gap_seconds - _EPSILON_SECONDS
        self._tracks = [track for track in self._tracks if track.seconds >= oldest]
        boxes_norm = np.asarray(boxes_norm, np.float64).reshape(-1, 4)
        paired = self._pairs(seconds, boxes_norm)
        numbers = [
            self._seen(paired.get(place), seconds, box_norm)
            for place, box_norm in enumerate(boxes_norm)
        ]
        return np.array(numbers, np.int64)

    def new_shot(self) -> None:
        """Forget who was where; see `PersonLinker`."""
        self._tracks = []

    def _pairs(self, seconds: float, boxes_norm: np.ndarray) -> dict[int, _Track]:
        """Return the track of each box that continues one."""
        if not self._tracks or not len(boxes_norm):
            return {}
        last_M = np.stack([track.box_norm for track in self._tracks])
        predicted_M = np.stack([track.box_at(seconds) for track in self._tracks])
        iou_NM = np.maximum(pairwise_iou(boxes_norm, last_M), pairwise_iou(boxes_norm, predicted_M))
        allowed_NM = np.where(iou_NM >= self.min_iou, iou_NM, 0.0)
        rows, columns = linear_sum_assignment(allowed_NM, maximize=True)
        return {
            int(row): self._tracks[column]
            for row, column in zip(rows, columns, strict=True)
            if allowed_NM[row, column] > 0
        }

    def _seen(self, track: _Track | None, seconds: float, box_norm: np.ndarray) -> int:
        """Note a box of a track, of a new one for None; return its number."""
        if track is None:
            self._num_tracks += 1
            self._tracks.append(_Track(self._num_tracks, seconds, box_norm, np.zeros(4)))
            return self._num_tracks
        track.velocity = (box_norm - track.box_norm) / (seconds - track.seconds)
        track.seconds, track.box_norm = seconds, box_norm
        return track.number
