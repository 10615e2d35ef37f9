"""What hands do on top of any body motion: waving, clapping, telephoning, carrying, fighting.

A gesture replaces the wrist targets of one or both arms. Waving and a raised hand, and
clapping and joined hands, share their poses: the second of each pair is the first held
still at a random moment, so that one picture cannot tell them apart.

Shape suffixes in this file: T moments, P pose numbers, 3 forward, outward and up from the
shoulder in arm lengths.
"""

from collections.abc import Callable

import numpy as np

from x3d_det.synthetic.motions import PoseFunction
from x3d_det.synthetic.skeleton import LEFT_HAND, RIGHT_HAND, Proportions

HandFunction = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Seconds (T,) to wrist targets (T, 3) by side, "left" and "right"."""

GESTURE_RATE_HZ = (1.3, 1.9)
"""Waves, claps, punches and shakes per second, lowest and highest."""


def with_hands(body: PoseFunction, hands: HandFunction) -> PoseFunction:
    """Return the body's poses with the arms of a gesture."""

    def poses(seconds_T: np.ndarray) -> np.ndarray:
        poses_TP = body(seconds_T)
        for side, target_T3 in hands(seconds_T).items():
            poses_TP[:, LEFT_HAND if side == "left" else RIGHT_HAND] = target_T3
        return poses_TP

    return poses


def waving(rng: np.random.Generator, *, yaw: float, still: bool = False) -> HandFunction:
    """Return a raised hand that swings across the picture, or holds still in mid-swing.

    Args:
        rng: source of the side, height, width, rate and phase.
        yaw: where the figure looks, degrees; the swing is the one seen from the camera.
        still: hold the phase.
    """
    side = str(rng.choice(["left", "right"]))
    sideways = abs(np.sin(np.radians(yaw))) > 0.7
    width, height = rng.uniform(0.4, 0.55), rng.uniform(0.66, 0.8)
    phase_of = _phase(rng, still=still)

    def hands(seconds_T: np.ndarray) -> dict[str, np.ndarray]:
        swing_T = width * np.sin(phase_of(seconds_T))
        forward_T = 0.2 + (0 if sideways else 1) * swing_T
        out_T = 0.35 + (1 if sideways else 0.15) * swing_T
        return {side: np.stack([forward_T, out_T, height - 0.5 * swing_T**2], axis=1)}

    return hands


def clapping(rng: np.random.Generator, body: Proportions, *, still: bool = False) -> HandFunction:
    """Return hands that meet and part before the chest, or hold still somewhere between."""
    width, height = rng.uniform(0.65, 0.9), rng.uniform(-0.25, 0.1)
    middle = -body.shoulder_half / body.arm
    phase_of = _phase(rng, still=still)

    def hands(seconds_T: np.ndarray) -> dict[str, np.ndarray]:
        gap_T = width * (0.5 - 0.5 * np.cos(phase_of(seconds_T)))
        forward_T = np.full_like(gap_T, 0.66)
        out_T = middle + 0.06 + 0.8 * gap_T
        return {
            "left": np.stack([forward_T, out_T, height + 0.7 * gap_T], axis=1),
            "right": np.stack([forward_T, out_T, height - 0.5 * gap_T], axis=1),
        }

    return hands


def telephoning(
    rng: np.random.Generator, body: Proportions, *, yaw: float
) -> tuple[HandFunction, str]:
    """Return a hand at the ear, and its side: the one that the camera sees.

    Args:
        rng: chooses the side of a figure that faces the camera.
        body: lengths.
        yaw: where the figure looks, degrees.
    """
    towards_right = np.cos(np.radians(yaw))
    side = str(rng.choice(["left", "right"]))
    if abs(towards_right) > 0.35:
        side = "right" if towards_right > 0 else "left"
    out = (-body.shoulder_half + 1.1 * body.head_radius) / body.arm
    up = (body.neck + 0.75 * body.head_radius) / body.arm
    target = np.array([0.1, out, up])

    def hands(seconds_T: np.ndarray) -> dict[str, np.ndarray]:
        return {side: np.tile(target, (len(seconds_T), 1))}

    return hands, side


def carrying(rng: np.random.Generator, body: Proportions) -> tuple[HandFunction, str]:
    """Return hands round a box, or one hand with a bag; and what is held ("box", "left_bag"...)."""
    if rng.random() < 0.65:
        target = np.array([0.66, 0.22 - body.shoulder_half / body.arm, rng.uniform(-0.5, -0.3)])

        def both(seconds_T: np.ndarray) -> dict[str, np.ndarray]:
            target_T3 = np.tile(target, (len(seconds_T), 1))
            return {"left": target_T3, "right": target_T3}

        return both, "box"
    side = str(rng.choice(["left", "right"]))

    def one(seconds_T: np.ndarray) -> dict[str, np.ndarray]:
        return {side: np.tile([0.12, 0.25, -0.88], (len(seconds_T), 1))}

    return one, f"{side}_bag"


def shaking_hands(rate_hz: float, phase: float, body: Proportions, *, gap: float) -> HandFunction:
    """Return a right hand that meets the partner's half-way and goes up and down.

    Args:
        rate_hz: shakes per second, the same for both partners.
        phase: of the shake, the same for both partners.
        body: lengths.
        gap: between the partners, body heights.
    """

    def hands(seconds_T: np.ndarray) -> dict[str, np.ndarray]:
        shake_T = 0.16 * np.sin(2 * np.pi * rate_hz * seconds_T + phase)
        target_T3 = np.empty((len(seconds_T), 3))
        target_T3[:, 0] = 0.5 * gap / body.arm
        target_T3[:, 1] = -body.shoulder_half / body.arm
        target_T3[:, 2] = -0.32 + shake_T
        return {"right": target_T3}

    return hands


def punching(rng: np.random.Generator) -> HandFunction:
    """Return two fists that strike forward in turn."""
    rate_hz, phase = rng.uniform(*GESTURE_RATE_HZ), rng.uniform(0, 2 * np.pi)

    def hands(seconds_T: np.ndarray) -> dict[str, np.ndarray]:
        targets = {}
        for side, offset in (("left", 0.0), ("right", np.pi)):
            wave_T = np.sin(2 * np.pi * rate_hz * seconds_T + phase + offset)
            strike_T = np.clip(wave_T, 0, 1) ** 0.7
            targets[side] = np.stack(
                [0.38 + 0.6 * strike_T, -0.2 - 0 * strike_T, 0.12 + 0.12 * strike_T], axis=1
            )
        return targets

    return hands


def embracing(body: Proportions, *, gap: float) -> HandFunction:
    """Return two arms that reach round a partner at a distance of `gap` body heights."""
    behind = (gap + 0.04) / body.arm

    def hands(seconds_T: np.ndarray) -> dict[str, np.ndarray]:
        row = np.ones(len(seconds_T))
        low = np.stack([behind * row, -0.15 * row, -0.35 * row], axis=1)
        high = np.stack([behind * row, -0.1 * row, 0.02 * row], axis=1)
        return {"left": low, "right": high}

    return hands


def _phase(rng: np.random.Generator, *, still: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Return seconds to radians: running at a gesture's rate, or swaying about a held phase."""
    rate_hz, start = rng.uniform(*GESTURE_RATE_HZ), rng.uniform(0, 2 * np.pi)

    def running(seconds_T: np.ndarray) -> np.ndarray:
        return start + 2 * np.pi * rate_hz * seconds_T

    def held(seconds_T: np.ndarray) -> np.ndarray:
        return start + 0.05 * np.sin(2 * np.pi * 0.5 * seconds_T)

    return held if still else running
