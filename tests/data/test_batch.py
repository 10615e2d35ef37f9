"""Batches, samplers and workers."""

import os
import signal
import time

import numpy as np
import pytest
import torch
from ava_files import START_SECONDS, annotate, make_videos
from video_files import make_video

from x3d_det.data import (
    AvaDataset,
    EvalBatchSampler,
    EvalTransform,
    TrainBatchSampler,
    TrainTransform,
    VideoFolder,
    collate_samples,
    make_loader,
    training_boxes,
)
from x3d_det.errors import DataError, VideoError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("videos")
    make_videos(path)
    make_video(path / "wide.mp4", num_frames=80, fps=10, width=96)
    return path


def make_dataset(folder, names, seconds, *, train=True):
    if train:
        transform = TrainTransform(short_side_range_px=(40, 48), crop_px=32)
    else:
        transform = EvalTransform(short_side_px=48)
    return AvaDataset(
        training_boxes(annotate(names, seconds))[0],
        VideoFolder(folder, video_start_seconds=START_SECONDS),
        transform,
        num_frames=4,
        sampling_stride=3,
        fps=10,
        num_classes=5,
    )


# --- samplers ---


def train_sampler(**options):
    settings = {"num_samples": 23, "batch_size_global": 4, "seed": 5, "num_epochs": 3}
    return TrainBatchSampler(**{**settings, **options})


def test_an_epoch_is_a_permutation_without_its_tail():
    batches = list(train_sampler(num_epochs=1))
    assert [len(batch) for batch in batches] == [4] * 5  # 23 = 5 * 4 + 3
    indices = [index for batch in batches for _, index in batch]
    assert len(set(indices)) == 20
    assert {epoch for batch in batches for epoch, _ in batch} == {0}
    assert len(train_sampler(num_epochs=1)) == 5


def test_epochs_and_seeds_differ():
    sampler = train_sampler()
    assert sampler.order(0).tolist() != sampler.order(1).tolist()
    assert sampler.order(0).tolist() != train_sampler(seed=6).order(0).tolist()
    assert sorted(sampler.order(2).tolist()) == list(range(23))


@pytest.mark.parametrize("start_step", [0, 1, 4, 5, 7, 14, 15])
def test_a_resumed_run_goes_on_where_it_stopped(start_step):
    whole = list(train_sampler())
    resumed = train_sampler(start_step=start_step)
    assert list(resumed) == whole[start_step:]
    assert len(resumed) == 15 - start_step


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 1), (2, 1), (4, 1), (1, 2), (2, 2)])
def test_a_step_has_the_same_samples_on_any_number_of_ranks(world_size, accumulate):
    whole = list(train_sampler())
    ranks = [
        list(
            train_sampler(
                rank=rank, world_size=world_size, accumulate_steps=accumulate, start_step=2
            )
        )
        for rank in range(world_size)
    ]
    for step, expected in enumerate(whole[2:]):
        found = [
            key
            for batches in ranks
            for batch in batches[step * accumulate : (step + 1) * accumulate]
            for key in batch
        ]
        assert found == expected


def test_batches_that_cannot_be():
    with pytest.raises(DataError, match=r"has 3 keyframes, fewer than one batch of 4"):
        train_sampler(num_samples=3)
    with pytest.raises(DataError, match=r"batch size 4 cannot be divided by 3 processes"):
        train_sampler(world_size=3)


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
@pytest.mark.parametrize("num_keyframes", range(8))
def test_evaluation_sees_every_keyframe_once(world_size, num_keyframes):
    videos_G = np.sort(np.arange(num_keyframes) % 3)
    whole = list(EvalBatchSampler(videos_G, 2))
    ranks = [
        EvalBatchSampler(videos_G, 2, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    dealt = [batch for sampler in ranks for batch in sampler]
    assert sorted(map(tuple, dealt)) == sorted(map(tuple, whole))
    assert [index for batch in whole for _, index in batch] == list(range(num_keyframes))
    assert sum(len(sampler) for sampler in ranks) == len(whole)
    for batch in whole:
        assert len(batch) <= 2
        assert len({videos_G[index] for _, index in batch}) == 1


# --- batches ---


def test_collate(folder):
    dataset = make_dataset(folder, ["v0"], [902, 903], train=False)
    samples = [dataset[0, 0], dataset[0, 1]]
    batch = collate_samples(samples)
    assert batch.clips_BCTHW.shape == (2, 3, 4, 48, 64)
    assert [boxes.shape for boxes in batch.boxes_xyxy_px] == [(2, 4), (2, 4)]
    assert batch.targets_NK.shape == (4, 5)
    torch.testing.assert_close(batch.targets_NK[2:], samples[1].targets_NK)
    assert (batch.video_ids, batch.timestamps) == (["v0", "v0"], [902.0, 903.0])
    assert (batch.indices, batch.num_clips) == ([0, 1], 2)
    assert batch.decode_seconds == sum(sample.decode_seconds for sample in samples)
    moved = batch.to("meta")
    assert moved.clips_BCTHW.is_meta
    assert moved.video_ids == batch.video_ids


def test_sizes_are_not_mixed(folder):
    dataset = make_dataset(folder, ["v0", "wide"], [902], train=False)
    with pytest.raises(DataError, match=r"v0 \(3, 4, 48, 64\), wide \(3, 4, 48, 96\)"):
        collate_samples([dataset[0, 0], dataset[0, 1]])


# --- loader ---


def test_workers_change_nothing(folder):
    dataset = make_dataset(folder, ["v0", "-v1"], range(902, 906))

    def sampler(start_step=0):
        return TrainBatchSampler(8, 2, seed=1, num_epochs=2, start_step=start_step)

    alone = list(make_loader(dataset, sampler(), num_workers=0))
    loader = make_loader(dataset, sampler(), num_workers=2)
    assert len(loader) == 8
    both = list(loader)
    resumed = list(make_loader(dataset, sampler(start_step=5), num_workers=0))
    assert [batch.indices for batch in resumed] == [batch.indices for batch in alone[5:]]
    for first, second in [*zip(alone, both, strict=True), *zip(alone[5:], resumed, strict=True)]:
        assert first.indices == second.indices
        assert torch.equal(first.clips_BCTHW, second.clips_BCTHW)
        assert torch.equal(first.targets_NK, second.targets_NK)
        assert all(map(torch.equal, first.boxes_xyxy_px, second.boxes_xyxy_px))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_comes_back_as_one_line(folder, num_workers):
    dataset = make_dataset(folder, ["gone", "v0"], [902])
    loader = make_loader(dataset, EvalBatchSampler(np.array([0, 1]), 1), num_workers=num_workers)
    with pytest.raises(VideoError, match=r"no such video file. \(keyframe gone,0902\)$") as caught:
        list(loader)
    assert "\n" not in str(caught.value)


class _Dying(AvaDataset):
    """Its worker is killed, or hangs, at the second keyframe."""

    how = "kill"

    def __getitems__(self, keys):
        if keys[0][1] == 1:
            time.sleep(0.5 if self.how == "kill" else 60)  # the first batch is on its way
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitems__(keys)


def make_dying(folder, how):
    dataset = make_dataset(folder, ["v0"], range(902, 905))
    dataset.__class__ = _Dying
    dataset.how = how
    return dataset


def test_a_killed_worker_is_named_with_its_samples(folder):
    sampler = EvalBatchSampler(np.zeros(3), 1)
    loader = make_loader(make_dying(folder, "kill"), sampler, num_workers=1)
    with pytest.raises(DataError, match=r"data worker died .*Waiting for keyframes v0,090[23]\.$"):
        list(loader)


def test_a_hung_worker_is_named_with_its_samples(folder):
    sampler = EvalBatchSampler(np.zeros(3), 1)
    dying = make_dying(folder, "hang")
    loader = make_loader(dying, sampler, num_workers=1)
    batches = iter(loader)
    assert next(batches).timestamps == [902.0]
    loader._timeout_seconds = 1.0  # only now: starting a worker may take longer
    try:
        with pytest.raises(DataError, match=r"not answer for 1 s; .*for keyframes v0,0903\.$"):
            next(batches)
    finally:
        for worker in loader._loader._iterator._workers:
            worker.kill()  # PyTorch would wait five seconds for its end
