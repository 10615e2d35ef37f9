"""The script: cuts, keyframes, decks, names and random streams."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from x3d_det.synthetic.film import frame_seconds
from x3d_det.synthetic.proposals import FALSE_PER_KEYFRAME, MISS_RATE, detector_like
from x3d_det.synthetic.script import PURPOSES, SPLITS, plan_split, random_stream

PLANS = {
    split: plan_split(0, split, num_videos=count, seconds_per_video=20)
    for split, count in (("train", 14), ("val", 8))
}
ALL_PLANS = [plan for split in SPLITS for plan in PLANS[split]]


@pytest.mark.parametrize("seconds", [4, 5, 6, 7, 11, 20])
def test_shots_fill_the_video_and_keyframes_stay_a_second_off_the_cuts(seconds):
    for plan in plan_split(3, "train", num_videos=6, seconds_per_video=seconds):
        assert plan.shots[0].start == 0
        assert plan.shots[-1].end == seconds
        for shot, following in zip(plan.shots, plan.shots[1:], strict=False):
            assert shot.end == following.start
        for shot in plan.shots:
            assert 1 <= len(shot.roles) <= 4
            for second in shot.keyframes:
                assert shot.start + 1 <= second <= shot.end - 1
                assert second >= 2
        assert any(shot.keyframes for shot in plan.shots)


def test_descents_are_at_keyframes():
    for plan in ALL_PLANS:
        for shot in plan.shots:
            for role in shot.roles:
                for middle in role.middles:
                    assert shot.start + middle in shot.keyframes


def test_excluded_seconds_are_no_keyframes():
    count = 0
    for plan in ALL_PLANS:
        annotated = {second for shot in plan.shots for second in shot.keyframes}
        assert not annotated & set(plan.excluded)
        count += len(plan.excluded)
    assert count > 0


def test_gaits_and_their_gestures_are_even():
    gaits = Counter(
        role.body
        for plan in ALL_PLANS
        for shot in plan.shots
        for role in shot.roles
        if role.body in ("stand", "walk", "run") and role.pair is None
    )
    assert max(gaits.values()) - min(gaits.values()) <= 2
    falls = Counter(
        role.first_is_fall
        for plan in ALL_PLANS
        for shot in plan.shots
        for role in shot.roles
        if role.body == "descent"
    )
    assert abs(falls[True] - falls[False]) <= 2


def test_ids_are_like_youtubes_and_unique():
    ids = [plan.video_id for plan in ALL_PLANS]
    assert len(set(ids)) == len(ids)
    assert all(len(video_id) == 11 for video_id in ids)
    assert {"-", "_"} <= {video_id[0] for video_id in ids}


def test_rates_and_sizes_vary():
    rates = {plan.fps for plan in PLANS["train"]}
    assert rates == {None, Fraction(24), Fraction(25), Fraction(30), Fraction(30000, 1001)}
    assert sum(plan.fps is None for plan in PLANS["train"]) == 1
    assert len({(plan.height, plan.width) for plan in PLANS["train"]}) == 3


def test_frame_times_rise_and_end_within_the_video():
    for plan in PLANS["train"][:5]:
        times = np.array(frame_seconds(plan, seed=0))
        steps = np.diff(times)
        assert times[0] == 0
        assert 19.9 < times[-1] < 20
        if plan.fps is None:
            assert len(set(np.round(steps, 6))) == 4
        else:
            np.testing.assert_allclose(steps, float(1 / plan.fps))


def test_streams_of_splits_videos_shots_and_purposes_all_differ():
    draws = [random_stream(0, split).integers(2**62) for split in SPLITS]
    for split in SPLITS:
        for video in range(3):
            for shot in range(3):
                for purpose in PURPOSES:
                    stream = random_stream(0, split, video, shot, purpose)
                    draws.append(stream.integers(2**62))
    assert len(set(draws)) == len(draws)
    assert random_stream(0, "val", 1).random() == random_stream(0, "val", 1).random()
    assert random_stream(0, "val", 1).random() != random_stream(1, "val", 1).random()


def test_no_video_of_one_split_has_the_plan_of_one_in_the_other():
    for train in PLANS["train"]:
        for val in PLANS["val"]:
            assert train.shots != val.shots


def test_plans_repeat_by_seed():
    again = plan_split(0, "train", num_videos=14, seconds_per_video=20)
    assert again == PLANS["train"]
    assert plan_split(1, "train", num_videos=14, seconds_per_video=20) != again
    assert plan_split(0, "train", num_videos=0, seconds_per_video=20) == []


def test_proposals_are_near_the_truth_and_sometimes_wrong():
    box = (0.3, 0.2, 0.5, 0.8)
    rng = np.random.default_rng(0)
    near, far, missed, scores = 0, 0, 0, {"near": [], "far": []}
    for _ in range(1000):
        found = detector_like([box], rng)
        assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
        close = [p for p in found if np.abs(np.subtract(p.box_norm, box)).max() < 0.2]
        missed += not close
        near += len(close)
        far += len(found) - len(close)
        scores["near"] += [p.score for p in close]
        scores["far"] += [p.score for p in found if p not in close]
        for p in found:
            assert 0 <= p.box_norm[0] < p.box_norm[2] <= 1
            assert 0 <= p.score <= 1
    # 60 misses expected of 1000 with a deviation of 7.5; 300 false boxes with one of 17.
    assert abs(missed - 1000 * MISS_RATE) < 35
    assert abs(far - 1000 * FALSE_PER_KEYFRAME) < 80
    assert near > 1000 - missed
    assert np.mean(scores["near"]) > 0.85
    assert np.mean(scores["far"]) < 0.55


def test_proposals_of_an_empty_keyframe_are_false_ones():
    rng = np.random.default_rng(1)
    counts = [len(detector_like([], rng)) for _ in range(500)]
    assert 0.2 < np.mean(counts) < 0.4
