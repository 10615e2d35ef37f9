"""The multigrid schedule and its batches."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from x3d_det.data.kinetics_videos import ClipPlan
from x3d_det.data.multigrid import (
    MultigridBatchSampler,
    MultigridSchedule,
    MultigridStatisticsSampler,
)
from x3d_det.errors import DataError

X3D_M = ClipPlan(16, 5, 224, (256, 320))
SMALL = ClipPlan(8, 3, 64, (72, 90))


def schedule(num_samples=300, **options):
    settings = {"plan": SMALL, "batch_size": 4, "num_epochs": 16, "drop_epochs": (6, 11)}
    return MultigridSchedule(num_samples, **{**settings, **options})


def stages(grids):
    """Frames, crops, batches and rate of every stage, with its epochs."""
    shapes = {}
    for step in range(grids.num_steps):
        epoch, _ = grids.place(step)
        shape = grids.shape(step)
        shapes.setdefault(epoch, []).append(
            (shape.num_frames, shape.crop_px, shape.batch_size, shape.lr_factor)
        )
    return [(len(list(group)), key) for key, group in itertools.groupby(shapes.values(), pattern)]


def pattern(epoch_shapes):
    return tuple(epoch_shapes[:3])


# --- shapes ---


def test_the_shapes_of_x3d_m_by_hand():
    # 16 x 224: frames 4, 8, 8, 16; crops 224 / sqrt(2) = 158.4 and 224. The batch of the long
    # cycle grows as the clip shrinks: 4 x 2 = 8, 2 x 2 = 4, 2, 1. In the short cycle 112 is
    # 1/sqrt(2) of 158 and 1/2 of 224, so twice and four times the clips.
    grids = schedule(40_000, plan=X3D_M, batch_size=128, num_epochs=24, drop_epochs=(16,))
    found = [shapes for _, shapes in stages(grids)]
    assert found == [
        ((4, 112, 2048, 8), (4, 158, 1024, 8), (4, 158, 1024, 8)),
        ((8, 112, 1024, 4), (8, 158, 512, 4), (8, 158, 512, 4)),
        ((8, 112, 1024, 2), (8, 158, 512, 2), (8, 224, 256, 2)),
        ((16, 112, 512, 1), (16, 158, 256, 1), (16, 224, 128, 1)),
    ]
    first, last = grids.shape(0), grids.shape(grids.num_steps - 1)
    assert first.sampling_stride_range == (5, 20)  # 16 // 4 times as far at most
    assert last.sampling_stride_range == (5, 5)
    assert first.short_side_range_px == (128, 320)
    assert grids.shape(2).short_side_range_px == (181, 320)  # 256 * 158 / 224 = 180.6


def test_every_step_costs_about_the_same():
    grids = schedule(40_000, plan=X3D_M, batch_size=128, num_epochs=24)
    plain = 128 * 16 * 224**2
    for step in range(grids.num_steps):
        shape = grids.shape(step)
        cost = shape.batch_size * shape.num_frames * shape.crop_px**2
        assert cost == pytest.approx(plain, rel=0.02)
        assert shape.plan(5).check() is None


def test_epochs_of_the_published_kinetics_recipe():
    """Ends of the stages in epochs, by PySlowFast's `MultigridSchedule` at commit 287ec007.

    NUM_FRAMES 16, TRAIN_CROP_SIZE 224 or 312, short and long cycle, EPOCH_FACTOR 1.5, with
    STEPS 0, 94, 154, 196 of 239 epochs and 0, 100, 200 of 300. One end may fall on the other
    side of one half: the sums are the same to float64 alone.
    """
    expected = [73, 110, 142, 158, 205, 228, 248, 259, 291, 308, 322, 329, 358]
    options = {"plan": X3D_M, "batch_size": 128}
    grids = schedule(20_000, num_epochs=239, drop_epochs=(94, 154, 196), **options)
    assert np.abs(np.array(epochs_of(grids)) - expected).max() <= 1
    x3d_l = ClipPlan(16, 5, 312, (356, 446))
    grids = schedule(20_000, num_epochs=300, drop_epochs=(100, 200), plan=x3d_l, batch_size=128)
    assert epochs_of(grids) == [87, 130, 168, 187, 274, 317, 355, 374, 450]


def epochs_of(grids):
    return [int(line.split(":")[0].split()[-1]) for line in grids.lines()]


def test_it_takes_a_fraction_of_the_steps():
    grids = schedule(20_000, plan=X3D_M, batch_size=128, num_epochs=30, drop_epochs=(12, 20))
    # Batches are 32/3, 16/3, 14/3 and 7/3 of the plain one, 23/4 on average. At 4/23 of the
    # plain steps the 20 epochs to the last fall stay 20, the 10 after it are 10 * 7/3 * 4/23 =
    # 4.06; these 24.06 are stretched to 1.5 * 30 = 45, and the steps with them.
    share = grids.num_steps / (30 * grids.plain_steps_per_epoch)
    assert share == pytest.approx(4 / 23 * 45 / 24.06, rel=0.05)


def test_one_cycle_or_none():
    short = schedule(long_cycle=False)
    assert stages(short) == [(24, ((8, 32, 16, 1), (8, 45, 8, 1), (8, 64, 4, 1)))]
    long = schedule(short_cycle=False)
    assert {len(set(shapes)) for _, shapes in stages(long)} == {1}
    assert [shapes[0] for _, shapes in stages(long)][:4] == [
        (2, 45, 32, 8),
        (4, 45, 16, 4),
        (4, 64, 8, 2),
        (8, 64, 4, 1),
    ]
    none = schedule(long_cycle=False, short_cycle=False, epoch_factor=1)
    assert none.epoch_ends == tuple(range(75, 16 * 75 + 1, 75))
    assert [none.plain_step(step) for step in range(none.num_steps)] == list(range(none.num_steps))


def test_few_frames_and_narrow_crops():
    grids = schedule(plan=ClipPlan(1, 1, 32, (36, 45)), batch_size=1)
    assert {grids.shape(step).num_frames for step in range(grids.num_steps)} == {1}
    assert grids.shape(0).lr_factor == 2  # of the smaller crop alone
    grids = schedule(plan=ClipPlan(13, 6, 160, (182, 228)))
    assert grids.shape(0).num_frames == 3
    assert grids.shape(0).sampling_stride_range == (6, 24)


# --- BatchNorm's splits ---


def test_batch_norm_splits_by_hand():
    # A process's batches of 64, 32, 32 clips at 8 clips a part; later 16, 8, 4.
    grids = schedule(batch_size=8, num_shares=2, plan=X3D_M)
    assert [grids.shape(step).bn_splits for step in range(3)] == [8, 4, 4]
    last_stage = grids.epoch_ends[-2]
    assert [grids.shape(last_stage + step).bn_splits for step in range(3)] == [2, 1, 1]


@pytest.mark.parametrize("base", [1, 3, 8, 1000])
@pytest.mark.parametrize("num_shares", [1, 2, 3])
def test_parts_are_equal_and_large_enough(base, num_shares):
    grids = schedule(batch_size=6, num_shares=num_shares, bn_base_size=base)
    for step in range(grids.num_steps):
        shape = grids.shape(step)
        clips, rest = divmod(shape.batch_size // num_shares, shape.bn_splits)
        assert rest == 0
        assert clips >= base or shape.bn_splits == 1


# --- the learning rate ---


def test_the_plain_training_is_gone_through_once():
    for drops in ((), (6, 11)):
        grids = schedule(drop_epochs=drops)
        plain = [grids.plain_step(step) for step in range(grids.num_steps)]
        assert plain == sorted(plain)
        assert plain[0] == 0
        num_plain = 16 * grids.plain_steps_per_epoch
        assert num_plain - 12 < plain[-1] < num_plain


def test_falls_come_with_the_rounds_and_the_last_one_later():
    grids = schedule()

    def plain(step):  # a tenth from epochs 6 and 11 on
        return 10.0 ** -((step >= 6 * 75) + (step >= 11 * 75))

    rates = [grids.learning_rates(plain)(step) for step in range(grids.num_steps)]
    factors = [grids.shape(step).lr_factor for step in range(grids.num_steps)]
    relative = [round(rate / factor, 6) for rate, factor in zip(rates, factors, strict=True)]
    changes = [step for step in range(1, grids.num_steps) if relative[step] != relative[step - 1]]
    ends = [0, *grids.epoch_ends]
    first_of_round, last_fall = changes
    assert first_of_round in ends
    assert factors[first_of_round - 1 : first_of_round + 1] == [1, 8]
    # The last stretch has the plain clip; its rate falls in the middle.
    starts = [s for s in range(grids.num_steps) if factors[s] != factors[s - 1]]
    stretch = grids.num_steps - starts[-1]
    assert sorted(set(relative)) == [0.01, 0.1, 1.0]
    assert grids.num_steps - last_fall < stretch / 2


def test_a_cosine_falls_smoothly_through_three_rounds():
    grids = schedule(1000, drop_epochs=(), num_epochs=40)
    num_plain = 40 * grids.plain_steps_per_epoch

    def plain(step):
        return (1 + math.cos(math.pi * step / num_plain)) / 2

    rates = [
        grids.learning_rates(plain)(step) / grids.shape(step).lr_factor
        for step in range(grids.num_steps)
    ]
    falls = -np.diff(rates)
    assert rates[0] == 1
    assert rates[-1] < 1e-3
    assert falls.min() >= 0
    assert falls.max() < 0.02
    grown = [f for f, _ in itertools.groupby(grids.shape(s).lr_factor for s in range(len(rates)))]
    assert grown == [8, 4, 2, 1, 8, 4, 2, 1, 8, 4, 2, 1]


def test_falls_outside_the_training_do_not_count():
    assert schedule(drop_epochs=(0, 6, 11, 16, 20)).epoch_ends == schedule().epoch_ends


# --- batches ---


def sampler(grids=None, **options):
    return MultigridBatchSampler(grids or schedule(), **{"seed": 3, **options})


def test_every_epoch_sees_every_sample_once_but_for_a_last_partial_batch():
    grids = schedule(301)
    seen = Counter()
    for step, batch in enumerate(sampler(grids)):
        assert len(batch) == grids.shape(step).batch_size
        seen.update((key.epoch, key.index) for key in batch)
    assert set(seen.values()) == {1}
    assert len(grids.epoch_ends) == 24
    for epoch in range(24):
        missing = 301 - sum(1 for key in seen if key[0] == epoch)
        following = grids.shape(grids.epoch_ends[epoch] - 1).batch_size * 4
        assert 0 <= missing < following


def test_a_batch_has_one_shape_and_strides_that_differ_with_the_sample():
    grids = schedule()
    keys = [key for batch in itertools.islice(sampler(grids), 6) for key in batch]
    assert {(key.plan.num_frames, key.plan.crop_px) for key in keys[:32]} == {(2, 32)}
    lowest, highest = grids.shape(0).sampling_stride_range
    strides = Counter(key.plan.sampling_stride for key in keys if key.epoch == 0)
    assert (lowest, highest) == (3, 12)
    assert set(strides) == set(range(3, 13))


@pytest.mark.parametrize("start_step", [0, 1, 2, 3, 20, 21, 22, 60])
def test_a_resumed_run_goes_on_inside_any_cycle(start_step):
    whole = list(sampler())
    resumed = sampler(start_step=start_step)
    assert list(resumed) == whole[start_step:]
    assert len(resumed) == len(whole) - start_step


@pytest.mark.parametrize(("world_size", "accumulate"), [(2, 1), (1, 2), (2, 2)])
def test_a_step_has_the_same_clips_on_any_number_of_ranks(world_size, accumulate):
    whole = list(sampler())
    grids = schedule(num_shares=world_size * accumulate)
    ranks = [
        list(sampler(grids, rank=rank, world_size=world_size, start_step=2))
        for rank in range(world_size)
    ]
    assert {len(batches) for batches in ranks} == {(len(whole) - 2) * accumulate}
    for step, expected in enumerate(whole[2:]):
        shares = [rank[step * accumulate : (step + 1) * accumulate] for rank in ranks]
        assert [key for share in shares for batch in share for key in batch] == expected


def test_seeds_and_epochs_differ():
    one, other = next(iter(sampler())), next(iter(sampler(seed=4)))
    assert one != other
    grids = schedule()
    later = next(iter(sampler(start_step=grids.epoch_ends[0])))
    assert [key.index for key in one] != [key.index for key in later]


def test_several_crops_of_a_video_make_fewer_keys():
    grids = schedule(crops_per_video=2)
    batches = list(sampler(grids))
    assert [len(batch) for batch in batches[:3]] == [32, 16, 16]
    assert [grids.shape(step).batch_size for step in range(3)] == [64, 32, 32]
    assert grids.plain_steps_per_epoch == 150


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 1), (2, 2)])
def test_statistics_come_from_the_long_cycles_own_clips(world_size, accumulate):
    grids = schedule(301, num_shares=world_size * accumulate)
    place = {"world_size": world_size, "start_step": grids.epoch_ends[0]}
    ranks = [
        MultigridStatisticsSampler(grids, seed=3, rank=rank, **place) for rank in range(world_size)
    ]
    batches = [list(rank) for rank in ranks]
    # The first stage has 2 of 8 frames at a crop of 45 px: 8 times 4 clips a step, of which
    # 9 go into 301. The short cycle's batches have 2 and 4 times as many, at 32 and 45 px.
    assert {len(rank) for rank in ranks} == {9 * accumulate} == {len(own) for own in batches}
    keys = [key for own in batches for batch in own for key in batch]
    shape = grids.stage(0).shapes[-1]
    assert len(keys) == 9 * shape.batch_size
    assert {(k.epoch, k.plan.num_frames, k.plan.crop_px) for k in keys} == {
        (0, shape.num_frames, shape.crop_px)
    }
    trained = [
        key for batch in itertools.islice(sampler(grids), grids.epoch_ends[0]) for key in batch
    ]
    strides = {key.index: key.plan.sampling_stride for key in trained}
    assert len({key.index for key in keys}) == len(keys)
    assert all(
        strides.get(key.index, key.plan.sampling_stride) == key.plan.sampling_stride for key in keys
    )


def test_statistics_follow_the_stages():
    grids = schedule()
    for end in grids.epoch_ends:
        shape = grids.stage(end - 1).shapes[-1]
        batch = next(iter(MultigridStatisticsSampler(grids, seed=3, start_step=end)))
        assert len(batch) == shape.batch_size
        assert {key.epoch for key in batch} == {grids.place(end - 1)[0]}
        assert {key.plan.crop_px for key in batch} == {shape.crop_px}
    assert shape == grids.plain_shape


# --- what cannot be ---


def test_errors():
    with pytest.raises(DataError, match=r"batch size 6 cannot be divided by 4 .*times 1 crops"):
        schedule(batch_size=6, num_shares=4)
    with pytest.raises(DataError, match=r"has 63 videos \(63 clips .*batch .*64 clips of 2 frames"):
        schedule(63)
    with pytest.raises(DataError, match=r"the 4 epochs of multigrid .*too few for its 9 stages"):
        schedule(num_epochs=3, drop_epochs=(1, 2), epoch_factor=4 / 3)
    with pytest.raises(ValueError, match=r"crop_px is 64"):
        schedule(plan=ClipPlan(8, 3, 64, (60, 90)))
    with pytest.raises(IndexError, match=r"step -1 is outside"):
        schedule().shape(-1)
