"""Which frame each clip gets, worked by hand; frames are numbers here, scaling is a letter."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest

from x3d_det.video_detection.window import ClipWindow, Moment, grid_moments


@dataclass(frozen=True)
class Frame:
    """A frame whose picture is its own number."""

    seconds: float
    number: int
    duration_seconds: float = 0.1
    shot: int = 0

    def rgb_HWC(self):
        return self.number


def seconds_round(center: float) -> np.ndarray:
    """Three frames: 0.2 s before, at, and 0.2 s after."""
    return center + np.array([-0.2, 0.0, 0.2])


class Window:
    """A window that is fed frames, and what it asked for."""

    def __init__(self, moments, **options):
        self.scaled: list[int] = []
        self.looked: list[tuple[float, int]] = []
        self.window = ClipWindow(
            moments,
            clip_seconds=options.pop("clip_seconds", seconds_round),
            tolerance_seconds=0.001,
            scale=self._scale,
            look=lambda moment, frame: self.looked.append((moment.seconds, frame)),
        )

    def _scale(self, number: int) -> str:
        self.scaled.append(number)
        return f"f{number}"

    def feed(self, frames, *, end=True):
        ready = []
        for frame, after in itertools.pairwise(frames):
            ready += self.window.show_until(frame, after.seconds)
        return ready + (self.window.finish(frames[-1]) if end else [])


def ten_a_second(num_frames: int) -> list[Frame]:
    return [Frame(number / 10, number) for number in range(num_frames)]


def test_clips_hold_the_frames_of_their_seconds_and_count_those_outside():
    window = Window(grid_moments(1.0))
    ready = window.feed(ten_a_second(21))  # 0.0 to 2.0: the video ends at 2.1
    assert [one.moment.seconds for one in ready] == [0.0, 1.0, 2.0]
    assert [one.frames_T for one in ready] == [
        ("f0", "f0", "f2"),
        ("f8", "f10", "f12"),
        ("f18", "f20", "f20"),
    ]
    assert [one.num_clamped for one in ready] == [1, 0, 1]


def test_a_frame_of_several_clips_is_scaled_once_and_others_never():
    window = Window(grid_moments(0.2))
    ready = window.feed(ten_a_second(11))
    assert window.scaled == sorted(set(window.scaled)) == [0, 2, 4, 6, 8, 10]
    assert ready[1].frames_T[1] is ready[2].frames_T[0]


def test_a_moment_is_looked_at_before_its_clip_is_whole():
    window = Window(grid_moments(1.0))
    ready = window.feed(ten_a_second(13), end=False)  # the last frame's time ends 1.1's frame
    assert window.looked == [(0.0, 0), (1.0, 10)]
    assert [one.moment.seconds for one in ready] == [0.0]
    assert window.window.next_seconds == 1.0


def test_a_keyframe_at_the_very_end_is_none():
    window = Window(grid_moments(1.0))
    ready = window.feed(ten_a_second(20))  # the last frame is shown from 1.9 to 2.0
    assert [one.moment.seconds for one in ready] == [0.0, 1.0]
    assert window.looked == [(0.0, 0), (1.0, 10)]


def test_times_that_jitter_by_less_than_the_tolerance_do_not_move_a_frame():
    late = [Frame(number / 10 + 0.0009, number) for number in range(21)]
    ready = Window(grid_moments(1.0)).feed(late)
    assert ready[1].frames_T == ("f8", "f10", "f12")


def test_looks_between_keyframes_have_no_clip_and_keep_their_order():
    window = Window(grid_moments(1.0, looks=4))
    ready = window.feed(ten_a_second(12))
    assert [one.moment.seconds for one in ready] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [len(one.frames_T) for one in ready] == [3, 0, 0, 0, 3]
    assert window.looked == [(0.0, 0), (0.25, 2), (0.5, 5), (0.75, 7), (1.0, 10)]


def test_a_moment_has_the_shot_of_its_own_frame():
    frames = [Frame(number / 10, number, shot=int(number >= 11)) for number in range(21)]
    ready = Window(grid_moments(1.0)).feed(frames)
    assert [one.shot for one in ready] == [0, 0, 1]


def test_one_frame_is_a_video():
    ready = Window(grid_moments(1.0)).feed([Frame(0.0, 0)])
    assert [one.frames_T for one in ready] == [("f0", "f0", "f0")]
    assert ready[0].num_clamped == 2


def test_given_moments_after_the_end_are_left_over():
    window = Window([Moment(0.5), Moment(1.05), Moment(7.0)])
    ready = window.feed(ten_a_second(11))
    assert [one.moment.seconds for one in ready] == [0.5, 1.05]
    assert window.window.next_seconds == 7.0


def test_a_still_clip_shows_its_keyframe_alone():
    window = Window(grid_moments(1.0), clip_seconds=lambda center: np.full(3, center))
    assert window.feed(ten_a_second(13))[1].frames_T == ("f10", "f10", "f10")


def test_only_open_clips_are_held():
    window = Window(grid_moments(0.5))
    held = []
    for frame, after in itertools.pairwise(ten_a_second(400)):
        window.window.show_until(frame, after.seconds)
        held.append(len(window.window._open))
    assert max(held) <= 2


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.0, 1.2, [0.0, 0.4, 0.8]),
        (0.3, 1.3, [0.4, 0.8, 1.2]),
        (0.4, 0.9, [0.4, 0.8]),
        (1.2, 1.7, [1.2, 1.6]),
    ],
)
def test_keyframes_of_a_part_are_those_of_the_whole(start, end, expected):
    grid = list(grid_moments(0.4, start_seconds=start, end_seconds=end))
    assert [moment.seconds for moment in grid] == pytest.approx(expected)
    whole = [m.seconds for m in grid_moments(0.4, end_seconds=3.0)]
    assert all(moment.seconds in whole for moment in grid)


def test_seconds_do_not_drift_over_a_long_film():
    late = next(grid_moments(0.1, start_seconds=7000.0))
    assert late.seconds == 70_000 * 0.1
