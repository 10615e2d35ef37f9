"""An articulated figure: joint positions of a body from a row of pose numbers.

Lengths are in body heights, angles in degrees. Body axes are (forward, left, up).

Shape suffixes in this file: T moments, P pose numbers, J joints, 3 body axes.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

POSE_COLUMNS = (
    "root_pitch",  # whole body leaning forward; +90 lies on the face, -90 on the back
    "root_roll",  # whole body leaning to its left; +-90 lies on a side
    "spine_pitch",  # trunk against the pelvis, forward positive
    "head_pitch",  # head against the trunk, forward positive
    "left_hip",  # thigh against the pelvis, forward positive
    "right_hip",
    "left_spread",  # thigh outward
    "right_spread",
    "left_knee",  # 0 is a straight leg
    "right_knee",
    "left_hand_forward",  # wrist from its shoulder in arm lengths, in the frame of the trunk
    "left_hand_out",
    "left_hand_up",
    "right_hand_forward",
    "right_hand_out",
    "right_hand_up",
    "lift",  # height of the lowest point above the ground, in body heights
)
COLUMN = {name: index for index, name in enumerate(POSE_COLUMNS)}
LEFT_HAND = slice(COLUMN["left_hand_forward"], COLUMN["left_hand_up"] + 1)
RIGHT_HAND = slice(COLUMN["right_hand_forward"], COLUMN["right_hand_up"] + 1)

JOINTS = (
    "pelvis",
    "chest",
    "head",
    "nose",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_toe",
    "right_toe",
)
JOINT = {name: index for index, name in enumerate(JOINTS)}


@dataclass(frozen=True, kw_only=True)
class Proportions:
    """Lengths of one body, in body heights."""

    torso: float = 0.29
    neck: float = 0.055
    head_radius: float = 0.07
    shoulder_half: float = 0.105
    hip_half: float = 0.055
    upper_arm: float = 0.165
    forearm: float = 0.155
    thigh: float = 0.235
    shin: float = 0.235
    foot: float = 0.085

    @property
    def arm(self) -> float:
        """Shoulder to wrist of a straight arm."""
        return self.upper_arm + self.forearm

    @property
    def leg(self) -> float:
        """Hip to ankle of a straight leg."""
        return self.thigh + self.shin


def random_proportions(rng: np.random.Generator) -> Proportions:
    """Return a body with every length up to a tenth longer or shorter than the usual one."""
    usual = Proportions()
    return Proportions(
        **{
            field.name: float(getattr(usual, field.name) * rng.uniform(0.9, 1.1))
            for field in fields(Proportions)
        }
    )


def pose(**values: float) -> np.ndarray:
    """Return one row of pose numbers (P,): an upright figure with hanging arms, changed by name."""
    row = np.zeros(len(POSE_COLUMNS))
    row[LEFT_HAND] = row[RIGHT_HAND] = (0.08, 0.12, -0.95)
    for name, value in values.items():
        row[COLUMN[name]] = value
    return row


def arm_swing(shoulder_T: np.ndarray, elbow: float) -> np.ndarray:
    """Return wrist targets (T, 3) of an arm swinging fore and aft.

    Args:
        shoulder_T: degrees of the upper arm before the trunk.
        elbow: degrees of the forearm before the upper arm.
    """
    upper_T = np.radians(shoulder_T)
    fore_T = upper_T + np.radians(elbow)
    forward_T = 0.5 * (np.sin(upper_T) + np.sin(fore_T))
    up_T = -0.5 * (np.cos(upper_T) + np.cos(fore_T))
    return np.stack([forward_T, np.full_like(forward_T, 0.1), up_T], axis=1)


def gait_poses(
    phase_T: np.ndarray,
    *,
    stride: float,
    knee_lift: float,
    arm_amplitude: float,
    elbow: float,
    lean: float,
) -> np.ndarray:
    """Return the poses (T, P) of a stride at given phases.

    Walking, running and standing still in mid-stride are all drawn by this one function;
    only how the phase moves with time tells them apart.

    Args:
        phase_T: radians; one cycle is two steps.
        stride: how far a thigh swings fore and aft.
        knee_lift: how far the knee bends while its leg swings forward.
        arm_amplitude: how far an arm swings, against the leg of its side.
        elbow: bend of the arms.
        lean: trunk forward.
    """
    poses_TP = np.tile(pose(spine_pitch=lean, head_pitch=-0.5 * lean), (len(phase_T), 1))
    for side, offset in (("left", 0.0), ("right", np.pi)):
        swing_T = phase_T + offset
        poses_TP[:, COLUMN[f"{side}_hip"]] = stride * np.sin(swing_T) + 6
        poses_TP[:, COLUMN[f"{side}_knee"]] = 8 + knee_lift * (
            np.clip(np.cos(swing_T - 0.4), 0, None) ** 1.5
        )
        hand = LEFT_HAND if side == "left" else RIGHT_HAND
        poses_TP[:, hand] = arm_swing(-arm_amplitude * np.sin(swing_T), elbow)
    return poses_TP


def interpolate_poses(key_poses_KP: np.ndarray, progress_T: np.ndarray) -> np.ndarray:
    """Return the poses (T, P) on the way through key poses.

    Args:
        key_poses_KP: K >= 2 rows, evenly spaced on the way.
        progress_T: 0 is the first key pose, 1 the last; values outside stay at the ends.
    """
    last = len(key_poses_KP) - 1
    place_T = np.clip(progress_T, 0, 1) * last
    left_T = np.minimum(place_T.astype(int), last - 1)
    share_T1 = (place_T - left_T)[:, None]
    return key_poses_KP[left_T] * (1 - share_T1) + key_poses_KP[left_T + 1] * share_T1


def joint_positions(
    poses_TP: np.ndarray, body: Proportions, *, feet_stay: bool = False
) -> np.ndarray:
    """Return the joints (T, J, 3) of a body in given poses, in body axes and body heights.

    The lowest joint rests on the ground (up = 0) plus the pose's `lift`.

    Args:
        poses_TP: rows of `POSE_COLUMNS`.
        body: lengths.
        feet_stay: the origin is below the ankles instead of below the pelvis: the figure
            turns about its feet.
    """
    column = {name: poses_TP[:, index] for name, index in COLUMN.items()}
    axes = _tilt(np.eye(3)[None].repeat(len(poses_TP), 0), column["root_pitch"])
    axes = _roll(axes, column["root_roll"])
    trunk = _tilt(axes, column["spine_pitch"])
    skull = _tilt(trunk, column["head_pitch"])
    joints_TJ3 = np.zeros((len(poses_TP), len(JOINTS), 3))

    def put(name: str, start: str, offset_T3: np.ndarray) -> None:
        joints_TJ3[:, JOINT[name]] = joints_TJ3[:, JOINT[start]] + offset_T3

    put("chest", "pelvis", body.torso * trunk[:, 2])
    put("head", "chest", (body.neck + body.head_radius) * skull[:, 2])
    put("nose", "head", body.head_radius * skull[:, 0])
    for side, outward in (("left", 1.0), ("right", -1.0)):
        put(f"{side}_shoulder", "chest", outward * body.shoulder_half * trunk[:, 1])
        hand_T3 = poses_TP[:, LEFT_HAND if side == "left" else RIGHT_HAND] * body.arm
        target_T3 = _along(trunk, hand_T3 * (1.0, outward, 1.0))
        pole_T3 = _along(trunk, np.array([[-0.5, 0.6 * outward, -0.6]]))
        elbow_T3, wrist_T3 = _two_bones(target_T3, pole_T3, body.upper_arm, body.forearm)
        put(f"{side}_elbow", f"{side}_shoulder", elbow_T3)
        put(f"{side}_wrist", f"{side}_shoulder", wrist_T3)
        put(f"{side}_hip", "pelvis", outward * body.hip_half * axes[:, 1])
        hip_T = column[f"{side}_hip"]
        shin_T = hip_T - column[f"{side}_knee"]
        spread_T = outward * column[f"{side}_spread"]
        put(f"{side}_knee", f"{side}_hip", body.thigh * _leg_direction(axes, hip_T, spread_T))
        put(f"{side}_ankle", f"{side}_knee", body.shin * _leg_direction(axes, shin_T, spread_T))
        toe_T3 = _leg_direction(axes, np.clip(0.6 * shin_T + 90, 20, 120), spread_T)
        put(f"{side}_toe", f"{side}_ankle", body.foot * toe_T3)
    if feet_stay:
        ankles_T3 = joints_TJ3[:, [JOINT["left_ankle"], JOINT["right_ankle"]]].mean(axis=1)
        joints_TJ3[:, :, :2] -= ankles_T3[:, None, :2]
    joints_TJ3[:, :, 2] += (column["lift"] - joints_TJ3[:, :, 2].min(axis=1))[:, None]
    return joints_TJ3


def project(joints_TJ3: np.ndarray, *, yaw: ArrayLike, elevation: float) -> np.ndarray:
    """Return right, up and nearness (T, J, 3) of joints as a distant camera sees them.

    Args:
        joints_TJ3: body axes.
        yaw: where the figure looks: 0 to the right of the picture, 90 at the camera.
        elevation: how far the camera looks down.
    """
    turn = np.radians(np.asarray(yaw, dtype=float))
    tip = np.radians(elevation)
    forward, left, up = joints_TJ3[..., 0], joints_TJ3[..., 1], joints_TJ3[..., 2]
    right = forward * np.cos(turn) + left * np.sin(turn)
    near = forward * np.sin(turn) - left * np.cos(turn)
    return np.stack(
        [right, up * np.cos(tip) - near * np.sin(tip), near * np.cos(tip) + up * np.sin(tip)],
        axis=-1,
    )


def _tilt(axes_T33: np.ndarray, degrees_T: np.ndarray) -> np.ndarray:
    """Turn frames (rows forward, left, up) forward about their left axis."""
    cos, sin = np.cos(np.radians(degrees_T))[:, None], np.sin(np.radians(degrees_T))[:, None]
    forward, left, up = axes_T33[:, 0], axes_T33[:, 1], axes_T33[:, 2]
    return np.stack([cos * forward - sin * up, left, cos * up + sin * forward], axis=1)


def _roll(axes_T33: np.ndarray, degrees_T: np.ndarray) -> np.ndarray:
    """Turn frames to their left about their forward axis."""
    cos, sin = np.cos(np.radians(degrees_T))[:, None], np.sin(np.radians(degrees_T))[:, None]
    forward, left, up = axes_T33[:, 0], axes_T33[:, 1], axes_T33[:, 2]
    return np.stack([forward, cos * left - sin * up, cos * up + sin * left], axis=1)


def _along(axes_T33: np.ndarray, amounts_T3: np.ndarray) -> np.ndarray:
    return (axes_T33 * amounts_T3[:, :, None]).sum(axis=1)


def _leg_direction(axes_T33: np.ndarray, swing_T: np.ndarray, spread_T: np.ndarray) -> np.ndarray:
    """Return unit vectors: straight down at 0, forward at a swing of 90, left at a spread of 90."""
    swing, spread = np.radians(swing_T), np.radians(spread_T)
    amounts_T3 = np.stack(
        [np.sin(swing) * np.cos(spread), np.sin(spread), -np.cos(swing) * np.cos(spread)], axis=1
    )
    return _along(axes_T33, amounts_T3)


def _two_bones(
    target_T3: np.ndarray, pole_T3: np.ndarray, first: float, second: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle joint and the end of two bones that reach for a target.

    A target out of reach is approached along its direction; the middle joint bends
    towards the pole.
    """
    distance_T1 = np.linalg.norm(target_T3, axis=1, keepdims=True)
    direction_T3 = np.where(  # a target at the root itself has no direction: any will do
        distance_T1 > 1e-9, target_T3 / np.maximum(distance_T1, 1e-9), (0.0, 0.0, -1.0)
    )
    reach_T1 = np.clip(distance_T1, abs(first - second) + 1e-3, 0.995 * (first + second))
    along_T1 = (first**2 - second**2 + reach_T1**2) / (2 * reach_T1)
    aside_T1 = np.sqrt(np.maximum(first**2 - along_T1**2, 0))
    # The small constant keeps a pole along the bones from having no side.
    bend_T3 = pole_T3 + (1e-6, 2e-6, -3e-6)
    bend_T3 = bend_T3 - (bend_T3 * direction_T3).sum(axis=1, keepdims=True) * direction_T3
    bend_T3 = bend_T3 / np.linalg.norm(bend_T3, axis=1, keepdims=True)
    return along_T1 * direction_T3 + aside_T1 * bend_T3, reach_T1 * direction_T3
