"""Boxes between keyframes: straight lines, still ends, cuts; worked by hand."""

import pytest

from x3d_det.video_detection.moving import MovingPersons
from x3d_det.video_detection.results import KeyframeActions, PersonActions, ScoredAction

STEPS = {"sit": 1, "stand": 2}


def person(number, left, *actions, width=0.2):
    named = tuple(ScoredAction(STEPS[name], name, 0.9) for name in actions)
    return PersonActions((left, 0.1, left + width, 0.9), 0.95, number, named)


def moment(seconds, *persons, shot=0, has_actions=True):
    return KeyframeActions(seconds, 48, 64, persons, 0, has_actions=has_actions, shot=shot)


def shown(moving, seconds, shot=0):
    """Return number -> left edge and names of the actions."""
    return {
        p.track_id: (round(p.box_norm[0], 6), [a.name for a in p.actions])
        for p in moving.at(seconds, shot=shot)
    }


@pytest.fixture
def moving():
    return MovingPersons(hold_seconds=0.5)


def test_a_person_of_both_moments_moves_in_a_straight_line(moving):
    moving.add(moment(1.0, person(1, 0.1, "sit")))
    moving.add(moment(2.0, person(1, 0.5, "stand")))
    assert shown(moving, 1.0) == {1: (0.1, ["sit"])}
    assert shown(moving, 1.25) == {1: (0.2, ["sit"])}
    assert shown(moving, 1.75) == {1: (0.4, ["stand"])}, "the actions of the nearer moment"
    assert shown(moving, 2.0) == {1: (0.5, ["stand"])}
    (half_way,) = moving.at(1.5, shot=0)
    assert half_way.box_norm == pytest.approx((0.3, 0.1, 0.5, 0.9))


def test_a_person_of_one_moment_is_held_still_for_half_a_second(moving):
    moving.add(moment(1.0, person(1, 0.1)))
    moving.add(moment(2.0, person(2, 0.5)))
    assert shown(moving, 1.4) == {1: (0.1, [])}
    assert shown(moving, 1.6) == {2: (0.5, [])}
    assert shown(moving, 1.5) == {1: (0.1, []), 2: (0.5, [])}
    assert shown(moving, 2.5) == {2: (0.5, [])}
    assert shown(moving, 2.51) == {}


def test_before_the_first_moment(moving):
    assert shown(moving, 0.0) == {}
    moving.add(moment(1.0, person(1, 0.1)))
    assert shown(moving, 0.4) == {}
    assert shown(moving, 0.5) == {1: (0.1, [])}


def test_no_box_crosses_a_cut(moving):
    moving.add(moment(1.0, person(1, 0.1)))
    moving.add(moment(2.0, person(2, 0.5), shot=1))
    assert shown(moving, 1.3, shot=0) == {1: (0.1, [])}
    assert shown(moving, 1.3, shot=1) == {}
    assert shown(moving, 1.6, shot=1) == {2: (0.5, [])}
    assert shown(moving, 1.6, shot=0) == {}, "held no longer than half a second"


def test_a_gap_of_more_than_an_interval_is_not_joined(moving):
    moving.add(moment(1.0, person(1, 0.1)))
    moving.add(moment(2.5, person(1, 0.7)))
    assert shown(moving, 1.4) == {1: (0.1, [])}
    assert shown(moving, 1.75) == {}
    assert shown(moving, 2.1) == {1: (0.7, [])}


def test_who_is_gone_at_the_last_moment_is_not_shown_behind_it(moving):
    moving.add(moment(1.0, person(1, 0.1), person(2, 0.5)))
    moving.add(moment(1.2, person(2, 0.6)))
    assert shown(moving, 1.3) == {2: (0.6, [])}
    assert shown(moving, 1.1) == {1: (0.1, []), 2: (0.55, [])}


def test_a_moment_without_actions_has_those_last_said(moving):
    moving.add(moment(1.0, person(1, 0.1, "sit")))
    moving.add(moment(1.5, person(1, 0.3), person(2, 0.6), has_actions=False))
    assert shown(moving, 1.5) == {1: (0.3, ["sit"]), 2: (0.6, [])}
    moving.add(moment(2.0, person(1, 0.5), has_actions=True))
    assert shown(moving, 2.0)[1] == (0.5, []), "said anew: nothing"


def test_what_was_said_long_ago_is_forgotten(moving):
    moving.add(moment(1.0, person(1, 0.1, "sit")))
    moving.add(moment(40.0, person(2, 0.1, "stand")))
    moving.add(moment(40.5, person(1, 0.1), has_actions=False))
    assert shown(moving, 40.5)[1] == (0.1, [])
    assert len(moving._said) == 1
