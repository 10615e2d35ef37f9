"""Roles become poses and AVA's action ids."""

import numpy as np
import pytest

from x3d_det.io.label_map import ava_label_map
from x3d_det.synthetic.actions import (
    ACTION_IDS,
    GAITS,
    GESTURES,
    HELD_POSES,
    MOTION_ONLY_ACTION_IDS,
    PAIRS,
    Role,
    perform,
    perform_pair,
)
from x3d_det.synthetic.skeleton import JOINT, Proportions, joint_positions, project

BODY = Proportions()


def test_ids_are_evaluated_ones_of_ava_with_the_meaning_we_give_them():
    names = ava_label_map(60).names
    assert len(ACTION_IDS) == 17
    assert set(MOTION_ONLY_ACTION_IDS) <= set(ACTION_IDS) <= set(names)
    beginnings = {
        ("walk", "none"): ["walk"],
        ("run", "none"): ["run"],
        ("stand", "wave"): ["stand", "hand wave"],
        ("walk", "clap"): ["walk", "hand clap"],
        ("run", "carry"): ["run", "carry"],
        ("sit", "phone"): ["sit", "answer phone"],
        ("crouch", "none"): ["crouch"],
        ("bend", "none"): ["bend"],
        ("jump", "none"): ["jump"],
        ("lie", "none"): ["lie"],
        ("stand", "raise"): ["stand"],
        ("stand", "join"): ["stand"],
    }
    for (body, gesture), expected in beginnings.items():
        act = perform(Role(body=body, gesture=gesture), BODY, np.random.default_rng(0))
        found = [names[action_id] for action_id in act.labels(1.0)]
        assert len(found) == len(expected)
        for word in expected:
            assert any(name.startswith(word) for name in found), (word, found)


def test_a_descent_is_named_by_the_second():
    role = Role(body="descent", middles=(1.0, 3.0), first_is_fall=False)
    act = perform(role, BODY, np.random.default_rng(2))
    assert [act.labels(float(second)) for second in (1, 2, 3)] == [(6,), (12,), (5,)]
    assert act.feet_stay


@pytest.mark.parametrize("body", [*GAITS, *HELD_POSES])
@pytest.mark.parametrize("gesture", GESTURES)
def test_every_role_gives_finite_poses(body, gesture):
    act = perform(Role(body=body, gesture=gesture), BODY, np.random.default_rng(1))
    poses_TP = act.poses(np.linspace(0, 3, 10))
    assert np.isfinite(joint_positions(poses_TP, BODY)).all()
    assert (act.speed > 0) == (body in ("walk", "run"))
    assert bool(act.props) == (gesture in ("carry", "phone"))
    assert act.seat == (body == "sit")
    assert act.poses(np.zeros(0)).shape == (0, poses_TP.shape[1])


@pytest.mark.parametrize(("pair", "body"), [*((p, "stand") for p in PAIRS), ("hand shake", "sit")])
def test_partners_face_each_other(pair, body):
    first, second, gap = perform_pair(
        Role(body=body, pair=pair), (BODY, BODY), np.random.default_rng(4)
    )
    assert gap > 0
    assert abs(second.yaw - first.yaw) == pytest.approx(180)
    assert first.labels(0.0) == second.labels(0.0)
    assert len(first.labels(0.0)) == 2


def test_shaking_hands_meet_half_way():
    first, second, gap = perform_pair(
        Role(body="stand", pair="hand shake"), (BODY, BODY), np.random.default_rng(4)
    )
    hands = []
    for act, side in ((first, -0.5), (second, 0.5)):
        turn = np.radians(first.yaw)
        seen = project(joint_positions(act.poses(np.array([0.3])), BODY), yaw=act.yaw, elevation=0)[
            0
        ]
        place = np.array([side * gap * np.cos(turn), 0, side * gap * np.sin(turn)])
        hands.append(seen[JOINT["right_wrist"]] + place)
    # Legs bend differently, so the heights of the shoulders differ a little.
    assert np.linalg.norm(hands[0] - hands[1]) < 0.09


def test_phone_is_at_the_ear():
    act = perform(Role(body="stand", gesture="phone"), BODY, np.random.default_rng(3))
    side = act.props[0].split("_")[0]
    joints_J3 = joint_positions(act.poses(np.array([0.0])), BODY)[0]
    gap = np.linalg.norm(joints_J3[JOINT[f"{side}_wrist"]] - joints_J3[JOINT["head"]])
    assert gap < 0.12


def test_unknown_words_are_named():
    rng = np.random.default_rng(0)
    with pytest.raises(
        ValueError, match="body motion 'swim' does not exist; there are stand, walk"
    ):
        perform(Role(body="swim"), BODY, rng)
    with pytest.raises(ValueError, match="gesture 'nod' does not exist; there are none, wave"):
        perform(Role(body="stand", gesture="nod"), BODY, rng)
    with pytest.raises(ValueError, match="interaction 'kiss' does not exist; there are hand shake"):
        perform_pair(Role(body="stand", pair="kiss"), (BODY, BODY), rng)
