"""What a video showed, ready to be written: tracks as JSON, detections as AVA's csv, one line.

Only what is written of a person at a keyframe is held, a few numbers, whatever the number of
classes: a film of two hours takes a few megabytes.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from x3d_det.io.files import atomic_write
from x3d_det.keyframes import format_timestamp
from x3d_det.video_detection.results import KeyframeActions, PersonActions
from x3d_det.visualization.action_timeline import PersonRow
from x3d_det.words import counted

_MOST_FREQUENT = 3
_LEAST_SURE = 5


@dataclass(frozen=True)
class _Sighting:
    """One person at one keyframe."""

    seconds: float
    box_norm: tuple[float, float, float, float]
    person_score: float
    actions: tuple[tuple[int, float], ...]
    """(id, score) of those at or above the threshold, and of the surest in any case."""


class FoundTracks:
    """Gathers the keyframes of a video by person.

    Args:
        score_threshold: an action with this score or more is said to be done.
        action_names: id to name.
        person_threshold: persons below it were left out; for the summary.
    """

    def __init__(
        self,
        *,
        score_threshold: float,
        action_names: Mapping[int, str],
        person_threshold: float | None,
    ) -> None:
        self._threshold = score_threshold
        self._names = action_names
        self._person_threshold = person_threshold
        self._tracks: dict[int, list[_Sighting]] = {}
        self._num_keyframes = self._num_below = 0
        self._highest_person: float | None = None
        self._highest_action: tuple[float, int] | None = None

    @property
    def num_persons(self) -> int:
        """Different persons with a keyframe of their own."""
        return len(self._tracks)

    def who(self) -> str:
        """Return how many they are, in words."""
        return counted(len(self._tracks), "person") if self._tracks else "nobody"

    def add(self, keyframe: KeyframeActions) -> None:
        """Take a keyframe whose persons have their numbers; one without actions counts for nothing.

        Moments at which persons alone were looked for belong to the drawing.
        """
        if not keyframe.has_actions:
            return
        self._num_keyframes += 1
        self._num_below += keyframe.num_below_threshold
        if keyframe.highest_below_threshold is not None:
            self._highest_person = max(
                self._highest_person or 0.0, keyframe.highest_below_threshold
            )
        for person in keyframe.persons:
            assert person.track_id is not None
            self._tracks.setdefault(person.track_id, []).append(self._sighting(keyframe, person))

    def rows(self) -> list[PersonRow]:
        """Return the persons for `plot_action_timeline`, in the order of their numbers."""
        return [
            PersonRow(
                name=f"person {number}",
                seconds=tuple(sighting.seconds for sighting in track),
                actions=tuple(
                    tuple(self._names[i] for i, score in sighting.actions if self._is_done(score))
                    for sighting in track
                ),
            )
            for number, track in sorted(self._tracks.items())
        ]

    def write_json(self, path: str | os.PathLike[str], about: Mapping[str, Any]) -> None:
        """Write the tracks; `about` says what video and model they are of.

        Of each person at each keyframe stand the actions that are done, `"done": true`, and,
        where those are fewer than five, the next surest. One line a person and keyframe.
        """
        head = _json({**about, "score_threshold": self._threshold})
        with atomic_write(path, "w") as file:
            file.write(head.removesuffix("}") + ', "tracks": [')
            for place, (number, track) in enumerate(sorted(self._tracks.items())):
                span = {"start_seconds": track[0].seconds, "end_seconds": track[-1].seconds}
                head = _json({"track_id": number, **span})
                file.write(("," if place else "") + "\n " + head.removesuffix("}"))
                file.write(', "keyframes": [\n  ')
                file.write(",\n  ".join(_json(self._json_of(sighting)) for sighting in track))
                file.write("\n ]}")
            file.write("\n]}\n")

    def summary(self) -> str:
        """Return one sentence: what was found, or why nothing was and what to try."""
        keyframes = counted(self._num_keyframes, "keyframe")
        if not self._num_keyframes:
            return "nothing found: the video has no keyframe in the range asked for."
        if not self._tracks:
            return f"nobody found at {keyframes}: {self._why_nobody()}"
        times = counted(sum(map(len, self._tracks.values())), "time")
        text = f"{counted(len(self._tracks), 'person')}, seen {times} at {keyframes}"
        counts = self._times_of_actions()
        if not counts:
            assert self._highest_action is not None
            score, action_id = self._highest_action
            return (
                f"{text}; no action above {self._threshold:g}, the highest is "
                f"{self._names[action_id]} with {score:.2f}: try --score-threshold "
                f"{_just_below(score)}."
            )
        ranked = sorted(counts, key=lambda action_id: (-counts[action_id], action_id))
        named = [f"{self._names[i]} ({counts[i]:,})" for i in ranked[:_MOST_FREQUENT]]
        rest = len(ranked) - len(named)
        more = f" and {counted(rest, 'other action')}" if rest else ""
        return f"{text}; most often {', '.join(named)}{more}."

    def _why_nobody(self) -> str:
        if not self._num_below or self._highest_person is None:
            return "the person detector saw none. Do its weights know persons?"
        return (
            f"{counted(self._num_below, 'person')}, none above {self._person_threshold:g}; highest "
            f"{self._highest_person:.2f}: try --person-threshold "
            f"{_just_below(self._highest_person)}."
        )

    def _sighting(self, keyframe: KeyframeActions, person: PersonActions) -> _Sighting:
        kept = tuple(
            (action.action_id, action.score)
            for rank, action in enumerate(person.actions)
            if rank < _LEAST_SURE or self._is_done(action.score)
        )
        if kept:
            self._highest_action = max(
                self._highest_action or (-math.inf, 0), (kept[0][1], kept[0][0])
            )
        return _Sighting(keyframe.seconds, person.box_norm, person.person_score, kept)

    def _times_of_actions(self) -> dict[int, int]:
        counts: dict[int, int] = {}
        for track in self._tracks.values():
            for sighting in track:
                for action_id, score in sighting.actions:
                    if self._is_done(score):
                        counts[action_id] = counts.get(action_id, 0) + 1
        return counts

    def _json_of(self, sighting: _Sighting) -> dict[str, Any]:
        return {
            "seconds": sighting.seconds,
            "box": list(sighting.box_norm),
            "person_score": sighting.person_score,
            "actions": [
                {"id": i, "name": self._names[i], "score": score, "done": self._is_done(score)}
                for i, score in sighting.actions
            ],
        }

    def _is_done(self, score: float) -> bool:
        return score >= self._threshold


def write_detections_of(
    path: str | os.PathLike[str],
    keyframes: Iterable[KeyframeActions],
    *,
    video_id: str,
    start_seconds: float = 0.0,
) -> int:
    """Write a video's detections as AVA's csv, keyframe by keyframe, and return the rows.

    Columns: video_id, timestamp, x1, y1, x2, y2, action_id, score; every class of every person,
    as AVA's evaluation wants them. Moments without actions are left out.

    Args:
        path: csv to write.
        keyframes: gone through once.
        video_id: from `video_id_of`.
        start_seconds: second of the film at which the video starts.
    """
    num_rows = 0
    with atomic_write(path, "w") as file:
        for keyframe in keyframes:
            stamp = format_timestamp(keyframe.seconds + start_seconds)
            for person in keyframe.persons:
                corners = ",".join(repr(float(corner)) for corner in person.box_norm)
                for action in sorted(person.actions, key=lambda action: action.action_id):
                    score = repr(float(action.score))
                    file.write(f"{video_id},{stamp},{corners},{action.action_id},{score}\n")
                    num_rows += 1
    return num_rows


def video_id_of(name: str) -> str:
    """Return a video's name as a csv can hold it: a file's without its ending.

    What is no letter, digit or one of `_.+-` becomes `_`. Ids as YouTube's stay as they are,
    those that begin with `_` or `-` too.
    """
    if "://" in name:
        return re.sub(r"[^\w.+-]+", "_", without_password(name)).strip("_")
    return re.sub(r"[^\w.+-]", "_", Path(name).stem)


def without_password(address: str) -> str:
    """Return a stream's address without the user and password that may stand in it."""
    return re.sub(r"://[^/@]*@", "://", address)


def _just_below(score: float) -> str:
    """Return a round number that the score is not below."""
    tenths = math.floor(score * 10) / 10
    return f"{tenths or math.floor(score * 100) / 100:g}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
