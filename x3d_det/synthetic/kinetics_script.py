"""The script of the generated Kinetics: clips of one class each, and who acts in them.

Nothing is drawn here. Every clip has its own random streams, none of which the generated AVA
uses: no figure, place or movement of one set is in the other, and more clips of a class leave the
first ones as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from x3d_det.synthetic.actions import Role
from x3d_det.synthetic.script import FRAME_RATES, picture_size, random_stream

Cast = tuple[str, str | None]
"""A body motion, and the gesture or the interaction it goes with."""

_HANDS_FREE = ("stand", "stand", "walk", "sit")
_GAITS = {name: ((name, None),) for name in ("stand", "walk", "run")}
_HELD = {name: ((name, None),) for name in ("sit", "crouch", "bend", "jump", "lie")}
_GESTURES: Mapping[str, tuple[Cast, ...]] = {
    name: tuple((body, gesture) for body in _HANDS_FREE)
    for name, gesture in (
        ("wave", "wave"),
        ("raise_hand", "raise"),
        ("clap", "clap"),
        ("join_hands", "join"),
        ("carry", "carry"),
        ("answer_phone", "phone"),
    )
}
_DESCENTS = {"fall_down": True, "get_up": False}
_PAIRS: Mapping[str, tuple[Cast, ...]] = {
    "shake_hands": (("stand", "hand shake"), ("stand", "hand shake"), ("sit", "hand shake")),
    "fight": (("stand", "fight"), ("stand", "fight"), ("crouch", "fight")),
    "hug": (("stand", "hug"), ("stand", "hug"), ("crouch", "hug")),
}

CLASS_NAMES = tuple(sorted({*_GAITS, *_HELD, *_GESTURES, *_DESCENTS, *_PAIRS}))
"""The classes in the order of their labels, which is the alphabet's; also their folders' names."""

MOTION_GROUPS = (
    ("stand", "walk", "run"),
    ("fall_down", "get_up"),
    ("wave", "raise_hand"),
    ("clap", "join_hands"),
)
"""Classes of a group look alike in any single picture of one clip: see `motions`, `gestures`."""

_STREAM = 1 << 31
"""Where AVA's streams have a video's number: none has so many videos."""

_CLIP_SECONDS, _DESCENT_SECONDS = (2.0, 3.0), (1.9, 2.2)
_SECOND_FIGURE = {"lie": 0.0, "run": 0.0, "fall_down": 0.15, "get_up": 0.15}
"""How often a clip has two figures; long and fast ones soon leave the picture. Others: 0.3."""


@dataclass(frozen=True, kw_only=True)
class KineticsClip:
    """One clip: size of the drawn pictures in pixels, length in frames, and who acts in it."""

    split: str
    class_name: str
    index: int
    fps: Fraction
    drawn_height: int
    drawn_width: int
    num_frames: int
    roles: tuple[Role, ...]

    @property
    def path(self) -> str:
        """Where it lies, relative to the folder of the set."""
        return f"{self.split}/{self.class_name}/{self.class_name}_{self.index:04d}.mp4"

    @property
    def seconds(self) -> float:
        """Its length."""
        return float(self.num_frames / self.fps)


def plan_clips(
    seed: int,
    split: str,
    *,
    clips_per_class: int,
    class_names: Sequence[str] = CLASS_NAMES,
) -> list[KineticsClip]:
    """Return the clips of a split, class after class.

    Args:
        seed: of the whole set.
        split: "train" or "val".
        clips_per_class: 0 or more.
        class_names: of `CLASS_NAMES`; which there are does not change the clips of each.
    """
    return [
        _plan_clip(seed, split, name, index)
        for name in class_names
        for index in range(clips_per_class)
    ]


def clip_stream(seed: int, clip: KineticsClip, attempt: int, purpose: str) -> np.random.Generator:
    """Return the random stream of a purpose ("look", "motion" or "scene") in an attempt."""
    number = CLASS_NAMES.index(clip.class_name)
    return random_stream(seed, clip.split, _STREAM, number, clip.index, attempt, purpose)


def _plan_clip(seed: int, split: str, name: str, index: int) -> KineticsClip:
    rng = random_stream(seed, split, _STREAM, CLASS_NAMES.index(name), index)
    drawn = picture_size(index)
    fps = FRAME_RATES[int(rng.integers(len(FRAME_RATES)))] / 2
    seconds = rng.uniform(*(_DESCENT_SECONDS if name in _DESCENTS else _CLIP_SECONDS))
    num_frames = round(seconds * fps)
    return KineticsClip(
        split=split,
        class_name=name,
        index=index,
        fps=fps,
        drawn_height=drawn[0],
        drawn_width=drawn[1],
        num_frames=num_frames,
        roles=_roles(name, float(num_frames / fps), rng),
    )


def _roles(name: str, seconds: float, rng: np.random.Generator) -> tuple[Role, ...]:
    """Return the cast: one or two figures, or a pair, that all do the same."""
    if name in _PAIRS:
        body, pair = _drawn(_PAIRS[name], rng)
        return (Role(body=body, pair=pair),) * 2
    count = 1 + int(rng.random() < _SECOND_FIGURE.get(name, 0.3))
    if name in _DESCENTS:
        first_is_fall = _DESCENTS[name]
        return (Role(body="descent", middles=(seconds / 2,), first_is_fall=first_is_fall),) * count
    casts = [_drawn({**_GAITS, **_HELD, **_GESTURES}[name], rng) for _ in range(count)]
    return tuple(Role(body=body, gesture=gesture or "none") for body, gesture in casts)


def _drawn(casts: tuple[Cast, ...], rng: np.random.Generator) -> Cast:
    return casts[int(rng.integers(len(casts)))]
