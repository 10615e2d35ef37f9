"""Kinetics in training: where clips lie, what is random, and what stands in for broken videos."""

import pickle

import numpy as np
import pytest
import torch
from kinetics_files import FPS, SIDE, labelled, make_films, numbers

from x3d_det.data.batch import TrainBatchSampler
from x3d_det.data.kinetics import (
    ClipPlan,
    KineticsTrainDataset,
    VideoKey,
    collate_videos,
    make_kinetics_loader,
)
from x3d_det.data.kinetics_transforms import KineticsTrainTransform, rand_augmented
from x3d_det.data.kinetics_videos import VideoFiles, frame_offsets
from x3d_det.errors import DataError, VideoError

PLAN = ClipPlan(4, 2, SIDE, (SIDE, SIDE))  # 0.8 s at 10 frames a second
STILL = KineticsTrainTransform(flip_probability=0)
LIVELY = KineticsTrainTransform(color_jitter=0.4, rand_augment=9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("films")
    make_films(path, ten=10, twenty=20, short=3, bad=0, worse=0)
    return path


def dataset(folder, *names, **options):
    settings = {"plan": PLAN, "transform": STILL, "fps": FPS, "seed": 3, **options}
    return KineticsTrainDataset(labelled(folder, *names), **settings)


# --- where clips lie ---


def test_offsets_by_hand():
    np.testing.assert_allclose(frame_offsets(4, 12, 30), [0, 0.4, 0.8, 1.2])
    # 48 frames, of which 4 evenly from the first to the last: 0, 47 / 3, 94 / 3, 47
    np.testing.assert_allclose(frame_offsets(4, 12, 30, "span"), [0, 47 / 90, 94 / 90, 47 / 30])
    assert frame_offsets(1, 5, 30, "span") == [0]


def test_frames_are_those_of_the_clip(folder):
    twenty = dataset(folder, "twenty")
    firsts = set()
    for epoch in range(6):
        sample = twenty[epoch, 0]
        first, *_ = found = numbers(sample.clips_VCTHW[0])
        assert found == [first, first + 2, first + 4, first + 6]
        assert sample.num_clamped == 0
        firsts.add(first)
    assert len(firsts) > 2


def test_starts_are_uniform_over_the_legal_ones(folder, monkeypatch):
    starts = []

    def read(path, seconds, **options):
        starts.append(seconds[0])
        raise VideoError("seen enough")

    monkeypatch.setattr("x3d_det.data.kinetics_videos.read_frames_at", read)
    twenty = dataset(folder, "twenty", max_broken=1)
    for epoch in range(1200):
        with pytest.raises(DataError, match="seen enough"):
            twenty[epoch, 0]
    # 2 s of film, 0.8 s of clip: starts from 0 to 1.2 s; 100 expected in each tenth
    counts, _ = np.histogram(starts, bins=12, range=(0, 1.2))
    assert counts.sum() == 1200
    assert counts.min() > 65
    assert counts.max() < 140


def test_a_film_shorter_than_the_clip_repeats_its_last_frame(folder):
    sample = dataset(folder, "short")[5, 0]
    assert numbers(sample.clips_VCTHW[0]) == [0, 2, 2, 2]
    assert sample.num_clamped == 2  # seconds 0.4 and 0.6; the film ends at 0.3


def test_frames_may_span_the_whole_clip(folder):
    ten = dataset(folder, "ten", plan=PLAN._replace(sampling_stride=3), spacing="span")
    found = {tuple(np.diff(numbers(ten[epoch, 0].clips_VCTHW[0]))) for epoch in range(4)}
    # no legal start but 0 (1.2 s in 1 s): seconds 0, 1.1 / 3, 2.2 / 3, 1.1 -> frames 0, 3, 7, 9
    assert found == {(3, 4, 2)}


def test_a_key_may_bring_its_own_plan(folder):
    twenty = dataset(folder, "twenty")
    plan = ClipPlan(2, 5, 24, (32, 40))
    sample = twenty[VideoKey(0, 0, plan)]
    assert sample.clips_VCTHW.shape == (1, 3, 2, 24, 24)
    assert twenty[VideoKey(0, 0)].clips_VCTHW.shape == (1, 3, 4, SIDE, SIDE)


# --- chance ---


def test_a_sample_is_a_function_of_seed_epoch_index_and_crop(folder):
    options = {"transform": LIVELY, "plan": ClipPlan(2, 2, 24, (24, 40)), "crops_per_video": 2}
    both = dataset(folder, "ten", "twenty", **options)
    one, other = both[1, 0].clips_VCTHW
    assert not torch.equal(one, other)
    torch.randn(3)
    again = both.__getitems__([(1, 1), (1, 0), (1, 0)])
    assert [sample.index for sample in again] == [1, 0, 0]
    assert torch.equal(again[1].clips_VCTHW, torch.stack([one, other]))
    assert torch.equal(again[2].clips_VCTHW, again[1].clips_VCTHW)
    assert not torch.equal(both[2, 0].clips_VCTHW[0], one)
    reseeded = dataset(folder, "ten", "twenty", **{**options, "seed": 4})
    assert not torch.equal(reseeded[1, 0].clips_VCTHW[0], one)


def test_crops_of_a_video_are_of_one_decode(folder):
    sample = dataset(folder, "twenty", crops_per_video=3)[0, 0]
    first, *others = (numbers(clip) for clip in sample.clips_VCTHW)
    assert others == [first, first]
    assert sample.num_decoded <= first[-1] + 2  # and the frame that ends the last one


def test_rand_augment_leaves_the_global_generator_alone():
    rng = np.random.default_rng(0)
    frame = torch.from_numpy(rng.integers(0, 256, (1, 3, 24, 24), dtype=np.uint8))
    frames = frame.repeat(5, 1, 1, 1)
    state, changed = torch.get_rng_state(), 0
    for seed in range(8):
        once = rand_augmented(frames, 9, np.random.default_rng(seed))
        assert torch.equal(once, rand_augmented(frames, 9, np.random.default_rng(seed)))
        assert torch.equal(once, once[:1].expand_as(once))  # all frames alike
        assert (once.dtype, once.shape) == (torch.uint8, frames.shape)
        changed += not torch.equal(once, frames)
    assert changed >= 5
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip_probability": 1.5}, r"flip_probability is 1.5 and color_jitter 0.0"),
        ({"color_jitter": 1.0}, r"color_jitter 1.0; allowed are \[0, 1\] and \[0, 1\)"),
        ({"rand_augment": 31}, r"rand_augment is 31; a magnitude from 0 to 30"),
    ],
)
def test_transforms_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        KineticsTrainTransform(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plan": ClipPlan(4, 2, 65, (64, 80))}, r"range_px is \(64, 80\) and crop_px is 65"),
        ({"plan": ClipPlan(0, 2, 64, (64, 80))}, r"num_frames is 0 and sampling_stride 2"),
        ({"crops_per_video": 0}, r"crops_per_video is 0; at least 1"),
    ],
)
def test_data_sets_that_cannot_be(folder, options, message):
    with pytest.raises(ValueError, match=message):
        dataset(folder, "ten", **options)
    with pytest.raises(DataError, match=r"the training set has no videos"):
        dataset(folder)


# --- broken videos ---


def test_another_video_stands_in(folder):
    videos = dataset(folder, "bad", "ten", "twenty", max_broken=1)
    sample = videos[0, 0]
    assert sample.index in (1, 2)
    assert sample.label == sample.index
    assert sample.broken == (f"{folder.name}/bad.mp4",)
    (text,) = sample.replaced
    assert text.startswith(f"{folder}/bad.mp4: is no readable video: ")
    assert text.endswith(f" (listed at list.csv:1); {sample.video_name} stands in.")
    fresh = dataset(folder, "bad", "ten", "twenty", max_broken=1)
    fresh[3, 2]
    assert torch.equal(fresh[0, 0].clips_VCTHW, sample.clips_VCTHW)
    assert {videos[epoch, 0].index for epoch in range(12)} == {1, 2}
    assert videos[0, 1].broken == ()


def test_only_so_many_are_borne(folder):
    with pytest.raises(DataError, match=r"1 videos .* cannot be read, and 0 are borne: .*bad.mp4"):
        dataset(folder, "bad", "ten")[0, 0]
    videos = dataset(folder, "bad", "worse", "ten", max_broken=1)
    with pytest.raises(DataError, match=r"2 videos .*, and 1 are borne: .*bad.mp4.*worse.mp4") as e:
        videos.__getitems__([(epoch, index) for epoch in range(9) for index in (2, 0, 1)])
    assert "raise the limit (max_broken)" in str(e.value)


def test_a_set_of_broken_videos_ends(folder):
    videos = dataset(folder, "bad", max_broken=100)
    with pytest.raises(DataError, match=r"none of 1 videos drawn for one sample .*bad.mp4"):
        videos[0, 0]


def test_a_missing_video_is_broken_as_well(folder):
    videos = dataset(folder, "gone", "ten", max_broken=1)
    assert "gone.mp4: cannot be read: No such file" in videos[0, 0].replaced[0]


# --- batches ---


def test_collate(folder):
    videos = dataset(folder, "bad", "short", "ten", max_broken=1, crops_per_video=2)
    samples = [videos[0, 2], videos[0, 1], videos[0, 0]]
    batch = collate_videos(samples)
    assert batch.clips_BCTHW.shape == (6, 3, 4, SIDE, SIDE)
    assert torch.equal(batch.clips_BCTHW[2:4], samples[1].clips_VCTHW)
    labels = [sample.label for sample in samples]
    assert batch.labels_B.tolist() == np.repeat(labels, 2).tolist()
    assert batch.labels_B.dtype == torch.int64
    assert batch.video_labels.tolist() == labels
    assert batch.indices == (2, 1, samples[2].index)
    assert (batch.num_clips, batch.num_videos, batch.clips_per_video) == (6, 3, 2)
    assert batch.num_clamped == sum(sample.num_clamped for sample in samples) >= 2
    assert batch.broken == samples[2].broken
    assert batch.replaced == samples[2].replaced
    moved = batch.to("meta")
    assert moved.clips_BCTHW.is_meta
    assert moved.labels_B.is_meta
    assert moved.video_names == batch.video_names


def test_sizes_are_not_mixed(folder):
    videos = dataset(folder, "ten")
    small = videos[VideoKey(0, 0, PLAN._replace(crop_px=32))]
    with pytest.raises(DataError, match=r"ten.mp4 \(1, 3, 4, 64, 64\), .*ten.mp4 \(1, 3, 4, 32"):
        collate_videos([videos[0, 0], small])


def loader(videos, **options):
    sampler = TrainBatchSampler(len(videos), 2, seed=1, num_epochs=2)
    return make_kinetics_loader(videos, sampler, **{"num_workers": 0, **options})


def test_workers_change_nothing(folder):
    videos = dataset(folder, "ten", "bad", "twenty", "short", max_broken=1)
    alone = list(loader(videos))
    both = list(loader(videos, num_workers=1))
    assert len(alone) == len(both) == 4
    for first, second in zip(alone, both, strict=True):
        assert first.indices == second.indices
        assert first.replaced == second.replaced
        assert torch.equal(first.clips_BCTHW, second.clips_BCTHW)


def test_the_loader_counts_broken_videos_over_all_workers(folder):
    """Each worker has met one, which its own count allows."""
    videos = dataset(folder, "ten", "bad", "worse", "twenty", max_broken=2)
    counted = loader(videos)
    assert len(list(counted)) == 4
    assert set(counted.broken.texts) == {f"{folder.name}/{name}.mp4" for name in ("bad", "worse")}
    strict = loader(videos)
    strict.broken.max_broken = 1
    with pytest.raises(DataError, match=r"2 videos of the training set cannot be read, and 1 are"):
        list(strict)


# --- many videos ---


def test_half_a_million_videos_travel_cheaply(folder):
    listed = labelled(folder, "ten", "na\udcefve", "Käse")
    files = VideoFiles(listed * 2000)
    assert len(pickle.dumps(files)) < 6000 * (len(str(folder)) + 60)
    for index in (0, 1, 2, 5999):
        video = listed[index % 3]
        assert files.path(index) == video.path
        assert files.place(index) == video.place
        assert files.labels[index] == video.label
    assert files.name(4) == f"{folder.name}/na\udcefve.mp4"
