"""Training and inference loops that AVA and Kinetics share."""

from x3d_det.engine.distributed import World, derived_seed, end_world, start_world
from x3d_det.engine.infer import detect_actions
from x3d_det.engine.optim import (
    build_optimizer,
    cosine_schedule,
    parameter_groups,
    step_schedule,
    with_warmup,
)
from x3d_det.engine.options import TrainOptions, TrainResult
from x3d_det.engine.progress import StderrHandler
from x3d_det.engine.step import BatchNote
from x3d_det.engine.train import train

__all__ = [
    "BatchNote",
    "StderrHandler",
    "TrainOptions",
    "TrainResult",
    "World",
    "build_optimizer",
    "cosine_schedule",
    "derived_seed",
    "detect_actions",
    "end_world",
    "parameter_groups",
    "start_world",
    "step_schedule",
    "train",
    "with_warmup",
]
