"""The trackers of the `trackers` package (`pip install "x3d_det[track]"`) as person linkers.

Imported on use alone. Those trackers are made for every frame of a video. At one keyframe a
second, on the annotated boxes of the generated AVA (seed 0, training videos), a person kept
the number in 324 of 451 steps with `IouLinker`, in 262 with SORT, 276 with ByteTrack and 287
with OC-SORT (trackers 2.6.1); they pay off at short intervals.
"""

from typing import Any

import numpy as np

from x3d_det.boxes import pairwise_iou
from x3d_det.errors import ConfigError, did_you_mean

TRACKERS = {"sort": "SORTTracker", "bytetrack": "ByteTrackTracker", "ocsort": "OCSORTTracker"}
"""Our name of a tracker -> its class in the package; those that need boxes alone."""

# Motion is estimated in pixels; a frame of this size keeps a box's corners apart.
_FRAME_PX = 1000.0
# The package counts a lost person's patience in frames of 1/30 s, 1 s by default: one keyframe.
_LOST_SECONDS = 3


class TrackersLinker:
    """Person numbers by a tracker of the `trackers` package.

    The package numbers a person from the second sight on. The first sight gets a number of ours,
    which the tracker's number then takes over from the nearest box without one; a box that it
    leaves without a number for good (it doubts the score) has one of its own, so that nobody
    is lost.

    Args:
        name: a key of `TRACKERS`.

    Raises:
        ConfigError: an unknown name, or the package is not installed.
    """

    def __init__(self, name: str = "bytetrack") -> None:
        if name not in TRACKERS:
            raise ConfigError(
                f"there is no tracker {name!r}{did_you_mean(name, TRACKERS)}; "
                f"there are {', '.join(TRACKERS)}."
            )
        try:
            import supervision
            import trackers
        except ImportError as error:
            raise ConfigError(
                f"tracker {name} needs the package `trackers` ({error}); install it with "
                'pip install "x3d_det[track]", or leave the tracker as it is (iou).'
            ) from error
        self.name = name
        self._detections: Any = supervision.Detections
        self._tracker: Any = getattr(trackers, TRACKERS[name])(
            minimum_consecutive_frames=1, lost_track_buffer=_LOST_SECONDS * 30
        )
        self._numbers: dict[int, int] = {}
        self._num_tracks = 0
        self._waiting: list[tuple[int, np.ndarray]] = []

    def link(self, seconds: float, boxes_norm: np.ndarray, scores_N: np.ndarray) -> np.ndarray:
        """Return the number of each person; see `PersonLinker`."""
        boxes_px = np.asarray(boxes_norm, np.float64).reshape(-1, 4) * _FRAME_PX
        found = self._detections(
            xyxy=boxes_px.astype(np.float32),
            confidence=np.asarray(scores_N, np.float32).reshape(-1),
            data={"place": np.arange(len(boxes_px))},
        )
        tracked = self._tracker.update(found, timestamp=float(seconds))
        theirs = {
            int(place): int(number)
            for place, number in zip(tracked.data.get("place", ()), tracked.tracker_id, strict=True)
        }
        waited, self._waiting = self._waiting, []
        numbers = [
            self._number(theirs.get(place, -1), box_px, waited)
            for place, box_px in enumerate(boxes_px)
        ]
        return np.array(numbers, np.int64)

    def new_shot(self) -> None:
        """Forget who was where; see `PersonLinker`."""
        self._tracker.reset()
        self._numbers, self._waiting = {}, []

    def _number(self, theirs: int, box_px: np.ndarray, waited: list[tuple[int, np.ndarray]]) -> int:
        """Return our number of a box, given the tracker's, or -1 for none."""
        if theirs in self._numbers:
            return self._numbers[theirs]
        number = self._taken_over(box_px, waited) if theirs >= 0 else None
        if number is None:
            self._num_tracks += 1
            number = self._num_tracks
        if theirs >= 0:
            self._numbers[theirs] = number
        else:
            self._waiting.append((number, box_px))
        return number

    def _taken_over(self, box_px: np.ndarray, waited: list[tuple[int, np.ndarray]]) -> int | None:
        """Take the number of the unnumbered box of the call before that overlaps most."""
        if not waited:
            return None
        iou_N = pairwise_iou(box_px[None], np.stack([box for _, box in waited]))[0]
        best = int(iou_N.argmax())
        return waited.pop(best)[0] if iou_N[best] > 0 else None
