"""Keyframes and the seconds round them."""

import numpy as np
import pytest

from x3d_det.keyframes import Keyframe, clip_seconds, format_timestamp


@pytest.mark.parametrize(
    ("timestamp", "text"),
    [(902.0, "0902"), (1798.0, "1798"), (0.0, "0000"), (5.016949, "5.016949"), (17.5, "17.500000")],
)
def test_timestamps_as_in_the_files(timestamp, text):
    assert format_timestamp(timestamp) == text


def test_keyframes_sort_by_video_and_second():
    frames = [Keyframe("b", 902.0), Keyframe("-a", 1000.0), Keyframe("b", 901.5)]
    assert [str(frame) for frame in sorted(frames)] == ["-a,1000", "b,901.500000", "b,0902"]


def test_clip_of_x3d_m():
    # 16 frames of stride 5 at 30 a second: 40 steps back, 35 on; frame 8 is the keyframe
    seconds = clip_seconds(902.0, num_frames=16, sampling_stride=5)
    assert seconds.dtype == np.float64
    np.testing.assert_allclose(seconds, [902 + (5 * i - 40) / 30 for i in range(16)])
    assert seconds[8] == 902.0


# PySlowFast: range(center - T * tau // 2, center + T * tau // 2, tau), written out
@pytest.mark.parametrize(
    ("num_frames", "stride", "steps"),
    [
        (4, 2, [-4, -2, 0, 2]),
        (3, 3, [-4, -1, 2]),
        (1, 1, [0]),
        (13, 6, list(range(-39, 39, 6))),
    ],
)
def test_steps(num_frames, stride, steps):
    found = clip_seconds(10.0, num_frames=num_frames, sampling_stride=stride, fps=10.0)
    np.testing.assert_allclose(found, 10 + np.array(steps) / 10)
