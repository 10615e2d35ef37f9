"""Config -> the parts of a run that AVA and Kinetics have in common."""

import os
from dataclasses import replace

import torch
from torch import nn

from x3d_det.config.kinetics import KineticsConfig, KineticsModelConfig
from x3d_det.config.schema import ExperimentConfig, ModelConfig, RunConfig, TrainConfig
from x3d_det.engine import (
    TrainOptions,
    build_optimizer,
    cosine_schedule,
    parameter_groups,
    step_schedule,
    with_warmup,
)
from x3d_det.engine.optim import Schedule
from x3d_det.models import X3D_SPECS, X3DSpec

_DTYPES = {"none": None, "float32": None, "bfloat16": torch.bfloat16}

# Settings that a resumed run may change: they alter how fast or where, never what.
CHANGEABLE_KEYS = (
    "config.train.num_workers",
    "config.train.log_every",
    "config.train.checkpoint_every_steps",
    "config.train.keep_checkpoints",
    "config.evaluation.num_workers",
    "config.dataset.root",
)


def resolve_device(config: RunConfig) -> str:
    """Return "cuda" or "cpu"; `auto` takes a GPU where torch finds one."""
    if config.device != "auto":
        return config.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def set_threads(config: RunConfig) -> int:
    """Give torch its CPU threads and return how many: the config's, or this process's share."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = config.num_threads or max(1, (available or 1) // processes)
    torch.set_num_threads(threads)
    return threads


def build_spec(model: ModelConfig | KineticsModelConfig) -> X3DSpec:
    """Return the member of the family, with the factors that the config changes."""
    factors = {
        name: getattr(model, name)
        for name in ("width_factor", "depth_factor", "bottleneck_factor")
        if getattr(model, name) is not None
    }
    return replace(X3D_SPECS[model.name], **factors)


def build_schedule(train: TrainConfig, steps_per_epoch: int) -> Schedule:
    """Return steps done -> learning rate; epochs become steps here."""
    if train.schedule == "cosine":
        schedule = cosine_schedule(train.learning_rate, num_steps=train.epochs * steps_per_epoch)
    else:
        boundaries = [round(epoch * steps_per_epoch) for epoch in train.step_epochs]
        factors = list(train.step_factors)
        if boundaries[0] > 0:
            factors.insert(0, 1.0)
        else:
            boundaries = boundaries[1:]
        schedule = step_schedule(train.learning_rate, boundaries=boundaries, relative_lrs=factors)
    return with_warmup(
        schedule,
        num_steps=round(train.warmup_epochs * steps_per_epoch),
        start_factor=train.warmup_start_factor,
    )


def build_train_optimizer(
    config: ExperimentConfig | KineticsConfig, model: nn.Module
) -> torch.optim.Optimizer:
    """Return the optimiser over the model's parameters."""
    groups = parameter_groups(model, weight_decay=config.train.weight_decay)
    return build_optimizer(config.train.optimizer, groups, momentum=config.train.momentum)


def build_train_options(
    config: ExperimentConfig | KineticsConfig,
    *,
    steps_per_epoch: int | None = None,
    epoch_ends: tuple[int, ...] | None = None,
    best_metric: str,
    resume: bool,
    stop_after_epoch: int | None = None,
) -> TrainOptions:
    """Return how long, how and how safely to train; epochs are of one length, or end as listed."""
    train = config.train
    return TrainOptions(
        num_steps=epoch_ends[-1] if epoch_ends else train.epochs * (steps_per_epoch or 0),
        steps_per_epoch=steps_per_epoch,
        epoch_ends=epoch_ends,
        seed=config.seed,
        accumulate_steps=train.accumulate_steps,
        clip_gradient_norm=train.clip_gradient_norm,
        autocast_dtype=_DTYPES[train.autocast],
        freeze_bn=train.freeze_bn,
        ema_decay=train.ema_decay,
        precise_bn_batches=train.precise_bn_batches,
        max_bad_steps=train.max_bad_steps,
        evaluate_every_epochs=train.evaluate_every_epochs,
        stop_after_epoch=stop_after_epoch,
        checkpoint_every_steps=train.checkpoint_every_steps,
        keep_checkpoints=train.keep_checkpoints,
        best_metric=best_metric,
        log_every_steps=train.log_every,
        resume=resume,
        changeable=CHANGEABLE_KEYS,
    )


def evaluation_dtype(config: ExperimentConfig | KineticsConfig) -> torch.dtype:
    """Return the arithmetic of the network in evaluation."""
    return _DTYPES[config.evaluation.precision] or torch.float32
