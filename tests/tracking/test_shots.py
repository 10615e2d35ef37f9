"""Cuts: pictures worked by hand, a generated film whose cuts are known, odd sizes."""

from pathlib import Path

import numpy as np
import pytest

from x3d_det.io.video import iterate_frames
from x3d_det.synthetic.film import make_video, video_path
from x3d_det.synthetic.script import plan_split
from x3d_det.tracking import ShotChanges
from x3d_det.tracking.shots import coarse_grid


def _told(frames):
    shots = ShotChanges()
    return [index for index, luma_HW in enumerate(frames) if shots.is_new_shot(luma_HW)]


def _grey(level, height=72, width=128):
    return np.full((height, width), level, np.uint8)


def test_the_grid_holds_the_mean_of_each_cell():
    luma_HW = np.zeros((72, 128), np.uint8)
    luma_HW[:4, :4] = 255  # 72 / 18 = 4 rows and 128 / 32 = 4 columns a cell
    luma_HW[4, 0] = 255
    grid_RC = coarse_grid(luma_HW)
    assert grid_RC.shape == (18, 32)
    assert grid_RC[0, 0] == 1.0
    assert grid_RC[1, 0] == pytest.approx(1 / 16)
    assert grid_RC.sum() == pytest.approx(1 + 1 / 16)


def test_a_jump_in_brightness_is_a_cut_and_a_slow_change_is_none():
    # 0.06 of 255 levels is 15.3
    assert _told([_grey(100), _grey(115), _grey(130)]) == []
    assert _told([_grey(100), _grey(100), _grey(116), _grey(116)]) == [2]


def test_a_steady_pan_is_no_cut_and_a_cut_in_it_is():
    # 20 levels a frame is above the least change, but it is the usual one here
    pan = [_grey(level) for level in range(0, 200, 20)]
    assert _told(pan) == []
    assert _told([*pan, _grey(10)])[-1] == len(pan)


def test_another_size_is_a_cut_and_tiny_pictures_are_no_error():
    assert _told([_grey(50, 3, 5)] * 2 + [_grey(50, 1, 1)] * 2) == [2]


def test_the_first_frame_begins_no_new_shot():
    assert _told([_grey(255)]) == []


def test_the_cuts_of_a_generated_film_are_found_and_no_others(tmp_path: Path):
    (plan,) = plan_split(3, "train", num_videos=1, seconds_per_video=12)
    (tmp_path / "videos").mkdir()
    make_video(plan, folder=tmp_path, seed=3, kept={})
    shots = ShotChanges()
    told = [
        seconds
        for seconds, frame_HWC in iterate_frames(tmp_path / video_path(plan.video_id))
        if shots.is_new_shot(frame_HWC[..., 1])
    ]
    cuts = [shot.start for shot in plan.shots if shot.start]
    assert len(cuts) >= 2
    assert told == pytest.approx(cuts, abs=0.05)
