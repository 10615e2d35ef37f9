"""Training on changing grids: epochs of differing length, BatchNorm in parts, resumed anywhere."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from x3d_det.data.kinetics import VideoKey
from x3d_det.data.kinetics_videos import ClipPlan
from x3d_det.data.multigrid import MultigridBatchSampler, MultigridSchedule
from x3d_det.engine import TrainOptions, parameter_groups, train
from x3d_det.engine.distributed import derived_seed
from x3d_det.engine.journal import read_journal
from x3d_det.engine.optim import sgd
from x3d_det.errors import X3DDetError
from x3d_det.io.checkpoint import load_checkpoint
from x3d_det.io.weights import load_model
from x3d_det.models import set_batch_norm_splits
from x3d_det.models.batch_norm import BatchNorm3d
from x3d_det.models.layers import Bottleneck

PLAN = ClipPlan(4, 2, 16, (18, 22))
BATCH, ACCUMULATE, SEED = 4, 2, 5
CHECKPOINT_EVERY = 4


class Killed(BaseException):
    """Ends a run as a kill does: nothing is saved on the way out."""


def schedule(num_samples=150, **options):
    settings = {"plan": PLAN, "batch_size": BATCH, "num_epochs": 7, "drop_epochs": (5,)}
    shares = {"bn_base_size": 2, "num_shares": ACCUMULATE}
    return MultigridSchedule(num_samples, **{**settings, **shares, **options})


def tiny_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, 4, 3, padding=1),
        BatchNorm3d(4),
        nn.ReLU(),
        Bottleneck(4, 8, 4, drop_path=0.3),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def clip_of(key: VideoKey) -> Tensor:
    """A clip of the key's size; it depends on all of the key."""
    generator = torch.Generator().manual_seed(derived_seed("clip", key.epoch, key.index))
    plan = key.plan or PLAN
    size = (3, plan.num_frames, plan.crop_px, plan.crop_px)
    return torch.randn(size, generator=generator) + 0.1 * plan.sampling_stride


def compute_loss(model, keys):
    clips_BCTHW = torch.stack([clip_of(key) for key in keys])
    labels = torch.tensor([key.index % 3 for key in keys])
    return nn.functional.cross_entropy(model(clips_BCTHW), labels), {"clips": float(len(keys))}


def train_on(
    grids,
    output_dir,
    *,
    model=None,
    kill_at=None,
    resume=False,
    before=None,
    statistics=None,
    **options,
):
    model = model or tiny_model()
    rates = grids.learning_rates(lambda step: 0.01 / (1 + step))

    def batches(start_step) -> Iterator[object]:
        return iter(MultigridBatchSampler(grids, seed=SEED, start_step=start_step))

    def before_step(model, step):
        if step == kill_at:
            raise Killed
        set_batch_norm_splits(model, grids.shape(step).bn_splits)
        if before is not None:
            before(model, step)

    result = train(
        model=model,
        compute_loss=compute_loss,
        batches=batches,
        optimizer=sgd(parameter_groups(model, weight_decay=1e-4)),
        schedule=rates,
        output_dir=output_dir,
        options=TrainOptions(
            **{
                "num_steps": grids.num_steps,
                "epoch_ends": grids.epoch_ends,
                "seed": SEED,
                "accumulate_steps": ACCUMULATE,
                "ema_decay": 0.9,
                "precise_bn_batches": 3,
                "checkpoint_every_steps": CHECKPOINT_EVERY,
                "evaluate_every_epochs": 3,
                "keep_checkpoints": 1000,
                "resume": resume,
                **options,
            }
        ),
        before_step=before_step,
        statistics_batches=statistics,
    )
    return model, result


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    model, result = train_on(schedule(), folder)
    assert result.finished
    return folder, model, result


def test_the_steps_have_the_shapes_rates_and_epochs_of_the_schedule(whole):
    grids = schedule()
    journal = read_journal(whole[0] / "journal.jsonl")
    assert [entry["step"] for entry in journal] == list(range(1, grids.num_steps + 1))
    for step, entry in enumerate(journal):
        shape = grids.shape(step)
        assert entry["epoch"] == grids.place(step)[0] + 1
        assert entry["clips"] == shape.batch_size / ACCUMULATE
        expected = 0.01 / (1 + grids.plain_step(step)) * shape.lr_factor
        assert entry["learning_rate"] == pytest.approx(expected)
        assert math.isfinite(entry["loss"])
    assert [entry["step"] for entry in whole[2].history] == list(grids.epoch_ends)
    assert len(set(torch.tensor([0, *grids.epoch_ends]).diff().tolist())) > 1


def test_killed_inside_every_cycle_it_ends_in_the_same_bits(whole, tmp_path):
    grids = schedule()
    # Killed after the checkpoints of steps 4, 20, 28 and 56: in every place of the short
    # cycle, and inside epochs of every shape of the long one.
    kills = [6, 21, 30, 58]
    starts = [kill // CHECKPOINT_EVERY * CHECKPOINT_EVERY for kill in kills]
    assert {grids.place(start)[1] % 3 for start in starts} == {0, 1, 2}
    assert {grids.shape(start).lr_factor for start in starts} == {1, 2, 4, 8}
    assert not {*starts} & {0, *grids.epoch_ends}
    for number, kill in enumerate(kills):
        with pytest.raises(Killed):
            train_on(grids, tmp_path, kill_at=kill, resume=number > 0)
    model, result = train_on(grids, tmp_path, resume=True)
    assert result.finished
    folder, expected, _ = whole
    for name, value in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    one, other = (load_model(path / "model.safetensors")[0] for path in (folder, tmp_path))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_splits_are_set_before_each_step_and_in_precise_batch_norm(tmp_path):
    grids = schedule(80)
    seen = []

    def before(model, step):
        assert model[1].num_splits == grids.shape(step).bn_splits
        seen.append((step, model))

    model, _ = train_on(grids, tmp_path, before=before)
    own = [step for step, one in seen if one is model]
    assert own == list(range(grids.num_steps))
    # Each evaluation recomputes the statistics of a copy over 3 batches, 2 of them a step:
    # those of the last two steps, whose batches differ in size.
    ends = [*(grids.epoch_ends[epoch - 1] for epoch in (3, 6, 9)), grids.num_steps]
    expected = [(end - 2, end - 2, end - 1) for end in ends]
    copies = [step for step, one in seen if one is not model]
    assert [tuple(copies[i : i + 3]) for i in range(0, len(copies), 3)] == expected


def test_precise_batch_norm_over_batches_of_its_own(tmp_path):
    grids = schedule(80)
    plain = grids.plain_shape
    assert (plain.batch_size, plain.crop_px, plain.lr_factor, plain.bn_splits) == (4, 16, 1, 1)
    keys = [VideoKey(0, index, plain.plan(2)) for index in range(6)]
    asked = []

    def statistics(model, step):
        asked.append(step)
        set_batch_norm_splits(model, plain.bn_splits)
        return iter([keys[:2], keys[2:4], keys[4:], keys])  # the fourth is one too many

    model, _ = train_on(grids, tmp_path, statistics=statistics, ema_decay=None)
    assert asked == [*(grids.epoch_ends[epoch - 1] for epoch in (3, 6, 9)), grids.num_steps]
    x_BCTHW = torch.stack([clip_of(key) for key in keys])
    with torch.no_grad():
        mean_C = model[0](x_BCTHW).mean((0, 2, 3, 4))
    exported = load_model(tmp_path / "model.safetensors")[0]
    torch.testing.assert_close(exported["1.running_mean"], mean_C)


def test_another_schedule_is_not_gone_on_with(tmp_path):
    with pytest.raises(Killed):
        train_on(schedule(), tmp_path, kill_at=6)
    other = schedule(epoch_factor=1.6)
    with pytest.raises(X3DDetError, match=r"options\.epoch_ends"):
        train_on(other, tmp_path, resume=True)


def test_a_run_without_epoch_ends_keeps_what_its_checkpoint_says(tmp_path):
    grids = schedule(long_cycle=False, short_cycle=False, epoch_factor=1, num_epochs=1)
    train_on(grids, tmp_path, epoch_ends=None, steps_per_epoch=37)
    options = load_checkpoint(tmp_path / "step_00000037.pt")["options"]
    assert options["steps_per_epoch"] == 37
    assert "epoch_ends" not in options  # older checkpoints have none either


def test_epochs_of_options():
    options = TrainOptions(num_steps=9, epoch_ends=(2, 5, 9))
    assert [options.epoch_of(step) for step in range(10)] == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    assert [step for step in range(10) if options.ends_epoch(step)] == [0, 2, 5, 9]
    assert options.num_epochs == 3
    short = TrainOptions(num_steps=4, epoch_ends=(2, 5, 9))
    assert [step for step in range(1, 5) if short.ends_epoch(step)] == [2, 4]
    even = TrainOptions(num_steps=11, steps_per_epoch=5)
    listed = TrainOptions(num_steps=11, epoch_ends=(5, 10, 11))
    for step in range(12):
        assert even.epoch_of(step) == listed.epoch_of(step)
        assert even.ends_epoch(step) == listed.ends_epoch(step)


@pytest.mark.parametrize("ends", [(), (3, 3, 9), (0, 9), (5, 4, 9), (3, 8)])
def test_epoch_ends_that_cannot_be(ends):
    with pytest.raises(ValueError, match=r"epoch_ends are .*ascend from 1 .*num_steps, 9"):
        TrainOptions(num_steps=9, epoch_ends=ends)


def test_one_way_of_counting_epochs():
    for settings in ({}, {"steps_per_epoch": 3, "epoch_ends": (9,)}):
        with pytest.raises(ValueError, match="either steps_per_epoch or epoch_ends"):
            TrainOptions(num_steps=9, **settings)
    with pytest.raises(ValueError, match="steps_per_epoch is 0"):
        TrainOptions(num_steps=9, steps_per_epoch=0)
