"""engine/step.py: one step, its guard, accumulation and clipping."""

import pytest
import torch
from tiny import batch_of, batches_from, compute_loss, note_batch, tiny_model
from torch import nn

from x3d_det.engine.distributed import World
from x3d_det.engine.ema import WeightAverage
from x3d_det.engine.optim import parameter_groups, sgd
from x3d_det.engine.step import StepRunner
from x3d_det.errors import X3DDetError


def runner_of(model: nn.Module, **options) -> StepRunner:
    optimizer = sgd(parameter_groups(model, weight_decay=0.01))
    settings = {"world": World(), "seed": 1, "note_batch": note_batch, **options}
    return StepRunner(model, optimizer, compute_loss, **settings)


def everything(runner: StepRunner) -> list[torch.Tensor]:
    state = [*runner.model.state_dict().values()]
    state += [v["momentum_buffer"] for v in runner.optimizer.state_dict()["state"].values()]
    if runner.average is not None:
        state += runner.average.weights.values()
    return [value.clone() for value in state]


def equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_step_by_hand():
    # w = 3, loss = w * x with x = 2: gradient 2, learning rate 0.5, no momentum: w = 3 - 1
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 3.0)
    runner = StepRunner(
        model,
        torch.optim.SGD(model.parameters(), lr=9.9),
        lambda model, batch: (model(batch).sum(), {"double": 2.0}),
        world=World(),
        seed=0,
    )
    result = runner.run(0, iter([torch.tensor([[2.0]])]), learning_rate=0.5)
    assert model.weight.item() == 2.0
    assert (result.loss, result.gradient_norm, result.numbers) == (6.0, 2.0, {"double": 2.0})
    assert result.skipped == ""


def test_clipping_by_hand():
    # the same gradient 2 clipped to length 0.5: w = 3 - 0.5 * 0.5
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 3.0)
    runner = StepRunner(
        model,
        torch.optim.SGD(model.parameters(), lr=9.9),
        lambda model, batch: (model(batch).sum(), {}),
        world=World(),
        seed=0,
        clip_gradient_norm=0.5,
    )
    result = runner.run(0, iter([torch.tensor([[2.0]])]), learning_rate=0.5)
    assert model.weight.item() == pytest.approx(2.75, abs=1e-6)
    assert result.gradient_norm == 2.0


def test_accumulated_parts_equal_one_large_batch():
    whole, parts = (tiny_model(batch_norm=False, dropout=0.0) for _ in range(2))
    images, targets, text = batch_of(0)
    runner_of(whole).run(0, iter([batch_of(0)]), learning_rate=0.1)
    quarters = [
        (images[first : first + 2], targets[first : first + 2], text) for first in (0, 2, 4, 6)
    ]
    result = runner_of(parts, accumulate_steps=4).run(0, iter(quarters), learning_rate=0.1)
    assert result.num_clips == 8
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("input", "the loss is nan"), ("gradient", "a gradient is NaN or infinite")],
)
def test_what_is_not_finite_changes_nothing_and_is_named(kind, reason):
    model = tiny_model()
    runner = runner_of(model, average=WeightAverage(model, decay=0.9))
    batches = batches_from(bad_steps={1: kind})(0)
    runner.run(0, batches, learning_rate=0.1)
    before = everything(runner)
    result = runner.run(1, batches, learning_rate=0.1)
    assert result.skipped == f"{reason} in step1:[0, 1, 2, 3, 4, 5, 6, 7]!{kind}"
    assert equal(everything(runner), before)
    assert runner.average is not None
    assert runner.average.num_updates == 1
    assert not runner.run(2, batches, learning_rate=0.1).skipped
    assert not equal(everything(runner), before)


def test_a_gradient_too_long_to_measure_is_skipped():
    # both gradients are finite, 2e38, and their length is beyond float32's 3.4e38
    model = nn.Linear(4, 1, bias=False)
    nn.init.constant_(model.weight, 0.1)
    runner = StepRunner(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        lambda model, batch: (model(batch).sum(), {}),
        world=World(),
        seed=0,
    )
    result = runner.run(0, iter([torch.full((1, 4), 2e38)]), learning_rate=0.1)
    assert result.skipped == "the gradient's norm is inf"
    assert (model.weight == 0.1).all()


def test_a_batch_without_anything_to_learn_from_still_makes_a_step():
    model = tiny_model()
    optimizer = sgd(parameter_groups(model, weight_decay=0.0), momentum=0.0, nesterov=False)
    runner = StepRunner(model, optimizer, lambda m, b: (torch.zeros(()), {}), world=World(), seed=0)
    before = [parameter.clone() for parameter in model.parameters()]
    result = runner.run(0, iter([None]), learning_rate=0.1)
    assert (result.loss, result.gradient_norm, result.skipped) == (0.0, 0.0, "")
    assert equal(before, list(model.parameters()))


def test_a_step_is_a_function_of_weights_seed_and_step():
    def weights(*, seed: int, step: int) -> list[torch.Tensor]:
        runner = runner_of(tiny_model(dropout=0.5), seed=seed)
        torch.rand(step + 3)  # whatever was drawn before does not matter
        runner.run(step, iter([batch_of(0)]), learning_rate=0.1)
        return everything(runner)

    assert equal(weights(seed=1, step=1), weights(seed=1, step=1))
    assert not equal(weights(seed=1, step=1), weights(seed=2, step=1))
    assert not equal(weights(seed=1, step=1), weights(seed=1, step=2))


def test_an_error_in_the_forward_leaves_batch_norm_as_it_was():
    model = tiny_model()
    runner = runner_of(model, accumulate_steps=2)
    before = [value.clone() for value in model.state_dict().values()]
    with pytest.raises(X3DDetError, match="the batches ended in step 6; there must be 2"):
        runner.run(5, iter([batch_of(0)]), learning_rate=0.1)
    assert equal(before, list(model.state_dict().values()))


def test_frozen_batch_norm_stays_and_bfloat16_trains():
    model = tiny_model()
    runner = runner_of(model, freeze_bn=True, autocast_dtype=torch.bfloat16)
    before = [buffer.clone() for buffer in model.buffers()]
    first = runner.run(0, iter([batch_of(0)]), learning_rate=0.3).loss
    for step in range(1, 20):
        last = runner.run(step, iter([batch_of(0)]), learning_rate=0.3).loss
    assert last < 0.7 * first
    assert equal(before, list(model.buffers()))
    with pytest.raises(ValueError, match="float16"):
        runner_of(model, autocast_dtype=torch.float16)
