"""What a run is told, how it ended, and its counters."""

from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from x3d_det.engine.progress import Meter


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How long, how and how safely to train."""

    num_steps: int
    """Optimiser steps of the whole run."""
    steps_per_epoch: int | None = None
    """An epoch ends after every so many steps, and at the end of the run."""
    epoch_ends: tuple[int, ...] | None = None
    """Instead of it, for epochs of differing length: the steps done at the end of each."""
    seed: int = 0
    """Of dropout and all else on torch's generator; batches have their own."""
    accumulate_steps: int = 1
    """Micro-batches of one optimiser step."""
    clip_gradient_norm: float | None = None
    """Longest gradient vector that is applied; None clips nothing."""
    autocast_dtype: torch.dtype | None = None
    """torch.bfloat16, or None for full precision."""
    freeze_bn: bool = False
    """Whether BatchNorm keeps its running statistics as they are."""
    ema_decay: float | None = None
    """Of the averaged weights that are evaluated and exported; None averages nothing."""
    precise_bn_batches: int = 0
    """Batches over which the statistics of the weights for use are recomputed; 0: kept."""
    max_bad_steps: int = 10
    """So many skipped steps in a row end the run."""
    evaluate_every_epochs: int = 1
    """The last epoch is always evaluated."""
    stop_after_epoch: int | None = None
    """Evaluate and leave after this epoch, to go on by a resume; the schedule stays the whole
    run's, so the weights are those of a run never stopped."""
    checkpoint_every_steps: int = 1000
    """Also at each evaluation, and at the end."""
    keep_checkpoints: int = 2
    """The last so many stay, and the one with the best metric."""
    best_metric: str | None = None
    """Key of the metrics; higher is better. None keeps no best checkpoint."""
    log_every_steps: int = 20
    """Of the plain lines and the TensorBoard curves; the journal has every step."""
    resume: bool = False
    """Go on with the run in the output folder."""
    changeable: tuple[str, ...] = ()
    """Dotted keys of `run_metadata` (or `options.*`) that may differ from the run resumed."""

    def __post_init__(self) -> None:
        at_least_one = (
            "num_steps",
            "accumulate_steps",
            "max_bad_steps",
            "evaluate_every_epochs",
            "checkpoint_every_steps",
            "keep_checkpoints",
            "log_every_steps",
        )
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more.")
        self._check_epochs()
        if self.freeze_bn and self.precise_bn_batches:
            raise ValueError("freeze_bn keeps the statistics that precise_bn_batches recomputes.")

    def _check_epochs(self) -> None:
        if (self.steps_per_epoch is None) == (self.epoch_ends is None):
            raise ValueError("give either steps_per_epoch or epoch_ends.")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch is {self.steps_per_epoch}; it must be 1 or more.")
        if self.epoch_ends is None:
            return
        ascends = list(self.epoch_ends) == sorted({*self.epoch_ends} - {0})
        if not ascends or not self.epoch_ends or self.epoch_ends[-1] < self.num_steps:
            raise ValueError(
                f"epoch_ends are {list(self.epoch_ends)}; they must ascend from 1 or more to "
                f"num_steps, {self.num_steps}."
            )

    def deciding(self) -> dict[str, Any]:
        """Return the options that the weights depend on, as plain values."""
        names = (
            "num_steps",
            "steps_per_epoch",
            "seed",
            "accumulate_steps",
            "clip_gradient_norm",
            "freeze_bn",
            "ema_decay",
            "precise_bn_batches",
        )
        ends = {} if self.epoch_ends is None else {"epoch_ends": list(self.epoch_ends)}
        return {
            **{name: getattr(self, name) for name in names},
            **ends,
            "autocast_dtype": str(self.autocast_dtype),
        }

    @property
    def num_epochs(self) -> int:
        """Epochs of the run, a last shorter one included."""
        return self.epoch_of(self.num_steps)

    def epoch_of(self, step: int) -> int:
        """Return the epoch, counted from 1, that the `step`-th step belongs to; 0 for step 0."""
        if self.epoch_ends is not None:
            return bisect_left((0, *self.epoch_ends), step)
        assert self.steps_per_epoch is not None
        return -(-step // self.steps_per_epoch)

    def ends_epoch(self, step: int) -> bool:
        """Return whether an epoch, or the run, is over when `step` steps are done."""
        return step == self.num_steps or self.epoch_of(step) < self.epoch_of(step + 1)


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    step: int
    """Optimiser steps done."""
    finished: bool
    signal_number: int | None
    """The signal that ended the run early, after saving; None where none did."""
    history: list[dict[str, Any]]
    """One entry an epoch: epoch, step, loss, rates and metrics."""
    num_skipped: int
    """Steps skipped because something was not finite, over the whole run."""
    files: list[Path] = field(default_factory=list)
    """Written and still there, for the last line of a command; empty on other ranks."""

    @property
    def last_metrics(self) -> dict[str, float]:
        """What the last epoch was scored with; empty where there was none."""
        return self.history[-1]["metrics"] if self.history else {}

    @property
    def exit_code(self) -> int:
        """0 done; 130 after SIGINT, 143 after SIGTERM (128 + signal)."""
        return 128 + self.signal_number if self.signal_number else 0


@dataclass
class Counters:
    """The part of a run's state that is neither weights nor optimiser."""

    step: int = 0
    num_skipped: int = 0
    num_skipped_in_row: int = 0
    num_epochs_finished: int = 0
    best_value: float | None = None
    best_step: int | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    meter: Meter = field(default_factory=Meter)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Counters":
        """Return the counters saved in a checkpoint."""
        own = {name: state[name] for name in cls.__dataclass_fields__ if name != "meter"}
        return cls(**own, meter=Meter(**state["meter"]))
