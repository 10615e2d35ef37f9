"""Which pose sequence belongs to which AVA action ids.

A `Role` says in words what a figure of a shot does; `perform` turns it into a
`Performance`: poses by the second, AVA action ids by the second, and where to look.

Shape suffixes in this file: T moments, P pose numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from x3d_det.synthetic import gestures, motions
from x3d_det.synthetic.skeleton import COLUMN, Proportions

MOTION_ONLY_ACTION_IDS = (5, 6, 10, 12, 14, 67, 69)
"""Actions that look like another one in any single picture: see `motions` and `gestures`."""

GAITS = ("stand", "walk", "run")
HELD_POSES = ("sit", "crouch", "bend", "jump", "lie")
GESTURES = ("none", "wave", "raise", "clap", "join", "carry", "phone")
PAIRS = ("hand shake", "fight", "hug")

_BODY_IDS = {
    "stand": 12,
    "walk": 14,
    "run": 10,
    "sit": 11,
    "crouch": 3,
    "bend": 1,
    "jump": 7,
    "lie": 8,
    "fall": 5,
    "get up": 6,
}
_GESTURE_IDS = {"wave": 69, "clap": 67, "carry": 17, "phone": 15}
_PAIR_IDS = {"hand shake": 68, "fight": 64, "hug": 70}

ACTION_IDS = tuple(sorted({*_BODY_IDS.values(), *_GESTURE_IDS.values(), *_PAIR_IDS.values()}))
"""AVA's ids of the actions in the generated set."""

PAIR_GAPS = {"hand shake": 0.5, "fight": 0.42, "hug": 0.15}
"""Distance of two partners in body heights."""

SEATED_GAP = 0.68


@dataclass(frozen=True, kw_only=True)
class Role:
    """What one figure does in a shot.

    Attributes:
        body: a gait, a held pose or "descent" (falling and getting up).
        gesture: of `GESTURES`; only with gaits, "sit" and "crouch".
        pair: of `PAIRS`, or None; the partner has the same one.
        middles: for "descent", seconds of the shot near which a movement is half done.
        first_is_fall: for "descent".
    """

    body: str
    gesture: str = "none"
    pair: str | None = None
    middles: tuple[float, ...] = ()
    first_is_fall: bool = True


@dataclass(frozen=True, kw_only=True)
class Performance:
    """A role made concrete.

    Attributes:
        poses: seconds of the shot (T,) to poses (T, P).
        labels: a second of the shot to AVA action ids, rising.
        yaw: where the figure looks, degrees (0 right, 90 at the camera, 180 left).
        speed: body heights per second, forward over the ground.
        feet_stay: the figure turns about its feet.
        seat: something stands under the figure.
        props: what is held, such as "box", "left_bag" or "right_phone".
    """

    poses: motions.PoseFunction
    labels: Callable[[float], tuple[int, ...]]
    yaw: float
    speed: float = 0.0
    feet_stay: bool = False
    seat: bool = False
    props: tuple[str, ...] = ()


def perform(role: Role, body: Proportions, rng: np.random.Generator) -> Performance:
    """Return a role of one figure alone, its free choices drawn from `rng`.

    Raises:
        ValueError: a body or gesture that does not exist.
    """
    yaw = random_yaw(role, rng)
    fall_kind = str(rng.choice(motions.FALL_KINDS))
    if role.body in ("descent", "lie") and fall_kind == "side":
        yaw += 90  # a body lying on its side is long across its look, not along it
    if role.body == "descent":
        return _perform_descent(role, fall_kind, rng, yaw)
    speed = 0.0
    poses: motions.PoseFunction
    if role.body in GAITS:
        gait = motions.random_gait(role.body, rng)
        poses = gait.poses
        speed = gait.speed(body)
    elif role.body in HELD_POSES:
        poses = motions.lying(fall_kind, rng) if role.body == "lie" else _HELD[role.body](rng)
    else:
        known = ", ".join([*GAITS, *HELD_POSES, "descent"])
        raise ValueError(f"body motion {role.body!r} does not exist; there are {known}.")
    hands, props = _hands(role.gesture, body, rng, yaw)
    ids = tuple(
        sorted(
            {_BODY_IDS[role.body]} | {_GESTURE_IDS[g] for g in [role.gesture] if g in _GESTURE_IDS}
        )
    )
    return Performance(
        poses=poses if hands is None else gestures.with_hands(poses, hands),
        labels=lambda second: ids,
        yaw=yaw,
        speed=speed,
        seat=role.body == "sit",
        props=props,
    )


def perform_pair(
    role: Role, bodies: tuple[Proportions, Proportions], rng: np.random.Generator
) -> tuple[Performance, Performance, float]:
    """Return two figures that face each other, and the gap between them in body heights.

    Raises:
        ValueError: an interaction that does not exist.
    """
    if role.pair not in PAIRS:
        raise ValueError(f"interaction {role.pair!r} does not exist; there are {', '.join(PAIRS)}.")
    gap = SEATED_GAP if role.body == "sit" else PAIR_GAPS[role.pair]
    axis = rng.uniform(-25, 25)
    rate_hz, phase = rng.uniform(*gestures.GESTURE_RATE_HZ), rng.uniform(0, 2 * np.pi)
    ids = tuple(sorted((_BODY_IDS[role.body], _PAIR_IDS[role.pair])))
    partners = []
    for body, yaw in zip(bodies, (axis, axis + 180), strict=True):
        lean = 0.0
        if role.pair == "hand shake":
            lean = 12.0 if role.body == "sit" else 3.0
            hands_gap = gap - 2 * np.sin(np.radians(lean)) * body.torso
            hands = gestures.shaking_hands(rate_hz, phase, body, gap=float(hands_gap))
        elif role.pair == "fight":
            hands, lean = gestures.punching(rng), rng.uniform(4, 14)
        else:
            hands, lean = gestures.embracing(body, gap=gap), rng.uniform(3, 9)
        partners.append(
            Performance(
                poses=gestures.with_hands(_pair_body(role, rng, lean), hands),
                labels=lambda second: ids,
                yaw=float(yaw),
                seat=role.body == "sit",
            )
        )
    return partners[0], partners[1], gap


def random_yaw(role: Role, rng: np.random.Generator) -> float:
    """Return where a figure looks: towards a side for gaits and falls, any way for the rest."""
    if role.gesture in ("clap", "join"):
        spread = rng.uniform(30, 70)  # from straight behind, hands before the chest are hidden
    elif role.body in ("descent", "lie", "bend"):
        spread = rng.uniform(-35, 35)
    elif role.body in GAITS:
        spread = rng.uniform(-40, 55)
    else:
        spread = rng.uniform(-15, 75)
    return float(spread if rng.random() < 0.5 else 180 - spread)


def _perform_descent(
    role: Role, fall_kind: str, rng: np.random.Generator, yaw: float
) -> Performance:
    descent = motions.Descent(
        path_KP=motions.fall_path(fall_kind, rng),
        middles=tuple(float(m + rng.uniform(-0.2, 0.2)) for m in role.middles),
        first_is_fall=role.first_is_fall,
        duration_seconds=rng.uniform(1.5, 1.9),
    )
    return Performance(
        poses=descent.poses,
        labels=lambda second: (_BODY_IDS[descent.state(second)],),
        yaw=yaw,
        feet_stay=True,
    )


_HELD: dict[str, Callable[[np.random.Generator], motions.PoseFunction]] = {
    "sit": motions.sitting,
    "crouch": motions.crouching,
    "bend": motions.bending,
    "jump": motions.jumping,
}


def _hands(
    gesture: str, body: Proportions, rng: np.random.Generator, yaw: float
) -> tuple[gestures.HandFunction | None, tuple[str, ...]]:
    if gesture == "none":
        return None, ()
    if gesture in ("wave", "raise"):
        return gestures.waving(rng, yaw=yaw, still=gesture == "raise"), ()
    if gesture in ("clap", "join"):
        return gestures.clapping(rng, body, still=gesture == "join"), ()
    if gesture == "phone":
        hands, side = gestures.telephoning(rng, body, yaw=yaw)
        return hands, (f"{side}_phone",)
    if gesture == "carry":
        hands, held = gestures.carrying(rng, body)
        return hands, (held,)
    raise ValueError(f"gesture {gesture!r} does not exist; there are {', '.join(GESTURES)}.")


def _pair_body(role: Role, rng: np.random.Generator, lean: float) -> motions.PoseFunction:
    """Return a standing, seated or kneeling partner that leans forward by `lean` degrees."""
    held: motions.PoseFunction
    if role.body == "stand":
        held = motions.random_gait("stand", rng).poses
    else:
        held = _HELD[role.body](rng)

    def poses(seconds_T: np.ndarray) -> np.ndarray:
        poses_TP = held(seconds_T)
        poses_TP[:, COLUMN["spine_pitch"]] = lean
        if role.pair == "fight":
            sway_T = np.sin(2 * np.pi * 0.8 * seconds_T + phase)
            poses_TP[:, COLUMN["spine_pitch"]] += 7 * sway_T
        return poses_TP

    phase = rng.uniform(0, 2 * np.pi)
    return poses
