"""The shapes of multigrid training, and the epochs that each of them has.

A "plain" training is the one without multigrid: its clip, its batch, its learning rate.

Source: Wu et al., A Multigrid Method for Efficiently Training Video Models,
arXiv:1912.00998; the numbers as in PySlowFast's `utils/multigrid.py` and
`datasets/multigrid_helper.py`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from x3d_det.data.kinetics_videos import ClipPlan
from x3d_det.errors import DataError

LONG_CYCLE = ((0.25, math.sqrt(0.5)), (0.5, math.sqrt(0.5)), (0.5, 1.0), (1.0, 1.0))
"""Shares of the plain clip's frames and of its crop, in the order of training."""
SHORT_CYCLE = (0.5, math.sqrt(0.5))
"""Shares of the plain crop in the first two of three batches; the third has the long cycle's."""


@dataclass(frozen=True, kw_only=True)
class GridShape:
    """The batch of one step."""

    num_frames: int
    """T."""
    sampling_stride_range: tuple[int, int]
    """Lowest and highest stride, both included: with fewer frames, some clips last as long."""
    crop_px: int
    """Side of the square crop."""
    short_side_range_px: tuple[int, int]
    """Lowest and highest short side; the lowest shrinks with the crop, the highest stays."""
    batch_size: int
    """Clips, over all processes and accumulated batches."""
    lr_factor: int
    """What the learning rate is multiplied by: the growth of the long cycle's batch alone."""
    bn_splits: int
    """Equal parts of a process's batch with BatchNorm statistics of their own."""

    def plan(self, sampling_stride: int) -> ClipPlan:
        """Return a clip of this shape."""
        return ClipPlan(self.num_frames, sampling_stride, self.crop_px, self.short_side_range_px)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The plain batch, and how others are made of it at equal cost."""

    plan: ClipPlan
    """The plain clip."""
    batch_size: int
    """Clips of a plain step, over all processes and accumulated batches."""
    bn_base_size: int
    """Fewest clips that share BatchNorm statistics."""
    crops_per_video: int
    """Clips that a batch has of each video."""
    num_shares: int
    """Processes times accumulated batches."""

    def check(self) -> None:
        """Raise where the batch cannot be divided.

        Raises:
            DataError: the batch size is no multiple of shares times crops.
        """
        self.plan.check()
        divisor = self.num_shares * self.crops_per_video
        if self.batch_size < 1 or self.batch_size % divisor:
            raise DataError(
                f"batch size {self.batch_size} cannot be divided by {self.num_shares} (processes "
                f"times accumulated batches) times {self.crops_per_video} crops a video; choose a "
                f"multiple of {divisor}."
            )

    def cycle(
        self, frames_share: float, crop_share: float, *, short_cycle: bool
    ) -> tuple[GridShape, ...]:
        """Return the shapes of a stage's batches, one after another; the largest batch first."""
        plan = self.plan
        num_frames = max(1, round(plan.num_frames * frames_share))
        crop_px = _share_of(plan.crop_px, crop_share)
        cells = plan.num_frames * plan.crop_px**2
        lr_factor = max(1, round(cells / (num_frames * crop_px**2)))
        crops_px = [_share_of(plan.crop_px, share) for share in SHORT_CYCLE] if short_cycle else []
        return tuple(
            self._shape(
                num_frames,
                side_px,
                lr_factor=lr_factor,
                batch_factor=lr_factor * max(1, round((crop_px / side_px) ** 2)),
            )
            for side_px in (*crops_px, crop_px)
        )

    def _shape(
        self, num_frames: int, crop_px: int, *, lr_factor: int, batch_factor: int
    ) -> GridShape:
        plan = self.plan
        lowest_px, highest_px = plan.short_side_range_px
        batch_size = self.batch_size * batch_factor
        return GridShape(
            num_frames=num_frames,
            sampling_stride_range=(
                plan.sampling_stride,
                plan.sampling_stride * (plan.num_frames // num_frames),
            ),
            crop_px=crop_px,
            short_side_range_px=(round(lowest_px * crop_px / plan.crop_px), highest_px),
            batch_size=batch_size,
            lr_factor=lr_factor,
            bn_splits=_batch_norm_splits(batch_size // self.num_shares, self.bn_base_size),
        )


@dataclass(frozen=True)
class Stage:
    """Some epochs with one shape of the long cycle."""

    round: int
    """Round of the long cycle, from 0; the last number is the last stretch."""
    shapes: tuple[GridShape, ...]
    """Of one batch after another, again and again from the start of each epoch."""
    sizes: tuple[int, ...]
    """Samples of a batch of each shape."""
    num_epochs: int
    steps_per_epoch: int

    @property
    def num_steps(self) -> int:
        """Steps of all its epochs."""
        return self.num_epochs * self.steps_per_epoch

    def samples_before(self, place: int) -> int:
        """Return how many samples the first `place` batches of an epoch have."""
        times, rest = divmod(place, len(self.sizes))
        return times * sum(self.sizes) + sum(self.sizes[:rest])


def lay_out(
    cycles: Sequence[tuple[GridShape, ...]],
    *,
    round_lengths: Sequence[float],
    num_epochs: int,
    num_samples: int,
    crops_per_video: int,
) -> list[Stage]:
    """Return the stages of a training, one after another; those of no epoch are left out.

    Each round gives all shapes of the long cycle about as many steps, so epochs in
    proportion to their batches; the last stretch has the last shape. The stretch's steps are
    to the rounds' as in the plain training.

    Args:
        cycles: the shapes of each stage of the long cycle.
        round_lengths: of the rounds and of the last stretch, in plain epochs.
        num_epochs: of this training.
        num_samples: of an epoch.
        crops_per_video: clips of a sample.

    Raises:
        DataError: the largest batch has more samples than an epoch; a round or a shape
            gets no epoch.
    """
    largest = max((shape for cycle in cycles for shape in cycle), key=lambda one: one.batch_size)
    if largest.batch_size > num_samples * crops_per_video:
        raise DataError(
            f"the training set has {num_samples} videos ({num_samples * crops_per_video} clips an "
            f"epoch), fewer than the largest batch of multigrid training, {largest.batch_size} "
            f"clips of {largest.num_frames} frames at {largest.crop_px} px; lower "
            "train.batch_size, or turn one of the cycles off."
        )
    rounds = _rounds(cycles, round_lengths)
    weights = np.array([epochs for _, _, epochs in rounds])
    ends = np.rint(np.cumsum(weights) * (num_epochs / weights.sum())).astype(int)
    counts = np.diff(ends, prepend=0).tolist()
    _check_counts(rounds, counts, cycles, num_epochs)
    stages = []
    for (number, shapes, _), count in zip(rounds, counts, strict=True):
        sizes = tuple(shape.batch_size // crops_per_video for shape in shapes)
        steps = _steps_per_epoch(num_samples, sizes)
        if count:
            stages.append(Stage(number, shapes, sizes, count, steps))
    return stages


def _rounds(
    cycles: Sequence[tuple[GridShape, ...]], round_lengths: Sequence[float]
) -> list[tuple[int, tuple[GridShape, ...], float]]:
    """Return round, shapes and epochs in proportion, of all stages."""
    batches = np.array([np.mean([shape.batch_size for shape in cycle]) for cycle in cycles])
    *lengths, last_length = round_lengths
    stages = [
        (number, cycle, length * batch / batches.sum())
        for number, length in enumerate(lengths)
        for cycle, batch in zip(cycles, batches.tolist(), strict=True)
    ]
    return [*stages, (len(lengths), cycles[-1], last_length * batches[-1] / batches.mean())]


def _check_counts(
    rounds: Sequence[tuple[int, tuple[GridShape, ...], float]],
    counts: Sequence[int],
    cycles: Sequence[tuple[GridShape, ...]],
    num_epochs: int,
) -> None:
    present = [one for one, count in zip(rounds, counts, strict=True) if count]
    missing_round = {number for number, _, _ in rounds} - {number for number, _, _ in present}
    missing_shape = set(cycles) - {shapes for _, shapes, _ in present}
    if missing_round or missing_shape:
        raise DataError(
            f"the {num_epochs} epochs of multigrid training are too few for its {len(rounds)} "
            "stages (frames and crops between two falls of the learning rate); train longer, "
            "raise train.multigrid.epoch_factor, or turn train.multigrid.long_cycle off."
        )


def _steps_per_epoch(num_samples: int, sizes: Sequence[int]) -> int:
    """Return how many batches fit, one size after another."""
    times, rest = divmod(num_samples, sum(sizes))
    steps = times * len(sizes)
    for size in sizes:
        if size > rest:
            break
        rest -= size
        steps += 1
    return steps


def _share_of(crop_px: int, share: float) -> int:
    return max(1, round(crop_px * share))


def _batch_norm_splits(num_clips: int, base_size: int) -> int:
    """Return the most equal parts of a batch that have at least `base_size` clips each."""
    most = max(1, num_clips // base_size)
    return next(parts for parts in range(most, 0, -1) if num_clips % parts == 0)
