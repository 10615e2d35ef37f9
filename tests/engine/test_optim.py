"""engine/optim.py: groups and learning rates worked by hand."""

import copy
import math

import pytest
import torch
from torch import nn

from x3d_det.engine.optim import (
    build_optimizer,
    constant_schedule,
    cosine_schedule,
    parameter_groups,
    step_schedule,
    with_warmup,
)


def test_batch_norm_has_no_weight_decay_and_nothing_is_lost():
    model = nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2), nn.LayerNorm(2), nn.Linear(2, 2))
    decayed, plain = parameter_groups(model, weight_decay=0.1)
    assert decayed["weight_decay"] == 0.1
    assert plain["weight_decay"] == 0.0
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert [names[id(p)] for p in plain["params"]] == ["1.weight", "1.bias", "2.weight", "2.bias"]
    assert [names[id(p)] for p in decayed["params"]] == [
        "0.weight",
        "0.bias",
        "3.weight",
        "3.bias",
    ]


def test_biases_may_be_left_undecayed_and_frozen_and_shared_ones_are_not_doubled():
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    model[1].weight = model[0].weight
    model[1].bias.requires_grad_(False)
    decayed, plain = parameter_groups(model, weight_decay=0.1, decay_biases=False)
    assert [id(p) for p in decayed["params"]] == [id(model[0].weight)]
    assert [id(p) for p in plain["params"]] == [id(model[0].bias)]
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="no trainable parameter"):
        parameter_groups(model, weight_decay=0.1)
    with pytest.raises(ValueError, match=r"-0\.1"):
        parameter_groups(model, weight_decay=-0.1)


def test_optimizers_by_name():
    groups = parameter_groups(nn.Linear(1, 1), weight_decay=0.1)
    sgd = build_optimizer("sgd", groups, momentum=0.5, nesterov=False)
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.param_groups[0]["momentum"] == 0.5
    assert isinstance(build_optimizer("adamw", groups, betas=(0.8, 0.9)), torch.optim.AdamW)
    with pytest.raises(ValueError, match=r"'adam'.*did you mean adamw"):
        build_optimizer("adam", groups)


def test_nesterov_step_by_hand():
    # one weight w = 1, gradient 2: buffer = 2, step = lr * (g + m * buffer) = 0.1 * (2 + 0.9 * 2)
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = build_optimizer("sgd", [{"params": [weight], "weight_decay": 0.0}])
    optimizer.param_groups[0]["lr"] = 0.1
    weight.grad = torch.tensor([2.0])
    optimizer.step()
    assert weight.item() == pytest.approx(1 - 0.38)


def _steps(optimizer, parameter, *, seeds, learning_rate=0.01):
    """Do a step on a contiguous gradient for each seed."""
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        optimizer.param_groups[0]["lr"] = learning_rate
        parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


_PLAIN = {
    "sgd": lambda groups: torch.optim.SGD(groups, momentum=0.9, nesterov=True),
    "adamw": torch.optim.AdamW,
}
_WEIGHT = torch.randn(7, 3, 1, 3, 3, generator=torch.Generator().manual_seed(0))


def _parameter_and_group(memory_format=torch.contiguous_format):
    parameter = nn.Parameter(_WEIGHT.clone(memory_format=memory_format))
    return parameter, [{"params": [parameter], "weight_decay": 0.1}]


@pytest.mark.parametrize("name", list(_PLAIN))
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_steps_are_those_of_the_plain_loop(name, memory_format):
    # The kernel pairs weights, gradients and momenta by their place in memory: without a
    # look at the layouts it is off by 0.05 where the weights are channels-last.
    parameter, groups = _parameter_and_group(memory_format)
    _steps(build_optimizer(name, groups), parameter, seeds=range(5))
    expected, plain_groups = _parameter_and_group()
    _steps(_PLAIN[name](plain_groups), expected, seeds=range(5))
    # weights up to 3, five roundings of 2e-7 each
    torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-6)
    assert (expected - _WEIGHT).abs().max() > 0.01
    assert parameter.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("name", list(_PLAIN))
def test_a_run_of_another_memory_layout_is_gone_on_with(name):
    contiguous, groups = _parameter_and_group()
    optimizer = build_optimizer(name, groups)
    _steps(optimizer, contiguous, seeds=range(3))
    last, last_groups = _parameter_and_group(torch.channels_last_3d)
    last.data.copy_(contiguous.data)
    resumed = build_optimizer(name, last_groups)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    _steps(optimizer, contiguous, seeds=range(3, 6))
    _steps(resumed, last, seeds=range(3, 6))
    assert last.stride() != contiguous.stride()
    torch.testing.assert_close(last, contiguous, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", list(_PLAIN))
def test_a_run_begun_with_the_plain_loop_ends_in_its_bits(name):
    parameter, groups = _parameter_and_group()
    plain = _PLAIN[name](groups)
    _steps(plain, parameter, seeds=range(3))
    other, other_groups = _parameter_and_group()
    other.data.copy_(parameter.data)
    resumed = build_optimizer(name, other_groups)
    resumed.load_state_dict(copy.deepcopy(plain.state_dict()))
    _steps(plain, parameter, seeds=range(3, 6))
    _steps(resumed, other, seeds=range(3, 6))
    assert torch.equal(parameter, other)


def test_cosine_by_hand():
    schedule = cosine_schedule(0.8, num_steps=4)
    expected = [0.8, 0.4 * (1 + math.sqrt(0.5)), 0.4, 0.4 * (1 - math.sqrt(0.5)), 0.0, 0.0]
    assert [schedule(step) for step in range(6)] == pytest.approx(expected)
    to_final = cosine_schedule(1.0, num_steps=2, final_lr=0.2)
    assert [to_final(step) for step in range(4)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    with pytest.raises(ValueError, match="0"):
        cosine_schedule(0.1, num_steps=0)


def test_steps_by_hand():
    schedule = step_schedule(0.5, boundaries=[2, 4], relative_lrs=[1, 0.1, 0.01])
    assert [schedule(step) for step in range(6)] == [0.5, 0.5, 0.05, 0.05, 0.005, 0.005]
    with pytest.raises(ValueError, match="1 entries for 1 boundaries"):
        step_schedule(0.5, boundaries=[2], relative_lrs=[1])
    with pytest.raises(ValueError, match=r"\[4, 2\]"):
        step_schedule(0.5, boundaries=[4, 2], relative_lrs=[1, 1, 1])


def test_warm_up_meets_the_schedule_where_it_ends():
    schedule = with_warmup(constant_schedule(1.0), num_steps=4, start_factor=0.2)
    assert [schedule(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    # the target is the cosine's value at step 2 of 4: 0.5
    cosine = with_warmup(cosine_schedule(1.0, num_steps=4), num_steps=2, start_factor=0.0)
    assert [cosine(step) for step in range(3)] == pytest.approx([0.0, 0.25, 0.5])
    none = with_warmup(constant_schedule(1.0), num_steps=0, start_factor=0.0)
    assert none(0) == 1.0
    with pytest.raises(ValueError, match=r"factor 1\.5"):
        with_warmup(constant_schedule(1.0), num_steps=2, start_factor=1.5)
