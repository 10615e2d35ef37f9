"""One optimiser step: the forwards, the sum over ranks, the guard against NaN, the update."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from x3d_det.engine.distributed import World, derived_seed
from x3d_det.engine.ema import WeightAverage
from x3d_det.engine.precise_bn import BatchNormSnapshot, batch_norms, freeze_batch_norms
from x3d_det.errors import X3DDetError

Batch = TypeVar("Batch")
ComputeLoss = Callable[[nn.Module, Batch], tuple[Tensor, dict[str, float]]]
"""(model, batch) -> (scalar loss, further numbers for the journal)."""


@dataclass(frozen=True)
class BatchNote:
    """What the log needs to know of one batch."""

    text: str = ""
    """Names its samples; shown where a step is skipped."""
    num_clips: int = 0
    num_frames: int = 0
    """Decoded for it, with `decode_seconds` for the decode rate."""
    decode_seconds: float = 0.0


@dataclass
class StepResult:
    """What one step did."""

    loss: float = 0.0
    """Mean over micro-batches and ranks."""
    gradient_norm: float = 0.0
    """Before clipping."""
    skipped: str = ""
    """Why the step changed nothing; empty for a step that counts."""
    stop_requested: bool = False
    """Whether any rank was asked to stop; the same on all ranks."""
    numbers: dict[str, float] = field(default_factory=dict)
    notes: list[BatchNote] = field(default_factory=list)
    step_seconds: float = 0.0
    data_seconds: float = 0.0
    num_clips: int = 0
    """Of all ranks, counting every rank like this one."""


class StepRunner(Generic[Batch]):
    """Does optimiser steps that are functions of (weights, seed, step) alone.

    Ranks: gradients and BatchNorm statistics are averaged over the ranks in one
    sum of one vector per step. Unlike DistributedDataParallel this has one layout
    from the first step on, so that a resumed run sums in the same order; it also
    lets a rank without boxes take part, and all ranks see the same NaN. The price
    is that the sum does not overlap with the backward: 15 MB for an X3D-M.

    Args:
        model: trained in place, on `world.device`.
        optimizer: over the model's parameters.
        compute_loss: forward and loss; runs under autocast where that is on.
        world: from `start_world`.
        seed: of dropout and other draws on torch's generator.
        accumulate_steps: micro-batches of one step; the mean of their gradients is taken.
        clip_gradient_norm: longest gradient vector that is applied; None clips nothing.
        autocast_dtype: torch.bfloat16, or None for full precision.
        freeze_bn: whether BatchNorm uses, and keeps, its running statistics.
        average: updated after each step that counts.
        note_batch: describes a batch for the log.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        compute_loss: ComputeLoss[Batch],
        *,
        world: World,
        seed: int,
        accumulate_steps: int = 1,
        clip_gradient_norm: float | None = None,
        autocast_dtype: torch.dtype | None = None,
        freeze_bn: bool = False,
        average: WeightAverage | None = None,
        note_batch: Callable[[Batch], BatchNote] | None = None,
    ) -> None:
        if autocast_dtype == torch.float16:
            raise ValueError("autocast_dtype is float16; bfloat16 is supported, without a scaler.")
        self.model = model
        self.optimizer = optimizer
        self.average = average
        self._compute_loss = compute_loss
        self._world = world
        self._seed = seed
        self._accumulate_steps = accumulate_steps
        self._clip_gradient_norm = clip_gradient_norm
        self._autocast_dtype = autocast_dtype
        self._freeze_bn = freeze_bn
        self._note_batch = note_batch
        self._parameters = [
            parameter for group in optimizer.param_groups for parameter in group["params"]
        ]

    def run(
        self,
        step: int,
        batches: Iterator[Batch],
        *,
        learning_rate: float,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> StepResult:
        """Do step number `step` (from 0); take its micro-batches from `batches`.

        Any exception leaves weights, optimiser, average and BatchNorm as they were.

        Raises:
            X3DDetError: `batches` ends.
        """
        start_seconds = time.perf_counter()
        result = StepResult()
        self.model.train()
        if self._freeze_bn:
            freeze_batch_norms(self.model)
        snapshot = BatchNormSnapshot(self.model)
        self.optimizer.zero_grad(set_to_none=True)
        try:
            self._accumulate(step, batches, result)
            fault = self._combine(step, result, stop_requested)
        except BaseException:
            snapshot.restore()
            raise
        if fault:
            snapshot.restore()
            result.skipped = self._name_fault(fault, result.notes)
        else:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate
            self.optimizer.step()
            if self.average is not None:
                self.average.update(self.model)
        self.optimizer.zero_grad(set_to_none=True)
        result.num_clips = self._world.world_size * sum(note.num_clips for note in result.notes)
        result.step_seconds = time.perf_counter() - start_seconds
        return result

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Return loss and numbers of one batch under the autocast of training."""
        device = self._world.device.type
        autocast: Any = (
            torch.autocast(device, dtype=self._autocast_dtype)
            if self._autocast_dtype is not None
            else contextlib.nullcontext()
        )
        with autocast:
            return self._compute_loss(model, batch)

    def _accumulate(self, step: int, batches: Iterator[Batch], result: StepResult) -> None:
        for micro in range(self._accumulate_steps):
            fetch_seconds = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                raise X3DDetError(
                    f"the batches ended in step {step + 1}; there must be "
                    f"{self._accumulate_steps} for every step of the run."
                ) from None
            result.data_seconds += time.perf_counter() - fetch_seconds
            if self._note_batch is not None:
                result.notes.append(self._note_batch(batch))
            # After the batch is there: making it may draw from the same generator.
            torch.manual_seed(derived_seed(self._seed, "step", step, micro, self._world.rank))
            loss, numbers = self.forward(self.model, batch)
            if loss.requires_grad:
                (loss / self._accumulate_steps).backward()
            result.loss += loss.item() / self._accumulate_steps
            for name, value in numbers.items():
                total = result.numbers.get(name, 0.0)
                result.numbers[name] = total + value / self._accumulate_steps

    @torch.no_grad()
    def _combine(self, step: int, result: StepResult, stop_requested: Callable[[], bool]) -> str:
        """Average over ranks and clip; return "" or, on all ranks alike, what is not finite."""
        for parameter in self._parameters:
            if parameter.grad is None:  # nothing in this step depended on it
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        statistics = [
            buffer
            for norm in batch_norms(self.model)
            for buffer in (norm.running_mean, norm.running_var)
            if buffer is not None
        ]
        flags = gradients[0].new_tensor([result.loss, float(stop_requested())])
        shared = [*gradients, *statistics, flags]
        mean = torch.cat([value.float().flatten() for value in shared])
        phase = f"the gradients of step {step + 1}"
        self._world.sum_over_ranks(mean, phase=phase).div_(self._world.world_size)
        result.loss, stop = mean[-2:].tolist()
        result.stop_requested = stop > 0
        if not torch.isfinite(mean).all():
            return self._local_fault(gradients, statistics, flags)
        if self._world.world_size > 1:
            for value, part in zip(shared, mean.split([v.numel() for v in shared]), strict=True):
                value.copy_(part.view_as(value))
        limit = float("inf") if self._clip_gradient_norm is None else self._clip_gradient_norm
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, limit)
        result.gradient_norm = norm.item()
        return "" if torch.isfinite(norm) else f"the gradient's norm is {norm.item()}"

    def _local_fault(self, gradients: list[Tensor], statistics: list[Tensor], flags: Tensor) -> str:
        """Return what is not finite on this rank, before the sum."""
        if not torch.isfinite(flags[0]):
            return f"the loss is {flags[0].item()}"
        if not all(torch.isfinite(gradient).all() for gradient in gradients):
            return "a gradient is NaN or infinite"
        if not all(torch.isfinite(value).all() for value in statistics):
            return "a BatchNorm statistic is NaN or infinite"
        return "another rank"

    def _name_fault(self, fault: str, notes: list[BatchNote]) -> str:
        samples = "; ".join(note.text for note in notes if note.text)
        gathered = self._world.gather_objects((fault, samples))
        if gathered is None:
            return fault
        return "; ".join(
            (f"rank {rank}: " if len(gathered) > 1 else "")
            + what
            + (f" in {where}" if where else "")
            for rank, (what, where) in enumerate(gathered)
            if what != "another rank"
        )
