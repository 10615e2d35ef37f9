"""What only motion tells apart: the pictures of a keyframe must not."""

import numpy as np
import pytest

from x3d_det.synthetic.actions import Role, perform
from x3d_det.synthetic.gestures import clapping, waving
from x3d_det.synthetic.motions import (
    FALL_KINDS,
    Descent,
    bending,
    crouching,
    fall_path,
    jumping,
    lying,
    random_gait,
    sitting,
)
from x3d_det.synthetic.skeleton import COLUMN, JOINT, Proportions, joint_positions

BODY = Proportions()
NUM_FIGURES = 600


def gait_keyframes(kind: str, seed: int) -> np.ndarray:
    """Poses of many figures at second 1 of a shot, as rows."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [random_gait(kind, rng).poses(np.array([1.0])) for _ in range(NUM_FIGURES)]
    )


def largest_cdf_gap(first: np.ndarray, second: np.ndarray) -> float:
    """Kolmogorov and Smirnov's distance of two samples."""
    places = np.sort(np.concatenate([first, second]))
    below_first = np.searchsorted(np.sort(first), places, side="right") / len(first)
    below_second = np.searchsorted(np.sort(second), places, side="right") / len(second)
    return float(np.abs(below_first - below_second).max())


@pytest.mark.parametrize(
    ("first", "second"), [("walk", "run"), ("walk", "stand"), ("run", "stand")]
)
def test_keyframe_poses_of_gaits_have_one_distribution(first, second):
    one, other = gait_keyframes(first, 1), gait_keyframes(second, 2)
    # At a level of 1e-4 two samples of 600 may differ by 2.23 sqrt(2 / 600) = 0.129.
    for name, column in COLUMN.items():
        if np.ptp(one[:, column]) > 0:
            assert largest_cdf_gap(one[:, column], other[:, column]) < 0.129, name
            spread = one[:, column].std()
            gap = abs(one[:, column].mean() - other[:, column].mean())
            assert gap < 4 * spread * np.sqrt(2 / NUM_FIGURES), name


def test_the_gap_test_would_see_a_larger_stride():
    one, other = gait_keyframes("walk", 1), gait_keyframes("run", 2)
    column = COLUMN["left_hip"]
    assert largest_cdf_gap(one[:, column], 1.6 * other[:, column]) > 0.129


def test_gaits_differ_in_cadence_and_speed_alone():
    gaits = {kind: random_gait(kind, np.random.default_rng(7)) for kind in ("stand", "walk", "run")}
    shapes = {(g.stride, g.knee_lift, g.arm_amplitude, g.elbow, g.lean) for g in gaits.values()}
    assert len(shapes) == 1
    assert gaits["stand"].speed(BODY) == 0
    ratio = gaits["run"].speed(BODY) / gaits["walk"].speed(BODY)
    assert ratio == pytest.approx(gaits["run"].cadence_hz / gaits["walk"].cadence_hz)
    assert 1.8 < ratio < 3.1


def test_a_walker_strides_and_a_standing_figure_keeps_its_stride():
    seconds_T = np.linspace(0, 2, 60)
    column = COLUMN["left_hip"]
    walk = random_gait("walk", np.random.default_rng(3)).poses(seconds_T)[:, column]
    stand = random_gait("stand", np.random.default_rng(3)).poses(seconds_T)[:, column]
    assert np.ptp(walk) > 35
    assert np.ptp(stand) < 6


@pytest.mark.parametrize("kind", FALL_KINDS)
def test_getting_up_is_falling_backwards_in_time(kind):
    path_KP = fall_path(kind, np.random.default_rng(5))
    fall, get_up = (
        Descent(path_KP=path_KP, middles=(1.0,), first_is_fall=first, duration_seconds=1.7)
        for first in (True, False)
    )
    seconds_T = np.linspace(0, 2, 41)
    np.testing.assert_allclose(fall.poses(seconds_T), get_up.poses(2 - seconds_T), atol=1e-9)
    np.testing.assert_allclose(fall.poses(np.array([1.0])), get_up.poses(np.array([1.0])))


def test_fall_goes_from_upright_to_low():
    for seed, kind in enumerate(FALL_KINDS):
        path_KP = fall_path(kind, np.random.default_rng(seed))
        heads = joint_positions(path_KP, BODY)[:, JOINT["head"], 2]
        assert heads[0] > 0.8
        assert (np.diff(heads) < 0).all()
        assert heads[-1] < 0.3


def test_states_of_a_fall_and_a_getting_up():
    path_KP = fall_path("back", np.random.default_rng(0))
    there_and_back = Descent(
        path_KP=path_KP, middles=(1.0, 3.0), first_is_fall=True, duration_seconds=1.6
    )
    # Movements run from 0.2 to 1.8 and from 2.2 to 3.8.
    states = [there_and_back.state(second) for second in (0.1, 1.0, 2.0, 3.0, 4.0)]
    assert states == ["stand", "fall", "lie", "get up", "stand"]
    np.testing.assert_allclose(
        there_and_back.progress(np.array([0.2, 1.0, 1.8, 2.2, 3.0, 3.8])), [0, 0.5, 1, 1, 0.5, 0]
    )


def test_falls_and_gettings_up_are_equally_far_on_at_keyframes():
    progress = {}
    for falls in (True, False):
        rng = np.random.default_rng(11)
        role = Role(body="descent", middles=(1.0,), first_is_fall=falls)
        heights = []
        for _ in range(300):
            poses_TP = perform(role, BODY, rng).poses(np.array([1.0]))
            heights.append(joint_positions(poses_TP, BODY)[0, JOINT["head"], 2])
        progress[falls] = np.array(heights)
    # At a level of 1e-4 two samples of 300 may differ by 2.23 sqrt(2 / 300) = 0.182.
    assert largest_cdf_gap(progress[True], progress[False]) < 0.182


@pytest.mark.parametrize("gesture", ["wave", "clap"])
def test_a_still_gesture_is_the_moving_one_held(gesture):
    def hands(seed: int, still: bool) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        make = (
            waving(rng, yaw=70, still=still)
            if gesture == "wave"
            else clapping(rng, BODY, still=still)
        )
        return make(np.linspace(0, 2, 61))

    starts: dict[bool, list[float]] = {True: [], False: []}
    for still in (True, False):
        for seed in range(300):
            side, track_T3 = next(iter(hands(seed, still).items()))
            assert side in ("left", "right")
            assert (np.ptp(track_T3[:, 1]) > 0.3) == (not still)
            starts[still].append(track_T3[30, 1])
    assert largest_cdf_gap(np.array(starts[True]), np.array(starts[False])) < 0.182


def test_held_poses_are_what_they_are_called():
    def joints(poses) -> np.ndarray:
        return joint_positions(poses(np.linspace(0, 2, 9)), BODY)

    for seed in range(5):
        rng = np.random.default_rng(seed)
        seated, crouched = joints(sitting(rng)), joints(crouching(rng))
        bent, flat = joints(bending(rng)), joints(lying("back", rng))
        head, pelvis, chest = JOINT["head"], JOINT["pelvis"], JOINT["chest"]
        assert (seated[:, pelvis, 2] < 0.32).all()
        assert (seated[:, head, 2] > 0.5).all()
        assert (crouched[:, pelvis, 2] < 0.32).all()
        assert (bent[:, pelvis, 2] > 0.35).all()
        assert (bent[:, chest, 2] - bent[:, pelvis, 2] < 0.2).all()
        assert (flat[:, head, 2] < 0.3).all()


def test_a_jump_leaves_the_ground_and_returns():
    lowest_T = joint_positions(jumping(np.random.default_rng(0))(np.linspace(0, 2, 60)), BODY)[
        :, :, 2
    ].min(axis=1)
    assert lowest_T.min() == pytest.approx(0, abs=1e-9)
    assert lowest_T.max() > 0.14
