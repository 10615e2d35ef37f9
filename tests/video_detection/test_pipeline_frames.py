"""Frames handed out beside the results: each after the keyframe ahead of it, few in memory."""

import itertools
import time

import numpy as np
import pytest
from video_files import frame_number, numbered_frame

from x3d_det import Request
from x3d_det.video_detection import KeyframeActions, PipelineOptions, ShownFrame

pytestmark = pytest.mark.usefixtures("no_thread_is_left_over")


def items(detector, path, **options) -> list[tuple[str, float]]:
    return [
        ("keyframe" if isinstance(item, KeyframeActions) else "frame", round(item.seconds, 3))
        for item in detector.detect_with_frames(path, Request(**options))
    ]


def test_a_frame_comes_after_the_keyframe_ahead_of_it(clip_of_30, detector):
    found = items(detector, clip_of_30)
    frames = [second for kind, second in found if kind == "frame"]
    assert frames == [round(number / 30, 3) for number in range(90)]
    known = -1.0
    for kind, second in found:
        if kind == "keyframe":
            known = second
        else:
            assert second < known or known == 2.0, "the next keyframe must be known"


def test_a_frame_far_from_the_next_keyframe_does_not_wait(clip_of_30, detector):
    found = items(
        detector, clip_of_30, interval_seconds=2.0, options=PipelineOptions(hold_seconds=0.5)
    )
    place = found.index(("keyframe", 2.0))
    before = [second for kind, second in found[:place] if kind == "frame"]
    assert before[-1] < 1.5 <= before[-1] + 0.04
    assert len(found) == 92


def test_frames_carry_picture_and_shot(tmp_path, detector):
    black, white = np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8)
    film = [*[black] * 40, *[white] * 40]
    run = detector.detect_with_frames(film, Request(fps=30))
    found = list(run)
    frames = [item for item in found if isinstance(item, ShownFrame)]
    assert [frame.shot for frame in frames] == [0] * 40 + [1] * 40
    assert [k.shot for k in found if isinstance(k, KeyframeActions)] == [0, 0, 1]
    assert frames[39].rgb_HWC().max() == 0
    assert frames[40].rgb_HWC().min() == 255


def test_frames_of_a_range_are_those_of_the_range(clip_of_30, detector):
    found = items(detector, clip_of_30, start_seconds=1.0, end_seconds=2.0)
    frames = [second for kind, second in found if kind == "frame"]
    assert frames == [round(number / 30, 3) for number in range(30, 60)]
    assert [second for kind, second in found if kind == "keyframe"] == [1.0]


def test_numbered_frames_arrive_as_they_are(clip_of_30, detector):
    frames = [i for i in detector.detect_with_frames(clip_of_30) if isinstance(i, ShownFrame)]
    assert [frame_number(frame.rgb_HWC()) for frame in frames] == list(range(90))


def test_memory_does_not_grow_with_the_film(detector):
    """The decoder waits for a slow caller: frames ahead of it are bounded, not counted in films."""
    taken = 0

    def film():
        nonlocal taken
        for number in range(30 * 600):
            taken += 1
            yield numbered_frame(number % 256)

    with detector.detect_with_frames(film(), Request(fps=30)) as run:
        given = 0
        ahead = []
        for item in itertools.islice(run, 400):
            given += isinstance(item, ShownFrame)
            ahead.append(taken - given)
        time.sleep(0.3)
        ahead.append(taken - given)
    # 2 s of window, a second in each of: both queues, both stages, the caller's hands
    assert max(ahead) <= 7 * 30
    assert ahead[-1] == max(ahead[-30:])
