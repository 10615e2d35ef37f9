"""Kinetics in testing: where clips and crops lie, and that each video is decoded once."""

import numpy as np
import pytest
import torch
from kinetics_files import FPS, SIDE, labelled, make_films, numbers
from video_files import make_video

from x3d_det.data.batch import EvalBatchSampler
from x3d_det.data.kinetics import (
    KineticsViewDataset,
    VideoKey,
    make_kinetics_loader,
    view_starts,
)
from x3d_det.data.kinetics_transforms import KineticsViewTransform, crop_windows
from x3d_det.data.kinetics_videos import VideoFiles
from x3d_det.data.transforms import EvalTransform
from x3d_det.errors import DataError, VideoError
from x3d_det.io.video import read_frames_at
from x3d_det.io.video_lists import LabelledVideo

WHOLE = KineticsViewTransform(short_side_px=SIDE, crop_px=SIDE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("films")
    make_films(path, twenty=20, short=3, bad=0)
    return path


def dataset(videos, **options):
    settings = {"num_frames": 4, "sampling_stride": 2, "transform": WHOLE, "fps": FPS, **options}
    return KineticsViewDataset(videos, **settings)


# --- where clips and crops lie ---


@pytest.mark.parametrize(
    ("duration", "num_clips", "rule", "expected"),
    [
        (10, 1, "middle", [4]),  # the clip from 4 to 6
        (10, 2, "middle", [0, 8]),
        (10, 5, "middle", [0, 2, 4, 6, 8]),
        (10, 1, "pyslowfast", [0]),
        (10, 4, "pyslowfast", [0, 2, 4, 6]),  # never 8, the last legal one
        (2, 3, "middle", [0, 0, 0]),
        (0.3, 3, "pyslowfast", [0, 0, 0]),
    ],
)
def test_starts_by_hand(duration, num_clips, rule, expected):
    starts = view_starts(duration, 2, num_clips, rule)
    np.testing.assert_allclose(starts, expected)
    assert starts.dtype == np.float64


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (48, 64, [(0, 0), (0, 8), (0, 16)]),
        (64, 48, [(0, 0), (8, 0), (16, 0)]),
        (48, 48, [(0, 0), (0, 0), (0, 0)]),
    ],
)
def test_three_crops_by_hand(height, width, expected):
    windows = crop_windows(height, width, 24, 24, 3)
    assert [(window.top, window.left) for window in windows] == expected
    assert {(window.height, window.width) for window in windows} == {(48, 48)}
    assert {(window.out_height, window.out_width) for window in windows} == {(24, 24)}
    assert crop_windows(height, width, 24, 24, 1) == [windows[1]]


def test_three_crops_smaller_than_the_short_side():
    windows = crop_windows(48, 64, 48, 32, 3)
    assert [(window.top, window.left) for window in windows] == [(8, 0), (8, 16), (8, 32)]


def test_one_crop_is_that_of_the_keyframe_data():
    frames = np.random.default_rng(0).integers(0, 256, (3, 47, 61, 3), dtype=np.uint8)
    expected = EvalTransform(short_side_px=40, center_crop_px=32)(
        frames, np.zeros((0, 4)), np.random.default_rng(0)
    )
    one = KineticsViewTransform(short_side_px=40, crop_px=32)(frames)
    three = KineticsViewTransform(short_side_px=40, crop_px=32, num_crops=3)(frames)
    assert torch.equal(one[0], expected.clip_CTHW)
    assert torch.equal(three[1], one[0])
    assert (one.shape, three.shape) == ((1, 3, 3, 32, 32), (3, 3, 3, 32, 32))


def test_a_view_shows_its_part():
    frames = np.zeros((2, 8, 24, 3), np.uint8)
    frames[:, :, 8:16], frames[:, :, 16:] = 100, 200
    clips = KineticsViewTransform(
        short_side_px=8, crop_px=8, num_crops=3, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )(frames)
    assert [clip.mul(255).round().unique().tolist() for clip in clips] == [[0], [100], [200]]


# --- samples ---


def test_views_of_a_video_clip_after_clip(folder):
    transform = KineticsViewTransform(short_side_px=SIDE, crop_px=SIDE, num_crops=3)
    views = dataset(labelled(folder, "short", "twenty"), transform=transform, num_clips=3)
    assert (len(views), views.views_per_video) == (2, 9)
    sample = views[0, 1]
    # 2 s, clips of 0.8 s: they start at 0, 0.6 and 1.2 s
    expected = [[0, 2, 4, 6]] * 3 + [[6, 8, 10, 12]] * 3 + [[12, 14, 16, 18]] * 3
    assert [numbers(clip) for clip in sample.clips_VCTHW] == expected
    assert (sample.label, sample.index) == (1, 1)
    assert sample.video_name == f"{folder.name}/twenty.mp4"
    assert (sample.broken, sample.num_clamped) == ((), 0)
    assert torch.equal(views[VideoKey(7, 1)].clips_VCTHW, sample.clips_VCTHW)


def test_a_video_is_decoded_once(folder):
    views = dataset(labelled(folder, "twenty"), num_clips=10)
    assert views[0, 0].num_decoded <= 20
    assert len(views[0, 0].clips_VCTHW) == 10


def test_the_clip_in_the_middle_and_the_first(folder):
    videos = labelled(folder, "twenty")
    assert numbers(dataset(videos)[0, 0].clips_VCTHW[0]) == [6, 8, 10, 12]
    first = dataset(videos, clip_rule="pyslowfast")[0, 0]
    assert numbers(first.clips_VCTHW[0]) == [0, 2, 4, 6]
    spread = dataset(videos, clip_rule="pyslowfast", spacing="span")[0, 0]
    assert numbers(spread.clips_VCTHW[0]) == [0, 2, 4, 7]  # at 0, 7 / 30, 14 / 30 and 0.7 s


def test_a_video_shorter_than_its_clips_is_clamped_and_counted(folder):
    sample = dataset(labelled(folder, "short"), num_clips=2)[0, 0]
    assert [numbers(clip) for clip in sample.clips_VCTHW] == [[0, 2, 2, 2]] * 2
    assert sample.num_clamped == 4


def test_a_broken_video_is_an_error(folder):
    views = dataset(labelled(folder, "twenty", "bad", "gone"))
    with pytest.raises(VideoError, match=r"bad.mp4: is no readable .* \(listed at list.csv:2\)$"):
        views[0, 1]
    with pytest.raises(VideoError, match=r"gone.mp4: cannot be read: .* \(listed at list.csv:3\)"):
        views[0, 2]


def test_batches(folder):
    views = dataset(labelled(folder, "twenty", "short", "twenty"), num_clips=2)
    batches = list(make_kinetics_loader(views, EvalBatchSampler(np.zeros(3), 2), num_workers=0))
    assert [batch.indices for batch in batches] == [(0, 1), (2,)]
    assert [batch.clips_BCTHW.shape[0] for batch in batches] == [4, 2]
    assert batches[0].labels_B.tolist() == [0, 0, 1, 1]
    assert batches[0].video_labels.tolist() == [0, 1]
    views.videos = VideoFiles(labelled(folder, "bad"))
    with pytest.raises(VideoError, match=r"bad.mp4: is no readable video"):
        list(make_kinetics_loader(views, EvalBatchSampler(np.zeros(1), 1), num_workers=0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KineticsViewTransform(short_side_px=31, crop_px=32), r"short_side_px is 31 and"),
        (
            lambda: KineticsViewTransform(short_side_px=32, crop_px=32, num_crops=2),
            r"num_crops is 2; 1 or 3 is allowed",
        ),
        (lambda: dataset(["any"], num_clips=0), r"stride 2 and num_clips 0; all must be at least"),
    ],
)
def test_views_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()
    with pytest.raises(DataError, match=r"the test set has no videos"):
        dataset([])


# --- lengths of videos ---


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("film.mp4", {"b_frames": 2}),
        ("film.mkv", {}),
        # written to a pipe: no length anywhere in the header
        ("live.mkv", {"container_options": {"live": "1"}}),
        ("film.ts", {"first_seconds": 5.0}),
        ("film.avi", {"codec": "mpeg4"}),
        ("film.flv", {"with_audio": True}),
    ],
)
def test_duration(tmp_path, name, options):
    path = make_video(tmp_path / name, num_frames=15, fps=10, **options)
    files = VideoFiles([LabelledVideo(path, 0, "")])
    assert files.duration_seconds(0) == pytest.approx(1.5, abs=0.11)
    path.unlink()
    assert files.duration_seconds(0) == pytest.approx(1.5, abs=0.11)  # looked up once


def test_varying_rate(tmp_path):
    seconds = [0, 0.1, 0.2, 1.0, 1.1, 1.2, 1.3, 1.35, 1.4, 1.9]
    path = make_video(
        tmp_path / "varying.mp4", num_frames=10, seconds=seconds, height=SIDE, width=SIDE
    )
    views = dataset([LabelledVideo(path, 0, "")], clip_rule="pyslowfast", sampling_stride=4)
    assert numbers(views[0, 0].clips_VCTHW[0]) == [0, 2, 2, 5]  # at 0, 0.4, 0.8 and 1.2 s


def test_real_clips(shared_dir):
    """The middle clip of each film is what `read_frames_at` shows, at any rate and rotation."""
    names = ["chaplin.mp4", "asl_eat.mkv", "rotated_90.mov"]
    videos = [LabelledVideo(shared_dir / "clips" / name, 0, "") for name in names]
    transform = KineticsViewTransform(short_side_px=64, crop_px=64)
    views = dataset(videos, sampling_stride=1, transform=transform, num_clips=3)
    for index, video in enumerate(videos):
        sample = views[0, index]
        duration = views.videos.duration_seconds(index)
        seconds = max(0, duration - 0.4) / 2 + np.arange(4) / FPS
        frames = read_frames_at(video.path, seconds).frames_THWC
        assert torch.equal(sample.clips_VCTHW[1], transform(frames)[0])
        assert sample.num_clamped == (6 if duration < 0.3 else 0)  # at 0.2 and 0.3 s, thrice
    damaged = dataset([LabelledVideo(shared_dir / "clips" / "corrupted.mp4", 0, "list.csv:9")])
    with pytest.raises(VideoError, match=r"corrupted.mp4: .* \(listed at list.csv:9\)$"):
        damaged[0, 0]
