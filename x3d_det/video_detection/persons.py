"""The persons of a moment: found by a detector, or given in a table.

Shape suffixes: H x W pixels, C channels, N boxes.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from x3d_det.errors import DataError
from x3d_det.formats.person_boxes import read_person_boxes
from x3d_det.io.ava_csv import COORDINATES
from x3d_det.keyframes import Keyframe
from x3d_det.persons import PersonDetector, PersonDetectorOptions, make_person_detector
from x3d_det.persons.run import normalised_rows

if TYPE_CHECKING:
    import pandas as pd

GivenBoxes = Mapping[float, np.ndarray]
"""Second of the video -> float64 (N, 5): x1, y1, x2, y2 in fractions of the frame, score."""


class PersonFinder:
    """A person detector that several threads may share; made when it is first needed.

    Args:
        persons: a detector, or how to make one.
    """

    def __init__(self, persons: PersonDetector | PersonDetectorOptions) -> None:
        self._made = persons
        self._lock = threading.Lock()  # a detector need not be able to do two things at once

    def __getstate__(self) -> dict[str, Any]:
        return {"_made": self._made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_made"])  # type: ignore[misc]

    def detector(self) -> PersonDetector:
        """Return the detector, with its weights loaded.

        Raises:
            X3DDetError: it cannot be made; see `make_person_detector`.
        """
        with self._lock:
            return self._detector()

    def find(self, frame_HWC: np.ndarray, *, name: str, seconds: float) -> np.ndarray:
        """Return float64 (N, 5), corners in fractions of the frame and score, by falling score.

        Rounded as `tools/detect_persons.py` writes them, so that its csv gives the same result.

        Args:
            frame_HWC: uint8 RGB.
            name, seconds: of the video and the frame, for messages.

        Raises:
            DataError: the detector gives numbers that are not finite.
        """
        with self._lock:
            (boxes_px,) = self._detector().detect([frame_HWC])
        rows = normalised_rows(boxes_px, frame_HWC.shape[:2], Keyframe(name, seconds))
        return np.array(rows, np.float64).reshape(-1, 5)

    def _detector(self) -> PersonDetector:
        if isinstance(self._made, PersonDetectorOptions):
            self._made = make_person_detector(self._made)
        return self._made


def read_given_boxes(
    path: str | Path, *, video_id: str, video_start_seconds: float = 0.0
) -> dict[float, np.ndarray]:
    """Return the boxes of one video from a table of person boxes (csv, pkl, json).

    Args:
        path: what `formats.read_person_boxes` reads.
        video_id: whose rows; the file's name without its ending as a rule.
        video_start_seconds: second of the table that is second 0 of the video.

    Raises:
        DataError: the faults of the file; it has no rows of this video.
    """
    rows = read_person_boxes(path)
    of_video = rows[rows["video_id"] == video_id]
    if not len(of_video):
        others = sorted(set(rows["video_id"]))
        shown = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
        raise DataError(
            f"{path}: has no boxes of video {video_id}, but of {shown or 'none'}; name the "
            "video's file as the table does."
        )
    return boxes_by_second(of_video, video_start_seconds=video_start_seconds)


def boxes_by_second(
    rows: "pd.DataFrame", *, video_start_seconds: float = 0.0
) -> dict[float, np.ndarray]:
    """Return second of the video -> boxes (N, 5), in the order of the rows.

    Args:
        rows: timestamp, x1, y1, x2, y2, score of one video.
        video_start_seconds: second of the table that is second 0 of the video.
    """
    table = rows[[*COORDINATES, "score"]].to_numpy(np.float64)
    seconds = rows["timestamp"].to_numpy(np.float64) - video_start_seconds
    return {float(second): table[seconds == second] for second in np.unique(seconds)}


def checked_boxes(boxes: GivenBoxes) -> dict[float, np.ndarray]:
    """Return the boxes by rising second, as float64 (N, 5).

    Raises:
        DataError: no second at all, one before the video, another shape, values outside [0, 1],
            or a corner that is not beyond its opposite.
    """
    if not boxes:
        raise DataError("boxes: there is not one second with boxes; give some, or none at all.")
    checked = {}
    for second in sorted(boxes):
        rows = np.asarray(boxes[second], dtype=np.float64)
        if not (np.isfinite(second) and second >= 0):
            raise DataError(
                f"boxes: second {second:g} is before the video, which starts at 0; check the "
                "second at which the video starts."
            )
        if rows.ndim != 2 or rows.shape[1] != 5:
            raise DataError(
                f"boxes of second {second:g}: the shape is {rows.shape}; it must be (N, 5): x1, "
                "y1, x2, y2 in fractions of the frame, score."
            )
        if not ((rows >= 0) & (rows <= 1)).all() or (rows[:, :2] >= rows[:, 2:4]).any():
            raise DataError(
                f"boxes of second {second:g}: {rows.tolist()} must be x1 < x2 and y1 < y2 in "
                "fractions of the frame, and a score in [0, 1]."
            )
        checked[float(second)] = rows
    return checked
