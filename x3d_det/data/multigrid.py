"""Multigrid training: clips of changing size in batches of changing number, at equal cost a step.

A training begins with many short, small clips a batch and ends with the clips of the plain
one (the training without multigrid). The long cycle changes frames and crop every few
epochs, and with the batch the learning rate; the short cycle changes the crop from batch
to batch. Everything is a function of the settings and the step, so that a run goes on from
inside any cycle.

Source: Wu et al., A Multigrid Method for Efficiently Training Video Models,
arXiv:1912.00998; details as in PySlowFast's `utils/multigrid.py`.
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from x3d_det.data.batch import Keys, epoch_order
from x3d_det.data.kinetics import VideoKey
from x3d_det.data.kinetics_videos import ClipPlan
from x3d_det.data.multigrid_stages import LONG_CYCLE, Grid, GridShape, Stage, lay_out

__all__ = [
    "GridShape",
    "MultigridBatchSampler",
    "MultigridSchedule",
    "MultigridStatisticsSampler",
]

ROUND_ENDS = (94 / 239, 154 / 239, 196 / 239)
"""Where rounds of the long cycle end when no fall of the learning rate says so.

Shares of the training: the falls of PySlowFast's stepwise multigrid recipe for Kinetics
(epochs 94, 154 and 196 of 239)."""

# Last number of the seed of the strides; the order (0) and the data sets (1 to 4) use others.
_STRIDE_PURPOSE = 5


class MultigridSchedule:
    """Which shape, which samples and which learning rate each step has.

    The long cycle goes once through its four shapes between two falls of the plain
    learning rate, with about as many steps for each. After the last fall the plain clip
    is trained alone, in the first half of that stretch still at the rate before. Without
    falls (a cosine) the rounds end at `ROUND_ENDS`. An epoch has one shape of the long
    cycle, and every sample once but for a last partial batch.

    Args:
        num_samples: videos of the training set.
        plan: the plain clip.
        batch_size: clips of a plain step, over all processes and accumulated batches.
        num_epochs: of the plain training.
        drop_epochs: where the plain learning rate falls, ascending; those outside the
            training are left out, none is a rate that falls smoothly.
        short_cycle, long_cycle: which of the two are on.
        epoch_factor: epochs of this training over plain ones.
        bn_base_size: fewest clips that share BatchNorm statistics, where a process's batch
            has as many. A smaller batch is not joined with others (no sync-BN).
        crops_per_video: clips that a batch has of each video.
        num_shares: processes times accumulated batches.

    Raises:
        DataError: a batch that cannot be divided, too few samples for the largest batch,
            or too few epochs for the cycles.

    Source: as the module. In PySlowFast BatchNorm is split by the long cycle's batch alone,
    and warm-up counts epochs of this training; here it has the same share as in the plain one.
    """

    def __init__(
        self,
        num_samples: int,
        *,
        plan: ClipPlan,
        batch_size: int,
        num_epochs: int,
        drop_epochs: Sequence[float] = (),
        short_cycle: bool = True,
        long_cycle: bool = True,
        epoch_factor: float = 1.5,
        bn_base_size: int = 8,
        crops_per_video: int = 1,
        num_shares: int = 1,
    ) -> None:
        grid = Grid(
            plan=plan,
            batch_size=batch_size,
            bn_base_size=bn_base_size,
            crops_per_video=crops_per_video,
            num_shares=num_shares,
        )
        grid.check()
        self.num_samples = num_samples
        self.num_shares = num_shares
        self.plain_shape = grid.cycle(*LONG_CYCLE[-1], short_cycle=False)[0]
        """The batch of a plain step."""
        self.plain_steps_per_epoch = num_samples // (batch_size // crops_per_video)
        """Steps of an epoch of the plain training."""
        round_ends: list[float] = [num_epochs]
        self._keeps_last_rate = False
        if long_cycle:
            drops = [epoch for epoch in drop_epochs if 0 < epoch < num_epochs]
            self._keeps_last_rate = bool(drops)
            round_ends[:0] = drops or [share * num_epochs for share in ROUND_ENDS]
        self._plain_ends = [round(end * self.plain_steps_per_epoch) for end in round_ends]
        self._stages = lay_out(
            [
                grid.cycle(*shares, short_cycle=short_cycle)
                for shares in (LONG_CYCLE if long_cycle else LONG_CYCLE[-1:])
            ],
            round_lengths=np.diff(round_ends, prepend=0).tolist(),
            num_epochs=round(num_epochs * epoch_factor),
            num_samples=num_samples,
            crops_per_video=crops_per_video,
        )
        self._stage_ends = list(itertools.accumulate(stage.num_steps for stage in self._stages))
        ends = {stage.round: end for stage, end in zip(self._stages, self._stage_ends, strict=True)}
        self._round_ends = list(ends.values())
        lengths = [[stage.steps_per_epoch] * stage.num_epochs for stage in self._stages]
        self.epoch_ends = tuple(itertools.accumulate(itertools.chain(*lengths)))
        """Steps done at the end of each epoch."""

    @property
    def num_steps(self) -> int:
        """Steps of the whole training."""
        return self.epoch_ends[-1]

    def shape(self, step: int) -> GridShape:
        """Return the batch of step number `step`, from 0."""
        stage = self.stage(step)
        return stage.shapes[self.place(step)[1] % len(stage.shapes)]

    def stage(self, step: int) -> Stage:
        """Return the stage of a step; the last of its shapes is the long cycle's own."""
        if not 0 <= step < self.num_steps:
            raise IndexError(f"step {step} is outside this training of {self.num_steps} steps.")
        return self._stages[bisect_right(self._stage_ends, step)]

    def place(self, step: int) -> tuple[int, int]:
        """Return the epoch of a step and its place in the epoch, both from 0."""
        epoch = bisect_right(self.epoch_ends, step)
        return epoch, step - (self.epoch_ends[epoch - 1] if epoch else 0)

    def samples(self, step: int) -> slice:
        """Return which part of its epoch's order a step sees."""
        stage, place = self.stage(step), self.place(step)[1]
        return slice(stage.samples_before(place), stage.samples_before(place + 1))

    def plain_step(self, step: int) -> int:
        """Return the step of the plain training that is as far on, for the learning rate.

        In a round of the long cycle, and in the last stretch, both go on evenly.
        """
        number = self.stage(step).round
        first, end = ([0, *self._round_ends][number + side] for side in (0, 1))
        plain_first, plain_end = ([0, *self._plain_ends][number + side] for side in (0, 1))
        if self._keeps_last_rate and number == len(self._round_ends) - 1:
            middle = (first + end) // 2
            if step < middle:
                return max(0, plain_first - 1)
            first = middle
        return plain_first + (step - first) * (plain_end - plain_first) // (end - first)

    def learning_rates(self, plain: Callable[[int], float]) -> Callable[[int], float]:
        """Return the learning rate of each step.

        Args:
            plain: that of the plain training, warm-up included.
        """
        return lambda step: plain(self.plain_step(step)) * self.shape(step).lr_factor

    def lines(self) -> list[str]:
        """Return the stages for a person, one a line."""
        lines, epoch = [], 0
        for stage in self._stages:
            crops = "/".join(str(shape.crop_px) for shape in stage.shapes)
            batches = "/".join(str(shape.batch_size) for shape in stage.shapes)
            lines.append(
                f"epochs {epoch + 1} to {epoch + stage.num_epochs}: "
                f"{stage.shapes[0].num_frames} frames, crop {crops} px, batch {batches} clips, "
                f"learning rate times {stage.shapes[0].lr_factor}"
            )
            epoch += stage.num_epochs
        return lines


class MultigridBatchSampler(Sampler[Keys]):
    """Batches of one rank over a whole multigrid run, from any step on.

    As `TrainBatchSampler`: which samples make a step depends neither on the ranks nor
    on the accumulated batches. The stride of a clip is drawn evenly from its shape's range,
    a function of seed, epoch and index.

    Args:
        schedule: of the run; its `num_shares` is `world_size` times the accumulated batches.
        seed: of the order and the strides.
        rank, world_size: this process and how many there are.
        start_step: optimiser steps done already, counted from the start of the run.
    """

    def __init__(
        self,
        schedule: MultigridSchedule,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        start_step: int = 0,
    ) -> None:
        assert 0 <= rank < world_size
        assert schedule.num_shares % world_size == 0
        self.schedule = schedule
        self.seed = seed
        self.rank = rank
        self.accumulate_steps = schedule.num_shares // world_size
        self.start_step = start_step

    def __len__(self) -> int:
        """Return the batches still to come on this rank."""
        return max(0, self.schedule.num_steps - self.start_step) * self.accumulate_steps

    def __iter__(self) -> Iterator[Keys]:
        order, strides, drawn_epoch = np.empty(0, np.int64), np.empty(0, np.int64), -1
        for step in range(self.start_step, self.schedule.num_steps):
            epoch, _ = self.schedule.place(step)
            shape = self.schedule.shape(step)
            if epoch != drawn_epoch:
                order = epoch_order(self.schedule.num_samples, seed=self.seed, epoch=epoch)
                strides, drawn_epoch = self._strides(shape, epoch), epoch
            yield from self._own(order[self.schedule.samples(step)], epoch, shape, strides)

    def _own(
        self, indices: np.ndarray, epoch: int, shape: GridShape, strides: np.ndarray
    ) -> Iterator[Keys]:
        """Yield this rank's batches of the samples that all ranks share in a step."""
        first = self.rank * self.accumulate_steps
        for part in np.split(indices, self.schedule.num_shares)[first:][: self.accumulate_steps]:
            yield [VideoKey(epoch, int(i), shape.plan(int(strides[i]))) for i in part]

    def _strides(self, shape: GridShape, epoch: int) -> np.ndarray:
        """Return the stride of every sample in an epoch; all its shapes have the same range."""
        rng = np.random.default_rng((self.seed, epoch, _STRIDE_PURPOSE))
        lowest, highest = shape.sampling_stride_range
        return rng.integers(lowest, highest, size=self.schedule.num_samples, endpoint=True)


class MultigridStatisticsSampler(MultigridBatchSampler):
    """Batches of one rank for BatchNorm's statistics after `start_step` steps (1 or more).

    They go over the epoch of the last of these steps again, with the long cycle's own clips
    alone: the short cycle's are smaller than those that the model will be used on.

    Source: PySlowFast's `construct_loader(is_precise_bn=True)`, which has no short cycle.
    """

    def __len__(self) -> int:
        """Return the batches of this rank."""
        samples = self.schedule.stage(self.start_step - 1).sizes[-1]
        return self.schedule.num_samples // samples * self.accumulate_steps

    def __iter__(self) -> Iterator[Keys]:
        stage = self.schedule.stage(self.start_step - 1)
        epoch, _ = self.schedule.place(self.start_step - 1)
        shape, samples = stage.shapes[-1], stage.sizes[-1]
        order = epoch_order(self.schedule.num_samples, seed=self.seed, epoch=epoch)
        strides = self._strides(shape, epoch)
        for first in range(0, len(order) - samples + 1, samples):
            yield from self._own(order[first : first + samples], epoch, shape, strides)
