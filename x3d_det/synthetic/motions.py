"""Pose sequences of whole bodies: gaits, falling and getting up, sitting, jumping, pairs.

A motion is a function from seconds (T,) to poses (T, P); everything random in it was
drawn when it was made. The pairs that only motion tells apart are made here:

- stand, walk and run share `random_gait`; cadence (and so speed) is all that differs;
- get up is the path of fall down walked backwards.

Shape suffixes in this file: T moments, P pose numbers, K key poses.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from x3d_det.synthetic.skeleton import (
    COLUMN,
    LEFT_HAND,
    RIGHT_HAND,
    Proportions,
    gait_poses,
    interpolate_poses,
    pose,
)

PoseFunction = Callable[[np.ndarray], np.ndarray]

CADENCES_HZ = {"stand": (0.0, 0.0), "walk": (0.55, 0.72), "run": (1.35, 1.65)}
"""Stride cycles per second of each gait, lowest and highest."""

GROUND_SHARE = 0.6
"""Ground covered as a share of the stride's length: a strolling, slightly sliding figure."""


@dataclass(frozen=True, kw_only=True)
class Gait:
    """A stride: its shape, where in the stride second 0 lies, and how fast it goes on."""

    stride: float
    knee_lift: float
    arm_amplitude: float
    elbow: float
    lean: float
    start_phase: float
    cadence_hz: float

    def phase_at(self, seconds_T: np.ndarray) -> np.ndarray:
        """Return the phase in radians; a figure without cadence sways a little."""
        sway_T = 0.06 * np.sin(2 * np.pi * 0.45 * seconds_T + self.start_phase)
        return self.start_phase + 2 * np.pi * self.cadence_hz * seconds_T + sway_T

    def poses(self, seconds_T: np.ndarray) -> np.ndarray:
        """Return the poses (T, P)."""
        return gait_poses(
            self.phase_at(seconds_T),
            stride=self.stride,
            knee_lift=self.knee_lift,
            arm_amplitude=self.arm_amplitude,
            elbow=self.elbow,
            lean=self.lean,
        )

    def speed(self, body: Proportions) -> float:
        """Return body heights per second over the ground."""
        stride_length = 4 * body.leg * np.sin(np.radians(self.stride))
        return float(GROUND_SHARE * stride_length * self.cadence_hz)


def random_gait(kind: str, rng: np.random.Generator) -> Gait:
    """Return a gait; the kind ("stand", "walk" or "run") sets the cadence alone."""
    low, high = CADENCES_HZ[kind]
    return Gait(
        stride=rng.uniform(20, 36),
        knee_lift=rng.uniform(40, 75),
        arm_amplitude=rng.uniform(18, 45),
        elbow=rng.uniform(15, 90),
        lean=rng.uniform(1, 13),
        start_phase=rng.uniform(0, 2 * np.pi),
        cadence_hz=rng.uniform(low, high),
    )


FALL_KINDS = ("back", "front", "side")


def fall_path(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return key poses (K, P) from upright to lying.

    Args:
        kind: "back", "front" or "side", what the figure comes to lie on.
        rng: source of bends, reach and, for "side", which.
    """
    bend = rng.uniform(0.8, 1.2)
    reach = rng.uniform(0.5, 0.9)
    upright = pose(
        left_hip=rng.uniform(-8, 14), right_hip=rng.uniform(-8, 14), left_knee=8, right_knee=8
    )
    if kind == "back":
        tilts = [{"root_pitch": -a} for a in (22, 62, 88)]
        spines = (10, 22, 2)
    elif kind == "front":
        tilts = [{"root_pitch": a} for a in (25, 65, 88)]
        spines = (14, 8, -4)
    else:
        side = rng.choice([-1.0, 1.0])
        tilts = [{"root_roll": side * a} for a in (20, 60, 88)]
        spines = (8, 18, 6)
    rows = [upright]
    for tilt, spine, hip, knee, arm in zip(
        tilts, spines, (38, 52, 16), (62, 74, 24), (0.5, 1.0, 0.7), strict=True
    ):
        row = pose(
            **tilt,
            spine_pitch=spine * bend,
            left_hip=hip * bend,
            right_hip=hip * bend * rng.uniform(0.5, 1.0),
            left_knee=knee * bend,
            right_knee=knee * bend * rng.uniform(0.5, 1.0),
            left_spread=4,
            right_spread=4,
        )
        row[LEFT_HAND] = (reach * arm, 0.35, -0.6 + 0.5 * arm)
        row[RIGHT_HAND] = (reach * arm * rng.uniform(0.6, 1.1), 0.35, -0.6 + 0.4 * arm)
        rows.append(row)
    return np.stack(rows)


@dataclass(frozen=True, kw_only=True)
class Descent:
    """A figure between upright (progress 0) and lying (progress 1), there and back.

    Attributes:
        path_KP: key poses from upright to lying.
        middles: seconds at which a movement is half done, rising.
        first_is_fall: the first movement goes down; they alternate.
        duration_seconds: of each movement.
    """

    path_KP: np.ndarray
    middles: tuple[float, ...]
    first_is_fall: bool
    duration_seconds: float

    def progress(self, seconds_T: np.ndarray) -> np.ndarray:
        """Return how far down the figure is, 0 to 1."""
        down_T = np.full(len(seconds_T), 0.0 if self.first_is_fall else 1.0)
        for index, middle in enumerate(self.middles):
            share_T = np.clip((seconds_T - middle) / self.duration_seconds + 0.5, 0, 1)
            eased_T = share_T * share_T * (3 - 2 * share_T)
            down_T += eased_T if self.is_fall(index) else -eased_T
        return down_T

    def is_fall(self, index: int) -> bool:
        """Tell whether the movement of that index goes down."""
        return self.first_is_fall == (index % 2 == 0)

    def poses(self, seconds_T: np.ndarray) -> np.ndarray:
        """Return the poses (T, P)."""
        return interpolate_poses(self.path_KP, self.progress(seconds_T))

    def state(self, second: float) -> str:
        """Return "fall", "get up", "stand" or "lie" for a second."""
        for index, middle in enumerate(self.middles):
            if abs(second - middle) < 0.42 * self.duration_seconds:
                return "fall" if self.is_fall(index) else "get up"
        return "lie" if self.progress(np.array([second]))[0] > 0.5 else "stand"


def sitting(rng: np.random.Generator) -> PoseFunction:
    """Return a seated figure that sways; its pelvis is at the height of its knees."""
    hands_up = rng.uniform(-0.62, -0.5)
    base = pose(
        spine_pitch=rng.uniform(-6, 12),
        left_hip=rng.uniform(80, 92),
        right_hip=rng.uniform(80, 92),
        left_knee=rng.uniform(75, 100),
        right_knee=rng.uniform(75, 100),
        left_spread=rng.uniform(2, 16),
        right_spread=rng.uniform(2, 16),
        left_hand_forward=rng.uniform(0.35, 0.6),
        left_hand_up=hands_up,
        right_hand_forward=rng.uniform(0.35, 0.6),
        right_hand_up=hands_up,
    )
    return _swaying(base, rng, spine_pitch=2.5, head_pitch=4)


def crouching(rng: np.random.Generator) -> PoseFunction:
    """Return a figure squatting or on one knee."""
    if rng.random() < 0.5:
        base = pose(
            spine_pitch=rng.uniform(15, 35),
            left_hip=rng.uniform(105, 120),
            right_hip=rng.uniform(95, 115),
            left_knee=rng.uniform(125, 145),
            right_knee=rng.uniform(120, 140),
            left_spread=rng.uniform(5, 18),
            right_spread=rng.uniform(5, 18),
        )
    else:
        base = pose(
            spine_pitch=rng.uniform(2, 20),
            left_hip=rng.uniform(75, 95),
            right_hip=rng.uniform(-8, 8),
            left_knee=rng.uniform(80, 100),
            right_knee=rng.uniform(85, 105),
        )
    base[LEFT_HAND] = (rng.uniform(0.4, 0.7), 0.0, rng.uniform(-0.6, -0.4))
    base[RIGHT_HAND] = (rng.uniform(0.4, 0.7), 0.0, rng.uniform(-0.6, -0.4))
    return _swaying(base, rng, spine_pitch=4, head_pitch=6)


def bending(rng: np.random.Generator) -> PoseFunction:
    """Return a figure bent at the waist that reaches down and bobs."""
    spine = rng.uniform(65, 95)
    down = np.radians(spine)
    base = pose(
        spine_pitch=spine,
        head_pitch=-20,
        left_hip=rng.uniform(6, 22),
        right_hip=rng.uniform(6, 22),
        left_knee=rng.uniform(6, 24),
        right_knee=rng.uniform(6, 24),
    )
    base[LEFT_HAND] = (0.85 * np.sin(down), 0.05, -0.85 * np.cos(down))
    base[RIGHT_HAND] = (0.95 * np.sin(down), 0.05, -0.95 * np.cos(down))
    return _swaying(base, rng, spine_pitch=rng.uniform(5, 12))


def lying(kind: str, rng: np.random.Generator) -> PoseFunction:
    """Return a figure lying where a fall of that kind ends."""
    return _swaying(fall_path(kind, rng)[-1], rng, spine_pitch=1.5, head_pitch=3)


def jumping(rng: np.random.Generator) -> PoseFunction:
    """Return a figure that hops on the spot, arms swinging up."""
    period_seconds, height = rng.uniform(0.75, 0.95), rng.uniform(0.16, 0.26)
    start = rng.uniform(0, 1)

    def poses(seconds_T: np.ndarray) -> np.ndarray:
        share_T = (seconds_T / period_seconds + start) % 1.0
        flight_T = np.clip((share_T - 0.3) / 0.7, 0, 1)
        squat_T = np.sin(np.pi * np.clip(share_T / 0.3, 0, 1))
        air_T = 4 * flight_T * (1 - flight_T)
        poses_TP = np.tile(pose(), (len(seconds_T), 1))
        poses_TP[:, COLUMN["lift"]] = height * air_T
        for side in ("left", "right"):
            poses_TP[:, COLUMN[f"{side}_hip"]] = 42 * squat_T + 22 * air_T
            poses_TP[:, COLUMN[f"{side}_knee"]] = 70 * squat_T + 60 * air_T
        poses_TP[:, COLUMN["spine_pitch"]] = 20 * squat_T
        hand_T3 = np.stack([0.35 + 0.2 * air_T, 0.4 + 0 * air_T, -0.5 + 1.2 * air_T], axis=1)
        poses_TP[:, LEFT_HAND] = poses_TP[:, RIGHT_HAND] = hand_T3
        return poses_TP

    return poses


def _swaying(base: np.ndarray, rng: np.random.Generator, **amplitudes: float) -> PoseFunction:
    """Return a held pose in which the named columns swing slowly by their amplitudes."""
    waves = {
        name: (amplitude, rng.uniform(0.35, 0.6), rng.uniform(0, 2 * np.pi))
        for name, amplitude in amplitudes.items()
    }

    def poses(seconds_T: np.ndarray) -> np.ndarray:
        poses_TP = np.tile(base, (len(seconds_T), 1))
        for name, (amplitude, rate_hz, phase) in waves.items():
            poses_TP[:, COLUMN[name]] += amplitude * np.sin(2 * np.pi * rate_hz * seconds_T + phase)
        return poses_TP

    return poses
