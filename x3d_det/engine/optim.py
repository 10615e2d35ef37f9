"""Parameter groups, optimisers, and learning rates as pure functions of the step."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from x3d_det.errors import did_you_mean

Schedule = Callable[[int], float]
"""Optimiser steps done so far (from 0) -> learning rate of the next one."""

_NORMALISATIONS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)


def parameter_groups(
    model: nn.Module, *, weight_decay: float, decay_biases: bool = True
) -> list[dict[str, Any]]:
    """Return the trainable parameters as optimiser groups, with and without weight decay.

    Args:
        model: parameters that several modules share are listed once.
        weight_decay: for all but normalisation layers, which have none.
        decay_biases: whether the biases of other layers are decayed too.

    Raises:
        ValueError: nothing to train, or a negative decay.

    Source: X3D, arXiv:2004.04730, and PySlowFast's BN.WEIGHT_DECAY = 0.
    """
    if weight_decay < 0:
        raise ValueError(f"weight_decay is {weight_decay}; it must be 0 or more.")
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen or not parameter.requires_grad:
                continue
            seen.add(id(parameter))
            is_plain = isinstance(module, _NORMALISATIONS) or (name == "bias" and not decay_biases)
            (plain if is_plain else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise ValueError("the model has no trainable parameter.")
    return groups


def sgd(
    groups: Iterable[dict[str, Any]], *, momentum: float = 0.9, nesterov: bool = True
) -> torch.optim.Optimizer:
    """Return SGD over `groups`; `train` sets the learning rate before every step."""
    return _in_one_layout(
        torch.optim.SGD(list(groups), lr=0.0, momentum=momentum, nesterov=nesterov, fused=True)
    )


def adamw(
    groups: Iterable[dict[str, Any]], *, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """Return AdamW over `groups`; `train` sets the learning rate before every step."""
    return _in_one_layout(torch.optim.AdamW(list(groups), lr=0.0, betas=betas, fused=True))


def _in_one_layout(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return the fused optimiser, made safe for gradients and state of any memory layout.

    Fused kernels go over all weights at once, several times quicker than PyTorch's loop on a
    CPU, but pair numbers by their place in memory. Where a gradient or a momentum lies
    otherwise than its weights, as the state of a checkpoint from before a change of memory
    format does, the one on a CPU would update the wrong weights without a word.
    """
    optimizer.register_step_pre_hook(_match_layouts)
    return optimizer


def _match_layouts(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad = _laid_out_as(parameter, parameter.grad)
            state = optimizer.state.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[name] = _laid_out_as(parameter, value)


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    if value.stride() == parameter.stride():
        return value
    steps = zip(parameter.shape, value.stride(), parameter.stride(), strict=True)
    if all(one == other for size, one, other in steps if size > 1):
        return value.as_strided(parameter.shape, parameter.stride())  # the same places: no copy
    return torch.empty_like(parameter, requires_grad=False).copy_(value)


def build_optimizer(
    name: str,
    groups: Iterable[dict[str, Any]],
    *,
    momentum: float = 0.9,
    nesterov: bool = True,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """Return the optimiser called `name`: "sgd" (momentum, nesterov) or "adamw" (betas)."""
    if name == "sgd":
        return sgd(groups, momentum=momentum, nesterov=nesterov)
    if name == "adamw":
        return adamw(groups, betas=betas)
    raise ValueError(
        f"optimizer is {name!r}; allowed are sgd and adamw{did_you_mean(name, ('sgd', 'adamw'))}."
    )


def constant_schedule(learning_rate: float) -> Schedule:
    """Return a schedule that is `learning_rate` at every step."""
    return lambda step: learning_rate


def cosine_schedule(base_lr: float, *, num_steps: int, final_lr: float = 0.0) -> Schedule:
    """Return half a cosine period from `base_lr` at step 0 to `final_lr` at `num_steps`.

    After `num_steps` it stays at `final_lr`.

    Source: SGDR, arXiv:1608.03983, equation 5, without restarts.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps is {num_steps}; a cosine needs at least 1.")

    def learning_rate(step: int) -> float:
        share = min(step, num_steps) / num_steps
        return final_lr + (base_lr - final_lr) * (1 + math.cos(math.pi * share)) / 2

    return learning_rate


def step_schedule(
    base_lr: float, *, boundaries: Sequence[int], relative_lrs: Sequence[float]
) -> Schedule:
    """Return `base_lr * relative_lrs[i]` between `boundaries[i - 1]` and `boundaries[i]`.

    Args:
        base_lr: learning rate of relative rate 1.
        boundaries: ascending steps at which the next relative rate begins.
        relative_lrs: one more than `boundaries`; the first holds from step 0.
    """
    if len(relative_lrs) != len(boundaries) + 1:
        raise ValueError(
            f"relative_lrs has {len(relative_lrs)} entries for {len(boundaries)} boundaries; "
            "give one more than boundaries, the first from step 0."
        )
    if list(boundaries) != sorted(set(boundaries)):
        raise ValueError(f"boundaries are {list(boundaries)}; they must ascend.")
    return lambda step: base_lr * relative_lrs[bisect_right(boundaries, step)]


def with_warmup(schedule: Schedule, *, num_steps: int, start_factor: float) -> Schedule:
    """Return `schedule` with its first `num_steps` replaced by a straight line.

    The line runs from `start_factor * schedule(num_steps)` at step 0 to
    `schedule(num_steps)`, so there is no jump where it ends.

    Args:
        schedule: what follows; not shifted.
        num_steps: steps of warm-up; 0 changes nothing.
        start_factor: in [0, 1].
    """
    if num_steps < 0 or not 0 <= start_factor <= 1:
        raise ValueError(
            f"warm-up of {num_steps} steps from factor {start_factor}: the steps must be 0 or more "
            "and the factor in [0, 1]."
        )

    def learning_rate(step: int) -> float:
        if step >= num_steps:
            return schedule(step)
        target = schedule(num_steps)
        return target * (start_factor + (1 - start_factor) * step / num_steps)

    return learning_rate
