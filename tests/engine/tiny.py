"""A tiny network with BatchNorm and dropout, and runs of it, for the engine's tests.

Run as a script it trains in the folder given as JSON, so that a test can kill it:
`python tiny.py '{"output_dir": "...", "resume": true}'`.
"""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from x3d_det.engine.distributed import World, derived_seed, end_world, start_world
from x3d_det.engine.optim import cosine_schedule, parameter_groups, sgd, with_warmup
from x3d_det.engine.options import TrainOptions, TrainResult
from x3d_det.engine.progress import StderrHandler
from x3d_det.engine.step import BatchNote
from x3d_det.engine.train import train
from x3d_det.errors import X3DDetError

Batch = tuple[Tensor, Tensor, str]


def tiny_model(*, batch_norm: bool = True, dropout: float = 0.2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4) if batch_norm else nn.Identity(),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(4 * 4 * 4, 3),
    )


def batch_of(step: int, *, rank: int = 0, world_size: int = 1, size: int = 8) -> Batch:
    """Batch `step` of 6 x 6 images; a rank gets every `world_size`-th image of the same batch."""
    generator = torch.Generator().manual_seed(derived_seed("data", step))
    images = torch.randn(size, 1, 6, 6, generator=generator)
    targets = (torch.rand(size, 3, generator=generator) < 0.5).float()
    mine = slice(rank, None, world_size)
    return images[mine], targets[mine], f"step{step}:{list(range(size))[mine]}"


def batches_from(*, world: World | None = None, bad_steps: Mapping[int, str] | None = None) -> Any:
    world = world or World()

    def batches(start_step: int) -> Iterator[Batch]:
        step = start_step
        while True:
            images, targets, text = batch_of(step, rank=world.rank, world_size=world.world_size)
            kind = (bad_steps or {}).get(step)
            if kind in ("die", "hang") and world.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL if kind == "die" else signal.SIGSTOP)
            if kind == "input" or (kind == "input of rank 1" and world.rank == 1):
                images = images.clone()
                images[0, 0, 0, 0] = float("nan")
            yield images, targets, text + (f"!{kind}" if kind else "")
            step += 1

    return batches


class _InfiniteGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * float("inf")


def compute_loss(model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    images, targets, text = batch
    logits = model(images)
    if text.endswith("!gradient"):
        logits = _InfiniteGradient.apply(logits)
    loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), targets)
    return loss, {"mean_logit": logits.mean().item()}


def note_batch(batch: Batch) -> BatchNote:
    return BatchNote(text=batch[2], num_clips=len(batch[0]), num_frames=4, decode_seconds=0.01)


def evaluate(model: nn.Module, epoch: int) -> dict[str, float]:
    images, targets, _ = batch_of(10_000)
    with torch.no_grad():
        loss = nn.functional.binary_cross_entropy_with_logits(model(images), targets)
    return {"score": -loss.item(), "epoch": float(epoch)}


@dataclass
class Keyframes:
    """A batch as `engine.infer` reads it."""

    clips_BCTHW: Tensor
    boxes_xyxy_px: list[Tensor]
    boxes_norm: list[np.ndarray]
    person_scores: list[np.ndarray]
    video_ids: list[str]
    timestamps: list[float]
    indices: list[int]


class TinyDetector(nn.Module):
    """Logits from the mean colour of a clip and the box's corners."""

    def __init__(self, num_actions: int = 4) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(3, 8, 3, padding=1)
        self.classifier = nn.Linear(8 + 4, num_actions)

    def forward(self, clips_BCTHW: Tensor, boxes_xyxy_px: Sequence[Tensor]) -> Tensor:
        features_BC = self.convolution(clips_BCTHW).relu().mean(dim=(2, 3, 4))
        rows = [
            torch.cat([feature.expand(len(boxes), -1), boxes / 8], dim=1)
            for feature, boxes in zip(features_BC, boxes_xyxy_px, strict=True)
        ]
        return self.classifier(torch.cat(rows))


def tiny_detector() -> TinyDetector:
    torch.manual_seed(3)
    return TinyDetector()


def keyframe_batches(rank: int, world_size: int, *, scale: float = 1.0) -> list[Keyframes]:
    """Seven keyframes of two videos, with 0 to 3 boxes, in batches of up to two."""
    plan = [[0, 1], [2, 3], [4], [5, 6]]
    return [keyframe_batch(indices, scale=scale) for indices in plan[rank::world_size]]


def keyframe_batch(indices: list[int], *, scale: float = 1.0) -> Keyframes:
    clips, boxes = [], []
    for index in indices:
        generator = torch.Generator().manual_seed(index)
        clips.append(torch.randn(3, 4, 8, 8, generator=generator))
        corners = torch.rand(index % 4, 4, generator=generator)
        boxes.append(torch.cat([corners[:, :2] * 4, 4 + corners[:, 2:] * 4], dim=1))
    return Keyframes(
        clips_BCTHW=torch.stack(clips) * scale,
        boxes_xyxy_px=boxes,
        boxes_norm=[box.double().numpy() / 8 for box in boxes],
        person_scores=[np.linspace(1, 0.5, len(box)) for box in boxes],
        video_ids=[f"video{index // 5}" for index in indices],
        timestamps=[902.0 + index for index in indices],
        indices=indices,
    )


def train_tiny(
    output_dir: str | Path,
    *,
    world: World | None = None,
    bad_steps: Mapping[int, str] | None = None,
    run_metadata: Mapping[str, Any] | None = None,
    learning_rate: float = 0.1,
    **options: Any,
) -> tuple[nn.Module, TrainResult]:
    settings: dict[str, Any] = {
        "num_steps": 12,
        "steps_per_epoch": 5,
        "seed": 7,
        "ema_decay": 0.9,
        "precise_bn_batches": 2,
        "checkpoint_every_steps": 3,
        "keep_checkpoints": 2,
        "best_metric": "score",
        "log_every_steps": 2,
        **options,
    }
    model = tiny_model()
    result = train(
        model=model,
        compute_loss=compute_loss,
        batches=batches_from(world=world, bad_steps=bad_steps),
        optimizer=sgd(parameter_groups(model, weight_decay=1e-4)),
        schedule=with_warmup(
            cosine_schedule(learning_rate, num_steps=settings["num_steps"]),
            num_steps=3,
            start_factor=0.1,
        ),
        output_dir=output_dir,
        options=TrainOptions(**settings),
        world=world,
        evaluate=evaluate,
        note_batch=note_batch,
        run_metadata=run_metadata or {"config": {"learning_rate": learning_rate}},
        export_metadata={"label_map": "none"},
    )
    return model, result


def main() -> int:
    arguments = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.INFO, handlers=[StderrHandler()], format="%(message)s")
    torch.set_num_threads(1)
    if "file_size_limit" in arguments:
        import resource

        limit = arguments.pop("file_size_limit")
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    slow_seconds = arguments.pop("slow_seconds", 0.0)
    if slow_seconds:
        real = globals()["compute_loss"]

        def slow(model: nn.Module, batch: Batch) -> Any:
            time.sleep(slow_seconds)
            print("step", flush=True)
            return real(model, batch)

        globals()["compute_loss"] = slow
    arguments["bad_steps"] = {int(k): v for k, v in arguments.pop("bad_steps", {}).items()}
    world = start_world("cpu", timeout_seconds=arguments.pop("timeout_seconds", 60))
    try:
        _, result = train_tiny(arguments.pop("output_dir"), world=world, **arguments)
    except X3DDetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if result.signal_number is None:
        end_world(world)
    return result.exit_code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code) if code else sys.exit(0)
