"""Who is where at any second of a video: boxes of keyframes, joined over time.

AVA has boxes once a second. Between two keyframes a person who is in both moves in a
straight line; a person in one only is held for half a second on each side.
"""

import bisect
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from x3d_det.boxes import pairwise_iou
from x3d_det.errors import DataError
from x3d_det.visualization.draw import DrawnPerson, Kind
from x3d_det.visualization.palette import PERSON_COLORS

Box = tuple[float, float, float, float]
HOLD_SECONDS = 0.5
_SAME_PERSON_IOU = 0.3  # between detections one second apart
_MATCH_IOU = 0.5  # between a detection and an annotation of one keyframe, as AVA's evaluation
_BOX_COLUMNS = ["x1", "y1", "x2", "y2"]
_EPSILON_SECONDS = 1e-6


@dataclass(frozen=True, kw_only=True)
class KeyframePerson:
    """One person on one keyframe.

    Args:
        box_norm: x1, y1, x2, y2 as fractions of the frame's size.
        kind: "annotation" or "detection".
        labels: (action id, score); the score is None for annotations.
        track: the same number is the same person on other keyframes.
        color_index: of the palette; no two persons of neighbouring keyframes share one
            while there are colours.
        correct_ids: of a detection on an annotated keyframe, the actions that are true.
        missed_ids: true actions of the person that its detection does not show.
        shows_labels: False where another box carries this person's labels.
    """

    box_norm: Box
    kind: Kind
    labels: tuple[tuple[int, float | None], ...]
    track: int = -1
    color_index: int = 0
    correct_ids: frozenset[int] | None = None
    missed_ids: tuple[int, ...] = ()
    shows_labels: bool = True


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The persons of one video, keyframe by keyframe.

    Args:
        persons: timestamp -> persons; keyframes without a person have none.
        hold_seconds: how long a box is shown before and after its keyframe.
    """

    persons: Mapping[float, tuple[KeyframePerson, ...]]
    hold_seconds: float = HOLD_SECONDS
    timestamps: list[float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "timestamps", sorted(self.persons))

    def nearest(self, second: float) -> float | None:
        """Return the keyframe shown at this second, None where none is near enough."""
        after = bisect.bisect_right(self.timestamps, second + _EPSILON_SECONDS)
        near = self.timestamps[max(after - 1, 0) : after + 1]
        best = min(near, key=lambda stamp: (abs(stamp - second), -stamp), default=None)
        if best is None or abs(best - second) > self.hold_seconds + _EPSILON_SECONDS:
            return None
        return best

    def persons_at(self, second: float) -> list[KeyframePerson]:
        """Return the persons shown at a second of the film, their boxes moved to it."""
        stamp = self.nearest(second)
        if stamp is None:
            return []
        place = bisect.bisect_left(self.timestamps, stamp)
        other_place = place + 1 if second >= stamp else place - 1
        if not 0 <= other_place < len(self.timestamps):
            return list(self.persons[stamp])
        other = self.timestamps[other_place]
        if abs(other - stamp) > 2 * self.hold_seconds + _EPSILON_SECONDS:
            return list(self.persons[stamp])
        share = (second - stamp) / (other - stamp)
        boxes = {(p.kind, p.track): p.box_norm for p in self.persons[other]}
        return [
            replace(person, box_norm=_between(person.box_norm, target, share))
            if (target := boxes.get((person.kind, person.track))) is not None
            else person
            for person in self.persons[stamp]
        ]


def build_timeline(
    video_id: str,
    *,
    annotations: pd.DataFrame | None = None,
    empty_keyframes: pd.DataFrame | None = None,
    detections: pd.DataFrame | None = None,
    score_threshold: float = 0.3,
    mark_correct: bool = True,
    hold_seconds: float = HOLD_SECONDS,
) -> Timeline:
    """Return the persons of one video out of AVA tables.

    Args:
        video_id: rows of other videos are left out.
        annotations: video_id, timestamp, x1..y2 in [0, 1], action_id, person_id (-1: unknown).
        empty_keyframes: video_id and timestamp of annotated keyframes without a person.
        detections: the same columns with score instead of person_id.
        score_threshold: what counts as found, for `missed_ids`.
        mark_correct: compare detections with the annotations of their keyframe.
        hold_seconds: half of the longest gap that two keyframes are joined over.

    Raises:
        DataError: a box that is not finite or has x2 <= x1 or y2 <= y1; names its line
            where the table has the column.
    """
    empty = _of_video(empty_keyframes, video_id)
    annotated = _boxes_by_keyframe(_of_video(annotations, video_id), "annotation")
    annotated.update({float(stamp): annotated.get(float(stamp), []) for stamp in empty})
    detected = _boxes_by_keyframe(_of_video(detections, video_id), "detection")

    tracker = _Tracker(2 * hold_seconds + _EPSILON_SECONDS)
    persons = {}
    for stamp in sorted(annotated.keys() | detected.keys()):
        true_persons = tracker.follow(stamp, annotated.get(stamp, []), "annotation", {})
        found = [person for person, _ in detected.get(stamp, [])]
        matches = _greedy_pairs(found, true_persons, _MATCH_IOU)
        known = {index: true_persons[other] for index, other in matches.items()}
        found = tracker.follow(stamp, detected.get(stamp, []), "detection", known)
        if mark_correct and stamp in annotated:
            found, true_persons = _judged(found, true_persons, matches, score_threshold)
        persons[stamp] = (*true_persons, *found)
    return Timeline(persons=persons, hold_seconds=hold_seconds)


def to_drawn(
    persons: Iterable[KeyframePerson],
    *,
    height: int,
    width: int,
    action_names: Mapping[int, str],
) -> list[DrawnPerson]:
    """Return the persons for `draw_persons` on a frame of (height, width) pixels.

    Args:
        persons: of one moment.
        height, width: of the frame.
        action_names: action id -> name; an id without a name is drawn as its number.
    """

    def name(action_id: int) -> str:
        return action_names.get(action_id, f"action {action_id}")

    return [
        DrawnPerson(
            box_xyxy_px=_to_px(person.box_norm, height, width),
            labels=[(name(i), score) for i, score in person.labels] if person.shows_labels else (),
            kind=person.kind,
            person_id=person.track,
            color_index=person.color_index,
            correct_labels=None
            if person.correct_ids is None
            else {name(action_id) for action_id in person.correct_ids},
            missed_labels=[name(action_id) for action_id in person.missed_ids],
        )
        for person in persons
    ]


def _to_px(box_norm: Box, height: int, width: int) -> Box:
    x1, y1, x2, y2 = box_norm
    return x1 * width, y1 * height, x2 * width, y2 * height


def _between(start: Box, end: Box, share: float) -> Box:
    x1, y1, x2, y2 = (
        (1 - share) * first + share * last for first, last in zip(start, end, strict=True)
    )
    return x1, y1, x2, y2


def _of_video(table: pd.DataFrame | None, video_id: str) -> Any:
    """Return the rows of a video; of a table without boxes, the timestamps."""
    if table is None:
        return ()
    rows = table[table["video_id"] == video_id]
    return rows if "x1" in rows else rows["timestamp"].tolist()


def _boxes_by_keyframe(
    rows: Any, kind: Kind
) -> dict[float, list[tuple[KeyframePerson, int | None]]]:
    """Gather the rows of one box: timestamp -> [(person, person id or None)]."""
    gathered: dict[tuple[float, Any, Box], list[tuple[int, float | None]]] = {}
    if not len(rows):
        return {}
    _check_boxes(rows, kind)
    is_detection = kind == "detection"
    last = rows["score" if is_detection else "person_id"].tolist()
    columns = (rows[name].tolist() for name in ("timestamp", *_BOX_COLUMNS, "action_id"))
    for stamp, x1, y1, x2, y2, action_id, extra in zip(*columns, last, strict=True):
        person_id = None if is_detection or extra < 0 else int(extra)
        labels = gathered.setdefault((float(stamp), person_id, (x1, y1, x2, y2)), [])
        score = float(extra) if is_detection and not math.isnan(extra) else None
        labels.append((int(action_id), score))
    found: dict[float, list[tuple[KeyframePerson, int | None]]] = {}
    for (stamp, person_id, box), labels in gathered.items():
        person = KeyframePerson(box_norm=box, kind=kind, labels=tuple(labels))
        found.setdefault(stamp, []).append((person, person_id))
    return found


def _check_boxes(rows: pd.DataFrame, kind: Kind) -> None:
    """Refuse what the tolerant reader of detections lets through and no one could draw."""
    boxes = rows[_BOX_COLUMNS].to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(boxes).all(axis=1) & (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    if not good.all():
        row = rows.iloc[int(np.argmin(good))]
        line = f"line {row['line']}: " if "line" in rows else ""
        corners = ", ".join(f"{row[name]:g}" for name in _BOX_COLUMNS)
        raise DataError(
            f"{line}the {kind} of {row['video_id']} at {row['timestamp']:g} s has the box "
            f"({corners}); a box needs finite x1 < x2 and y1 < y2. "
            f"{int((~good).sum())} of {len(rows)} rows of this video are like this."
        )


class _Tracker:
    """Numbers persons: by AVA's person id, by the annotation they match, else by overlap."""

    def __init__(self, longest_gap_seconds: float) -> None:
        self._longest_gap_seconds = longest_gap_seconds
        self._track_of_person_id: dict[int, int] = {}
        self._color_of_track: dict[int, int] = {}
        self._last: dict[str, tuple[float, list[KeyframePerson]]] = {}

    def follow(
        self,
        stamp: float,
        boxes: Sequence[tuple[KeyframePerson, int | None]],
        kind: Kind,
        known: Mapping[int, KeyframePerson],
    ) -> list[KeyframePerson]:
        """Return the persons of the next keyframe with track and colour.

        Args:
            stamp: timestamp, rising from call to call of one kind.
            boxes: persons and their ids.
            kind: annotations and detections are followed apart.
            known: index -> the annotated person that a detection is.
        """
        last_stamp, before = self._last.get(kind, (-math.inf, []))
        if stamp - last_stamp > self._longest_gap_seconds:
            before = []
        persons = [person for person, _ in boxes]
        joined = _greedy_pairs(persons, before, _SAME_PERSON_IOU)
        taken = {person.track for person in known.values()}
        in_use = {p.color_index for _, persons in self._last.values() for p in persons}
        followed: list[KeyframePerson] = []
        for index, (person, person_id) in enumerate(boxes):
            if index in known:
                track = known[index].track
            elif person_id is not None:
                fresh = len(self._color_of_track)
                track = self._track_of_person_id.setdefault(person_id, fresh)
            elif index in joined and before[joined[index]].track not in taken:
                track = before[joined[index]].track
            else:
                track = len(self._color_of_track)
            taken.add(track)
            color = self._color(track, in_use | {p.color_index for p in followed})
            followed.append(replace(person, track=track, color_index=color))
        self._last[kind] = (stamp, followed)
        return followed

    def _color(self, track: int, in_use: Collection[int]) -> int:
        if track not in self._color_of_track:
            num_colors = len(PERSON_COLORS)
            turns = [(track + turn) % num_colors for turn in range(num_colors)]
            free = [color for color in turns if color not in in_use]
            self._color_of_track[track] = (free or turns)[0]
        return self._color_of_track[track]


def _greedy_pairs(
    persons: Sequence[KeyframePerson], others: Sequence[KeyframePerson], min_iou: float
) -> dict[int, int]:
    """Pair the boxes of two lists, the largest overlap first, each box once."""
    if not persons or not others:
        return {}
    iou = pairwise_iou(
        np.array([p.box_norm for p in persons], float),
        np.array([p.box_norm for p in others], float),
    )
    pairs: dict[int, int] = {}
    for place in np.argsort(-iou, axis=None, kind="stable"):
        row, column = divmod(int(place), iou.shape[1])
        if iou[row, column] < min_iou:
            break
        if row not in pairs and column not in pairs.values():
            pairs[row] = column
    return pairs


def _judged(
    found: Sequence[KeyframePerson],
    true_persons: Sequence[KeyframePerson],
    matches: Mapping[int, int],
    score_threshold: float,
) -> tuple[list[KeyframePerson], list[KeyframePerson]]:
    """Tick each detection's labels; a person with a shown detection needs no plate of its own."""
    judged, truth = [], list(true_persons)
    for index, person in enumerate(found):
        other = matches.get(index)
        true_ids = [i for i, _ in true_persons[other].labels] if other is not None else []
        shown_ids = {i for i, score in person.labels if score is None or score >= score_threshold}
        missed: tuple[int, ...] = ()
        if other is not None and shown_ids:
            missed = tuple(action_id for action_id in true_ids if action_id not in shown_ids)
            truth[other] = replace(truth[other], shows_labels=False)
        judged.append(replace(person, correct_ids=frozenset(true_ids), missed_ids=missed))
    return judged, truth
