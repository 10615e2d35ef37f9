"""Joint positions: worked by hand first, then what no pose may change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.synthetic.skeleton import (
    COLUMN,
    JOINT,
    POSE_COLUMNS,
    Proportions,
    gait_poses,
    interpolate_poses,
    joint_positions,
    pose,
    project,
    random_proportions,
)

BODY = Proportions()
BONES = (
    ("pelvis", "chest", BODY.torso),
    ("chest", "head", BODY.neck + BODY.head_radius),
    ("head", "nose", BODY.head_radius),
    ("left_shoulder", "left_elbow", BODY.upper_arm),
    ("right_elbow", "right_wrist", BODY.forearm),
    ("left_hip", "left_knee", BODY.thigh),
    ("right_knee", "right_ankle", BODY.shin),
    ("left_ankle", "left_toe", BODY.foot),
    ("left_shoulder", "right_shoulder", 2 * BODY.shoulder_half),
    ("left_hip", "right_hip", 2 * BODY.hip_half),
)


def joints_of(**angles: float) -> dict[str, np.ndarray]:
    joints_J3 = joint_positions(pose(**angles)[None], BODY)[0]
    return {name: joints_J3[index] for name, index in JOINT.items()}


def test_upright_figure_stands_on_its_soles():
    joints = joints_of()
    # Ankle on the ground; above it leg 0.47, torso 0.29, neck and head radius 0.125.
    np.testing.assert_allclose(joints["left_ankle"], [0, 0.055, 0], atol=1e-12)
    np.testing.assert_allclose(joints["pelvis"], [0, 0, 0.47], atol=1e-12)
    np.testing.assert_allclose(joints["chest"], [0, 0, 0.76], atol=1e-12)
    np.testing.assert_allclose(joints["head"], [0, 0, 0.885], atol=1e-12)
    np.testing.assert_allclose(joints["nose"], [0.07, 0, 0.885], atol=1e-12)
    assert joints["left_toe"][0] == pytest.approx(0.085)


def test_seated_figure_has_its_pelvis_at_shin_height():
    joints = joints_of(left_hip=90, right_hip=90, left_knee=90, right_knee=90)
    np.testing.assert_allclose(joints["pelvis"], [0, 0, 0.235], atol=1e-12)
    np.testing.assert_allclose(joints["left_knee"], [0.235, 0.055, 0.235], atol=1e-12)
    np.testing.assert_allclose(joints["left_ankle"], [0.235, 0.055, 0], atol=1e-12)


def test_root_pitch_of_ninety_lies_on_the_face():
    joints = joints_of(root_pitch=90)
    # Head points forward; the nose points down and is 0.07 below the head.
    assert joints["head"][0] - joints["pelvis"][0] == pytest.approx(0.415)
    assert joints["head"][2] - joints["nose"][2] == pytest.approx(0.07)


def test_root_roll_of_ninety_lies_on_the_left_side():
    joints = joints_of(root_roll=90)
    assert joints["head"][1] - joints["pelvis"][1] == pytest.approx(0.415)
    assert joints["left_shoulder"][2] < joints["right_shoulder"][2]


def test_hand_reaches_its_target():
    # Half an arm length (0.16) forward of the shoulder, and level with it.
    joints = joints_of(left_hand_forward=0.5, left_hand_out=0, left_hand_up=0)
    reach = joints["left_wrist"] - joints["left_shoulder"]
    np.testing.assert_allclose(reach, [0.16, 0, 0], atol=1e-12)


def test_lift_raises_everything():
    difference = joints_of(lift=0.2)["head"] - joints_of()["head"]
    np.testing.assert_allclose(difference, [0, 0, 0.2], atol=1e-12)


def test_feet_stay_puts_the_ankles_over_the_origin():
    poses_TP = np.stack([pose(root_pitch=angle) for angle in (0, 40, 85)])
    joints_TJ3 = joint_positions(poses_TP, BODY, feet_stay=True)
    ankles_T3 = joints_TJ3[:, [JOINT["left_ankle"], JOINT["right_ankle"]]].mean(axis=1)
    np.testing.assert_allclose(ankles_T3[:, :2], 0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=len(POSE_COLUMNS), max_size=len(POSE_COLUMNS)))
def test_no_pose_stretches_a_bone_or_sinks_into_the_ground(values):
    scale = np.array([1.0 if "hand" in name else 120.0 for name in POSE_COLUMNS])
    row = np.array(values) * scale
    row[COLUMN["lift"]] = 0.0
    joints_J3 = joint_positions(row[None], BODY)[0]
    for start, end, length in BONES:
        found = np.linalg.norm(joints_J3[JOINT[end]] - joints_J3[JOINT[start]])
        assert found == pytest.approx(length, abs=1e-9), (start, end)
    assert joints_J3[:, 2].min() == pytest.approx(0, abs=1e-12)


def test_all_moments_at_once_equal_one_by_one():
    phase_T = np.linspace(0, 6, 7)
    poses_TP = gait_poses(phase_T, stride=28, knee_lift=60, arm_amplitude=30, elbow=40, lean=8)
    together = joint_positions(poses_TP, BODY, feet_stay=True)
    for moment in range(7):
        alone = joint_positions(poses_TP[moment : moment + 1], BODY, feet_stay=True)
        np.testing.assert_allclose(together[moment], alone[0], atol=1e-12)
    assert joint_positions(poses_TP[:0], BODY).shape == (0, len(JOINT), 3)


def test_gait_half_a_cycle_on_is_the_mirror_image():
    shape = {"stride": 28, "knee_lift": 60, "arm_amplitude": 30, "elbow": 40, "lean": 8}
    now, later = gait_poses(np.array([0.7, 0.7 + np.pi]), **shape)
    for name, index in COLUMN.items():
        twin = name.replace("left", "L").replace("right", "left").replace("L", "right")
        assert now[index] == pytest.approx(later[COLUMN[twin]]), name


def test_projection_turns_the_nose():
    joints_TJ3 = joint_positions(pose()[None], BODY)
    for yaw, expected in ((0, (0.07, 0)), (90, (0, 0.07)), (180, (-0.07, 0))):
        seen_J3 = project(joints_TJ3, yaw=yaw, elevation=0)[0]
        ahead = seen_J3[JOINT["nose"]] - seen_J3[JOINT["head"]]
        np.testing.assert_allclose(ahead[[0, 2]], expected, atol=1e-12)
    facing = project(joints_TJ3, yaw=90, elevation=0)[0]
    assert facing[JOINT["left_shoulder"], 0] > 0  # a facing figure's left is on our right


def test_camera_that_looks_down_sees_near_things_lower():
    joints_TJ3 = joint_positions(pose()[None], BODY)
    seen_J3 = project(joints_TJ3, yaw=90, elevation=30)[0]
    # The toe is 0.085 nearer than the ankle: lower by 0.085 sin 30 = 0.0425.
    drop = seen_J3[JOINT["left_ankle"], 1] - seen_J3[JOINT["left_toe"], 1]
    assert drop == pytest.approx(0.0425)


def test_interpolation_passes_through_the_key_poses():
    keys_KP = np.stack([pose(root_pitch=angle) for angle in (0, 20, 90)])
    found = interpolate_poses(keys_KP, np.array([-1, 0, 0.25, 0.5, 0.75, 1, 3]))
    np.testing.assert_allclose(found[:, COLUMN["root_pitch"]], [0, 0, 10, 20, 55, 90, 90])


def test_bodies_differ_and_repeat():
    first = random_proportions(np.random.default_rng(1))
    assert first == random_proportions(np.random.default_rng(1))
    assert first != random_proportions(np.random.default_rng(2))
    assert 0.9 * BODY.torso <= first.torso <= 1.1 * BODY.torso
