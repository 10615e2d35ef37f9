"""Who is where on the frames between keyframes: boxes that move, never across a cut."""

from dataclasses import dataclass, replace

from x3d_det.video_detection.results import KeyframeActions, PersonActions, ScoredAction

Box = tuple[float, float, float, float]
_EPSILON_SECONDS = 1e-6
# A person unseen for so long begins without actions; linkers give a new number sooner.
_REMEMBERED_SECONDS = 30.0


@dataclass(frozen=True)
class _Moment:
    seconds: float
    shot: int
    persons: dict[int, PersonActions]


class MovingPersons:
    """The persons of any second, out of the moments on either side of it.

    A person of both moves in a straight line; one of a single one is held still for
    `hold_seconds` at most. Actions are those of the nearer moment; one at which persons alone
    were looked for has the actions last said of each.

    Args:
        hold_seconds: how long a box is shown before and after a moment without a neighbour,
            and half of the longest gap that is joined.
    """

    def __init__(self, *, hold_seconds: float) -> None:
        self._hold_seconds = hold_seconds + _EPSILON_SECONDS
        self._before: _Moment | None = None
        self._last: _Moment | None = None
        self._said: dict[int, tuple[float, tuple[ScoredAction, ...]]] = {}

    def add(self, keyframe: KeyframeActions) -> None:
        """Take the next moment; its persons must have their numbers."""
        if keyframe.has_actions:
            self._remember(keyframe)
        persons: dict[int, PersonActions] = {}
        for person in keyframe.persons:
            assert person.track_id is not None, "persons are numbered before they are drawn"
            _, actions = self._said.get(person.track_id, (0.0, ()))
            persons[person.track_id] = replace(person, actions=actions)
        self._before, self._last = self._last, _Moment(keyframe.seconds, keyframe.shot, persons)

    def at(self, seconds: float, *, shot: int) -> list[PersonActions]:
        """Return the persons shown at a second, their boxes moved to it, by rising number.

        Args:
            seconds: of a frame, not before the moment before the last one added.
            shot: number of the frame's shot.
        """
        near = [
            moment
            for moment in (self._before, self._last)
            if moment is not None and moment.shot == shot
        ]
        near.sort(key=lambda moment: abs(moment.seconds - seconds))
        if len(near) == 2 and (near[0].seconds < seconds) == (near[1].seconds < seconds):
            near = near[:1]  # both on one side: who was gone at the nearer one is not shown again
        shown: dict[int, PersonActions] = {}
        if len(near) == 2:
            shown = self._moved(seconds, *near)
        for moment in near:
            if abs(moment.seconds - seconds) <= self._hold_seconds:
                for number, person in moment.persons.items():
                    shown.setdefault(number, person)
        return [shown[number] for number in sorted(shown)]

    def _moved(self, seconds: float, nearer: _Moment, other: _Moment) -> dict[int, PersonActions]:
        """Return those who are at both of the moments that the frame lies between."""
        gap = other.seconds - nearer.seconds
        if abs(gap) > 2 * self._hold_seconds:
            return {}
        share = (seconds - nearer.seconds) / gap
        return {
            number: replace(
                person, box_norm=_between(person.box_norm, other.persons[number].box_norm, share)
            )
            for number, person in nearer.persons.items()
            if number in other.persons
        }

    def _remember(self, keyframe: KeyframeActions) -> None:
        oldest = keyframe.seconds - _REMEMBERED_SECONDS
        self._said = {number: said for number, said in self._said.items() if said[0] >= oldest}
        for person in keyframe.persons:
            if person.track_id is not None:
                self._said[person.track_id] = (keyframe.seconds, person.actions)


def _between(start: Box, end: Box, share: float) -> Box:
    x1, y1, x2, y2 = (
        (1 - share) * first + share * last for first, last in zip(start, end, strict=True)
    )
    return x1, y1, x2, y2
