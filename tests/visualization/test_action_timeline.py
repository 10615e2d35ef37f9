"""Rows of actions over time: stretches and lanes worked by hand, the picture's size and colours."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from x3d_det.visualization.action_timeline import (
    PersonRow,
    Span,
    action_colors,
    plot_action_timeline,
    spans_of,
)


def _row(*actions, seconds=None, name="person 1"):
    seconds = tuple(map(float, range(len(actions)))) if seconds is None else seconds
    return PersonRow(name=name, seconds=seconds, actions=actions)


def _spans(row, interval=1.0):
    return [
        (span.action, span.lane, span.start_seconds, span.end_seconds)
        for span in spans_of(row, interval_seconds=interval)
    ]


def test_an_action_that_goes_on_is_one_stretch():
    assert _spans(_row(("sit",), ("sit",), ())) == [("sit", 0, -0.5, 1.5)]


def test_an_action_that_is_taken_up_again_is_two():
    assert _spans(_row(("sit",), (), ("sit",))) == [("sit", 0, -0.5, 0.5), ("sit", 0, 1.5, 2.5)]


def test_a_gap_in_the_keyframes_ends_a_stretch():
    row = _row(("sit",), ("sit",), seconds=(0.0, 3.0))
    assert _spans(row) == [("sit", 0, -0.5, 0.5), ("sit", 0, 2.5, 3.5)]


def test_the_stretches_of_a_fraction_of_a_second_touch_each_other():
    row = _row(("sit",), ("sit",), ("sit",), seconds=(0.1, 0.2, 0.1 + 0.1 + 0.1))
    assert _spans(row, interval=0.1) == [pytest.approx(("sit", 0, 0.05, 0.35))]


def test_an_action_keeps_its_lane_and_a_free_lane_is_used_again():
    row = _row(("sit", "talk"), ("talk",), ("talk", "eat"))
    assert _spans(row) == [
        ("sit", 0, -0.5, 0.5),
        ("talk", 1, -0.5, 2.5),
        ("eat", 0, 1.5, 2.5),
    ]


def test_no_two_stretches_of_a_lane_overlap():
    rng = np.random.default_rng(0)
    names = ["a", "b", "c", "d", "e"]
    for _ in range(50):
        chosen = [tuple(n for n in names if rng.random() < 0.5) for _ in range(12)]
        spans: list[Span] = spans_of(_row(*chosen), interval_seconds=1.0)
        for lane in {span.lane for span in spans}:
            own = [span for span in spans if span.lane == lane]
            for first, second in itertools.pairwise(own):
                assert first.end_seconds <= second.start_seconds
        for second, actions in enumerate(chosen):  # and together they say what the row says
            covering = {s.action for s in spans if s.start_seconds < second < s.end_seconds}
            assert covering == set(actions)


def test_the_most_frequent_actions_have_colours_of_their_own():
    rows = [_row(*[(f"action {index}",)] * (20 - index)) for index in range(15)]
    colors = action_colors(rows)
    assert list(colors) == [f"action {index}" for index in range(12)]
    assert len(set(colors.values())) == 12


def _plot(path, rows, **changes):
    settings = {"title": "clip", "start_seconds": 0.0, "end_seconds": 4.0, "interval_seconds": 1.0}
    return plot_action_timeline(path, rows, **{**settings, **changes})


def _has_color(path: Path, color: str) -> bool:
    rgb = tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
    return bool((np.asarray(Image.open(path).convert("RGB")) == rgb).all(axis=2).sum() > 500)


def test_the_picture_shows_the_actions_and_grows_with_the_persons(tmp_path: Path):
    row = _row(("sit",), ("sit", "talk"))
    one = _plot(tmp_path / "one.png", [row])
    many = _plot(tmp_path / "many.png", [row] * 60, end_seconds=7200.0)
    for color in action_colors([row]).values():
        assert _has_color(one, color)
    assert Image.open(one).width == Image.open(many).width
    assert Image.open(one).height < Image.open(many).height
    # 40 of 60 are drawn: two lanes of 0.17 and a gap of 0.16 inches each, at 120 dots an inch
    assert Image.open(many).height == pytest.approx((40 * 0.5 + 0.16 + 1.6) * 120, abs=3)


def test_nobody_is_a_picture_too(tmp_path: Path):
    path = _plot(tmp_path / "nobody.png", [])
    assert (np.asarray(Image.open(path).convert("L")) < 128).any()
