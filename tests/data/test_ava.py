"""AVA keyframes as samples."""

import numpy as np
import pytest
import torch
from ava_files import START_SECONDS, annotate, annotation_rows, make_videos
from video_files import frame_number

from x3d_det.data import AvaDataset, EvalTransform, TrainTransform, VideoFolder, training_boxes
from x3d_det.errors import DataError, VideoError

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    make_videos(folder)
    return VideoFolder(folder, video_start_seconds=START_SECONDS)


def make_dataset(source, rows, *, train=False, **options):
    if train:
        transform = TrainTransform(short_side_range_px=(40, 48), crop_px=32)
    else:
        transform = EvalTransform(short_side_px=48, **PLAIN)
    settings = {"num_frames": 4, "sampling_stride": 3, "fps": 10, "num_classes": 5, **options}
    return AvaDataset(training_boxes(rows)[0], source, transform, **settings)


def clip_numbers(sample):
    frames = (sample.clip_CTHW.permute(1, 2, 3, 0).numpy() * 255).round().astype(np.uint8)
    return [frame_number(frame) for frame in frames]


def test_a_sample_by_hand(videos):
    rows = annotation_rows(("v0", 903, 0.25, 0.0, 0.5, 1.0, 2), ("v0", 903, 0.25, 0.0, 0.5, 1.0, 5))
    sample = make_dataset(videos, rows)[0, 0]
    # second 3 of the file at 10 a second is frame 30; 4 frames of stride 3: -6, -3, 0, 3
    assert clip_numbers(sample) == [24, 27, 30, 33]
    assert sample.clip_CTHW.dtype == torch.float32
    torch.testing.assert_close(sample.boxes_xyxy_px, torch.tensor([[16.0, 0, 32, 48]]))
    assert sample.targets_NK.tolist() == [[0, 1, 0, 0, 1]]
    assert sample.boxes_norm.tolist() == [[0.25, 0, 0.5, 1]]
    assert (sample.video_id, sample.timestamp, sample.index) == ("v0", 903.0, 0)
    assert (sample.num_clamped, sample.num_boxes_dropped) == (0, 0)
    assert sample.person_scores_N.tolist() == [1]
    assert sample.decode_seconds > 0


def test_the_ends_of_the_video_clamp_and_count(videos):
    dataset = make_dataset(videos, annotate(["v0"], [900, 907]))
    first, last = dataset[0, 0], dataset[0, 1]
    assert (clip_numbers(first), first.num_clamped) == ([0, 0, 0, 3], 2)
    # 80 frames: second 7 is frame 70; -6, -3, 0, 3 are all there
    assert (clip_numbers(last), last.num_clamped) == ([64, 67, 70, 73], 0)


def test_still_keyframe_is_the_keyframe_alone(videos):
    sample = make_dataset(videos, annotate(["v0"], [903]), still_keyframe=True)[0, 0]
    assert clip_numbers(sample) == [30, 30, 30, 30]
    assert sample.num_clamped == 0


def test_neighbours_in_one_go_are_the_same_samples(videos):
    dataset = make_dataset(videos, annotate(["-v1", "v0"], range(900, 908)), num_frames=8)
    keys = [(0, index) for index in [0, 1, 2, 3, 9, 10, 4, 7, 8]]
    together = dataset.__getitems__(keys)
    for key, sample in zip(keys, together, strict=True):
        alone = dataset[key]
        assert torch.equal(sample.clip_CTHW, alone.clip_CTHW)
        assert torch.equal(sample.boxes_xyxy_px, alone.boxes_xyxy_px)
        assert (sample.index, sample.num_clamped) == (alone.index, alone.num_clamped)
    decoded = sum(sample.num_decoded for sample in together[:4])
    assert decoded < sum(dataset[0, index].num_decoded for index in range(4))


def test_draws_depend_on_seed_epoch_and_index(videos):
    rows = annotate(["v0"], range(902, 906))
    dataset = make_dataset(videos, rows, train=True, seed=3)
    again = make_dataset(videos, rows, train=True, seed=3)
    assert torch.equal(dataset[2, 1].clip_CTHW, again[2, 1].clip_CTHW)
    other_epoch, other_seed = dataset[3, 1], make_dataset(videos, rows, train=True, seed=4)[2, 1]
    assert not torch.equal(dataset[2, 1].clip_CTHW, other_epoch.clip_CTHW)
    assert not torch.equal(dataset[2, 1].clip_CTHW, other_seed.clip_CTHW)


def test_a_dropped_box_takes_its_actions_along(videos):
    rows = annotation_rows(
        ("v0", 903, 0.0, 0.0, 0.04, 0.06, 1),
        ("v0", 903, 0.3, 0.3, 0.7, 0.7, 4),
        ("v0", 903, 0.96, 0.94, 1.0, 1.0, 2),
    )
    dataset = make_dataset(videos, rows, train=True)
    samples = [dataset[epoch, 0] for epoch in range(8)]
    for sample in samples:
        kept = sample.boxes_norm[:, 0].tolist()
        actions = [4 if x1 == 0.3 else 1 if x1 == 0.0 else 2 for x1 in kept]
        assert (sample.targets_NK.argmax(1) + 1).tolist() == actions
        assert sample.num_boxes_dropped == 3 - len(kept)
        assert (sample.boxes_xyxy_px >= 0).all()
        assert (sample.boxes_xyxy_px <= 32).all()
    assert any(sample.num_boxes_dropped for sample in samples)


def test_a_bad_keyframe_is_named_and_not_replaced(videos):
    dataset = make_dataset(videos, annotate(["gone", "v0"], [903, 950]))
    with pytest.raises(VideoError, match=r"gone\..*no such video file. \(keyframe gone,0903\)"):
        dataset[0, 0]
    with pytest.raises(VideoError, match=r"second 50\.000 is outside.*\(keyframe v0,0950\)"):
        dataset[0, 3]


def test_no_keyframes_and_unknown_actions(videos):
    with pytest.raises(DataError, match="no keyframe with a person box"):
        make_dataset(videos, annotation_rows())
    with pytest.raises(DataError, match=r"action ids 9 .*outside 1 to 5"):
        make_dataset(videos, annotation_rows(("v0", 903, 0.1, 0.1, 0.2, 0.2, 9)))
