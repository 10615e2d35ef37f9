"""Persons numbered over time, moment after moment; anew behind each cut."""

from dataclasses import replace

import numpy as np

from x3d_det.tracking import PersonLinker
from x3d_det.video_detection.results import KeyframeActions


class Numbering:
    """Gives the persons of one video their `track_id`.

    Args:
        linker: a fresh one; None leaves the persons without numbers.
    """

    def __init__(self, linker: PersonLinker | None) -> None:
        self._linker = linker
        self._shot: int | None = None

    def numbered(self, keyframe: KeyframeActions) -> KeyframeActions:
        """Return the next moment with its persons numbered."""
        if self._linker is None:
            return keyframe
        if self._shot is not None and keyframe.shot != self._shot:
            self._linker.new_shot()
        self._shot = keyframe.shot
        numbers = self._linker.link(
            keyframe.seconds,
            np.array([person.box_norm for person in keyframe.persons]).reshape(-1, 4),
            np.array([person.person_score for person in keyframe.persons]),
        )
        persons = tuple(
            replace(person, track_id=int(number))
            for person, number in zip(keyframe.persons, numbers, strict=True)
        )
        return replace(keyframe, persons=persons)
