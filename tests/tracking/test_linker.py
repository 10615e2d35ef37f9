"""Persons numbered over keyframes: cases worked by hand, an oracle, laws, the error texts."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.boxes import pairwise_iou
from x3d_det.tracking import IouLinker

LEFT = [0.0, 0.0, 0.2, 1.0]
RIGHT = [0.8, 0.0, 1.0, 1.0]


def _link(linker, seconds, *boxes):
    return linker.link(seconds, np.array(boxes, float).reshape(-1, 4), np.ones(len(boxes))).tolist()


def _moved(box, shift_x):
    return [box[0] + shift_x, box[1], box[2] + shift_x, box[3]]


def test_two_people_who_stay_keep_their_numbers_in_any_order():
    linker = IouLinker()
    assert _link(linker, 0.0, LEFT, RIGHT) == [1, 2]
    assert _link(linker, 1.0, RIGHT, LEFT) == [2, 1]


def test_a_new_person_gets_the_next_number_and_nobody_is_no_error():
    linker = IouLinker()
    assert _link(linker, 0.0) == []
    assert _link(linker, 1.0, LEFT) == [1]
    assert _link(linker, 2.0, RIGHT, LEFT) == [2, 1]


def test_overlap_at_the_least_allowed_joins_and_below_it_does_not():
    # boxes of width 0.2 moved by d overlap by (0.2 - d) / (0.2 + d): 1/3 at d = 0.1
    assert _link_after(0.1, min_iou=1 / 3 - 1e-9) == [1]
    assert _link_after(0.1, min_iou=1 / 3 + 1e-9) == [2]


def _link_after(shift_x, *, min_iou):
    linker = IouLinker(min_iou=min_iou)
    _link(linker, 0.0, LEFT)
    return _link(linker, 1.0, _moved(LEFT, shift_x))


def test_a_walking_person_is_found_where_the_motion_leads():
    linker = IouLinker(min_iou=0.3)
    _link(linker, 0.0, LEFT)
    assert _link(linker, 1.0, _moved(LEFT, 0.1)) == [1]
    # 0.2 in two seconds: no overlap with the box last seen, all of it with the predicted one
    assert _link(linker, 3.0, _moved(LEFT, 0.3)) == [1]


def test_a_person_who_stops_is_found_where_last_seen():
    linker = IouLinker(min_iou=0.3)
    _link(linker, 0.0, LEFT)
    _link(linker, 1.0, _moved(LEFT, 0.1))
    assert _link(linker, 3.0, _moved(LEFT, 0.1)) == [1]  # predicted at 0.3, which does not overlap


def test_all_boxes_are_paired_at_once_not_the_nearest_first():
    # the first box overlaps track 1 most, yet leaving track 1 to the second joins both
    linker = IouLinker(min_iou=0.05)
    _link(linker, 0.0, [0.0, 0, 0.2, 1], [0.12, 0, 0.32, 1])
    first, second = [0.05, 0, 0.25, 1], [-0.1, 0, 0.1, 1]
    # overlaps: first-1 0.15/0.25 = 0.6, first-2 0.13/0.27 = 0.48, second-1 0.1/0.3 = 0.33,
    # second-2 0: 0.48 + 0.33 beats 0.6
    assert _link(linker, 1.0, first, second) == [2, 1]


@pytest.mark.parametrize(("gap", "number"), [(3.0, 1), (3.001, 2)])
def test_a_person_unseen_for_longer_than_the_gap_is_a_new_one(gap, number):
    linker = IouLinker(max_gap_seconds=3.0)
    _link(linker, 10.0, LEFT)
    assert _link(linker, 10.0 + gap, LEFT) == [number]


def test_behind_a_cut_everybody_is_new():
    linker = IouLinker()
    _link(linker, 0.0, LEFT)
    linker.new_shot()
    assert _link(linker, 1.0, LEFT) == [2]


@pytest.mark.parametrize("second", [5.0, 4.9])
def test_keyframes_out_of_order_are_refused(second):
    linker = IouLinker()
    _link(linker, 5.0, LEFT)
    with pytest.raises(ValueError, match=rf"seconds is {second:g} after 5; keyframes come in"):
        _link(linker, second, LEFT)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"min_iou": 0.0}, "min_iou is 0.0; it must be above 0"),
        ({"min_iou": 1.1}, "min_iou is 1.1"),
        ({"max_gap_seconds": 0.0}, "max_gap_seconds is 0.0; it must be above 0"),
    ],
)
def test_limits_outside_their_range_are_refused(limits, text):
    with pytest.raises(ValueError, match=text):
        IouLinker(**limits)


def _boxes(least, most):
    corner = st.floats(0, 0.6)
    side = st.floats(0.1, 0.4)
    box = st.tuples(corner, corner, side, side).map(
        lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
    )
    return st.lists(box, min_size=least, max_size=most)


@given(_boxes(1, 4), _boxes(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_pairing_has_the_largest_sum_of_overlaps(before, after):
    linker = IouLinker(min_iou=0.2)
    _link(linker, 0.0, *before)
    numbers = _link(linker, 1.0, *after)
    iou = pairwise_iou(np.array(after), np.array(before))
    iou[iou < 0.2] = 0.0
    slots = list(range(len(before))) + [None] * len(after)
    best = max(
        sum(iou[row, column] for row, column in enumerate(choice) if column is not None)
        for choice in set(itertools.permutations(slots, len(after)))
    )
    found = sum(iou[row, number - 1] for row, number in enumerate(numbers) if number <= len(before))
    assert found == pytest.approx(best)
    assert len(set(numbers)) == len(numbers)
