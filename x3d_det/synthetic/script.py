"""The script of the generated set: videos, their shots, who acts in them, and when.

Nothing is drawn here. Roles come from shuffled decks, so that actions are as even as the number
of shots allows, and every random stream is named by (seed, split, video, shot, purpose): the two
splits share none.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

import numpy as np

from x3d_det.synthetic.actions import Role

SPLITS = ("train", "val")
FIRST_FILM_SECOND = 900
"""Second of the film at which every video file begins."""

FIRST_KEYFRAME = 2
"""First annotated second of a file: AVA begins at film second 902."""

PURPOSES = ("look", "motion", "scene", "proposals", "timing")
FRAME_RATES = (Fraction(30), Fraction(25), Fraction(24), Fraction(30000, 1001))
_VARIABLE_RATE_INDEX = 1
_ID_LETTERS = string.ascii_letters + string.digits + "-_"

_SHOT_SECONDS = {"gait": 3, "descent": 2, "there and back": 4, "pose": 3, "pair": 3}
_SHOT_SHARES = {"gait": 0.4, "descent": 0.2, "there and back": 0.06, "pose": 0.17, "pair": 0.17}
_GAIT_GESTURES = ("none",) * 5 + ("wave", "raise", "clap", "join", "carry", "phone") * 2
_POSE_GESTURES = ("none", "phone", "carry") * 2 + ("wave", "raise", "clap", "join")
_POSES = ("sit",) * 3 + ("bend", "jump") * 3 + ("crouch", "lie") * 2
_PAIRS = (
    (("stand", "hand shake"),) * 2
    + (("sit", "hand shake"),) * 3
    + (("stand", "fight"),) * 3
    + (("crouch", "fight"),) * 2
    + (("stand", "hug"),) * 3
    + (("crouch", "hug"),) * 2
)

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class ShotPlan:
    """Seconds [start, end) of a file, who acts in them, and the annotated seconds."""

    start: int
    end: int
    roles: tuple[Role, ...]
    keyframes: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class VideoPlan:
    """One video: `fps` is None where the rate varies; size in pixels, length in seconds."""

    split: str
    index: int
    video_id: str
    fps: Fraction | None
    height: int
    width: int
    seconds: int
    shots: tuple[ShotPlan, ...]
    excluded: tuple[int, ...]


def random_stream(seed: int, split: str, *path: int | str) -> np.random.Generator:
    """Return the random stream of a purpose: the same for the same arguments, unlike all others.

    Args:
        seed: of the whole set.
        split: "train" or "val".
        path: video, shot, purpose, as far as they go; a purpose is one of `PURPOSES`.
    """
    key = [PURPOSES.index(part) if isinstance(part, str) else part for part in path]
    sequence = np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), *key))
    return np.random.default_rng(sequence)


def plan_split(
    seed: int, split: str, *, num_videos: int, seconds_per_video: int
) -> list[VideoPlan]:
    """Return the videos of a split.

    Args:
        seed: of the whole set.
        split: "train" or "val".
        num_videos: 0 or more.
        seconds_per_video: at least 4.
    """
    rng = random_stream(seed, split)
    decks = _Decks(rng)
    kinds = _shot_kinds(rng, num_videos * seconds_per_video)
    plans = []
    for index in range(num_videos):
        shots = _fill(kinds, decks, rng, seconds_per_video)
        annotated = {second for shot in shots for second in shot.keyframes}
        free = [s for s in range(FIRST_KEYFRAME, seconds_per_video) if s not in annotated]
        excluded = [second for second in free if rng.random() < 0.12]
        height, width = picture_size(index)
        plans.append(
            VideoPlan(
                split=split,
                index=index,
                video_id=_video_id(rng, index),
                fps=None
                if index == _VARIABLE_RATE_INDEX
                else FRAME_RATES[(index - (index > _VARIABLE_RATE_INDEX)) % len(FRAME_RATES)],
                height=height,
                width=width,
                seconds=seconds_per_video,
                shots=tuple(shots),
                excluded=tuple(excluded),
            )
        )
    return plans


class _Deck(Generic[Item]):
    """Cards dealt in random order; when all are dealt they are shuffled again."""

    def __init__(self, cards: Sequence[Item], rng: np.random.Generator) -> None:
        self._cards, self._rng = list(cards), rng
        self._left: list[Item] = []

    def deal(self) -> Item:
        if not self._left:
            self._left = [self._cards[i] for i in self._rng.permutation(len(self._cards))]
        return self._left.pop()


class _Decks:
    """The decks of one split."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._gaits = _Deck(("stand", "walk", "run"), rng)
        self._gait_gestures = _Deck(_GAIT_GESTURES, rng)
        self._poses = _Deck(_POSES, rng)
        self._pose_gestures = _Deck(_POSE_GESTURES, rng)
        self._pairs = _Deck(_PAIRS, rng)
        self._falls_first = _Deck((True, False), rng)
        self._gait_counts = _Deck((1, 2, 2, 2, 2, 3, 3, 4), rng)

    def roles(self, kind: str, lead: int) -> tuple[Role, ...]:
        """Return the cast of a shot whose action begins after `lead` seconds."""
        if kind == "gait":
            return tuple(self._gait() for _ in range(self._gait_counts.deal()))
        if kind == "pose":
            return tuple(self._pose() for _ in range(int(self._rng.integers(1, 4))))
        if kind == "pair":
            body, pair = self._pairs.deal()
            partner = Role(body=body, pair=pair)
            draw = self._rng.random()
            others = [] if draw < 0.55 else [self._gait() if draw < 0.8 else self._pose()]
            return (partner, partner, *others)
        middles = (1.0 + lead,) if kind == "descent" else (1.0 + lead, 3.0 + lead)
        count = 1 if self._rng.random() < 0.2 else 2
        falls = [
            Role(body="descent", middles=middles, first_is_fall=self._falls_first.deal())
            for _ in range(count)
        ]
        return (*falls, *([self._pose()] if self._rng.random() < 0.15 else []))

    def _gait(self) -> Role:
        return Role(body=self._gaits.deal(), gesture=self._gait_gestures.deal())

    def _pose(self) -> Role:
        body = self._poses.deal()
        gesture = self._pose_gestures.deal() if body in ("sit", "crouch") else "none"
        return Role(body=body, gesture=gesture)


def _shot_kinds(rng: np.random.Generator, total_seconds: int) -> list[str]:
    """Return more shots than the seconds can hold, in their shares, shuffled."""
    kinds: list[str] = []
    for kind, share in _SHOT_SHARES.items():
        kinds += [kind] * (1 + round(1.1 * share * total_seconds / _SHOT_SECONDS[kind]))
    return [kinds[i] for i in rng.permutation(len(kinds))]


def _fill(
    kinds: list[str], decks: _Decks, rng: np.random.Generator, seconds: int
) -> list[ShotPlan]:
    """Return shots that fill a video; takes the kinds it uses from the list.

    The first shot has a second more, before AVA's first keyframe. Cuts are at whole seconds,
    and only seconds a whole one away from a cut are keyframes.
    """
    shots: list[ShotPlan] = []
    start = 0
    while start < seconds:
        lead = 1 if start == 0 else 0
        left = seconds - start - lead
        fitting = [
            i for i, k in enumerate(kinds) if left - _SHOT_SECONDS[k] in (0, *range(2, left))
        ]
        if fitting:
            kind = kinds.pop(fitting[0])
            end = start + lead + _SHOT_SECONDS[kind]
        else:  # a remainder that no shot of the deck fills
            kind, end = str(rng.choice(["gait", "pair"])), seconds
        keyframes = range(max(start + 1, FIRST_KEYFRAME), end)
        roles = decks.roles(kind, lead)
        shots.append(ShotPlan(start=start, end=end, roles=roles, keyframes=tuple(keyframes)))
        start = end
    return shots


def picture_size(index: int) -> tuple[int, int]:
    """Return (height, width): mostly 4:3, some square, some wide."""
    return {2: (256, 256), 4: (240, 426)}.get(index % 6, (240, 320))


def _video_id(rng: np.random.Generator, index: int) -> str:
    """Return eleven letters as YouTube's; a few begin with a dash or an underscore."""
    letters = "".join(_ID_LETTERS[i] for i in rng.integers(len(_ID_LETTERS), size=11))
    first = {0: "-", 1: "_"}.get(index % 7, letters[0])
    return first + letters[1:]
