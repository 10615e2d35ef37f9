"""Samples with differing numbers of boxes into one batch; which samples make which batch.

Order and batches are functions of (seed, epoch, step), so that a run continues from any
step, on any number of workers, with the same samples.

Shape suffixes in this file: B clips, C channels, T frames, H x W pixels, N boxes of the
whole batch, K actions.
"""

import itertools
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from x3d_det.data.ava import AvaDataset, AvaSample
from x3d_det.errors import DataError, X3DDetError

# Last number of the seed of the order of samples; the data set uses another.
_ORDER_PURPOSE = 0
# PyTorch looks whether its workers live when a wait for them times out.
_POLL_SECONDS = 2.0
BatchT = TypeVar("BatchT")
Keys = list[tuple[int, int] | tuple[int, int, Any]]
"""The samples of a batch: epoch, index and, where the data set knows it, how to make the sample."""


@dataclass(frozen=True, kw_only=True)
class AvaBatch:
    """Clips of one size with all their boxes."""

    clips_BCTHW: Tensor
    """float32, normalised."""
    boxes_xyxy_px: list[Tensor]
    """B tensors float32 (N_b, 4), pixels of the clips; N_b may be 0."""
    targets_NK: Tensor
    """float32, the boxes of all clips one after another."""
    boxes_norm: list[np.ndarray]
    """B arrays float64 (N_b, 4), fractions of the full frames."""
    person_scores: list[np.ndarray]
    """B arrays float64 (N_b,)."""
    video_ids: list[str]
    timestamps: list[float]
    indices: list[int]
    """Places in the data set."""
    num_boxes_dropped: int
    """Boxes that crops removed."""
    num_clamped: int
    """Frames that stand in for seconds outside their videos."""
    num_decoded: int
    """Frames decoded."""
    decode_seconds: float
    """Wall time of reading frames, added up over the clips."""

    @property
    def num_clips(self) -> int:
        """B."""
        return len(self.video_ids)

    def pin_memory(self) -> "AvaBatch":
        """Return the batch with its tensors in page-locked memory, for copies to a GPU."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device | str) -> "AvaBatch":
        """Return the batch with its tensors on `device`."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> "AvaBatch":
        values = {
            **vars(self),
            "clips_BCTHW": change(self.clips_BCTHW),
            "boxes_xyxy_px": [change(boxes) for boxes in self.boxes_xyxy_px],
            "targets_NK": change(self.targets_NK),
        }
        return AvaBatch(**values)


def collate_samples(samples: Sequence[AvaSample]) -> AvaBatch:
    """Return one batch; clips of differing sizes are refused, as they cannot be stacked.

    Raises:
        DataError: clips of differing sizes, each named.
    """
    sizes = {tuple(sample.clip_CTHW.shape) for sample in samples}
    if len(sizes) > 1:
        named = ", ".join(
            f"{sample.video_id} {tuple(sample.clip_CTHW.shape)}" for sample in samples
        )
        raise DataError(f"clips of differing sizes cannot make one batch: {named}.")
    return AvaBatch(
        clips_BCTHW=torch.stack([sample.clip_CTHW for sample in samples]),
        boxes_xyxy_px=[sample.boxes_xyxy_px for sample in samples],
        targets_NK=torch.cat([sample.targets_NK for sample in samples]),
        boxes_norm=[sample.boxes_norm for sample in samples],
        person_scores=[sample.person_scores_N for sample in samples],
        video_ids=[sample.video_id for sample in samples],
        timestamps=[sample.timestamp for sample in samples],
        indices=[sample.index for sample in samples],
        num_boxes_dropped=sum(sample.num_boxes_dropped for sample in samples),
        num_clamped=sum(sample.num_clamped for sample in samples),
        num_decoded=sum(sample.num_decoded for sample in samples),
        decode_seconds=sum(sample.decode_seconds for sample in samples),
    )


class TrainBatchSampler(Sampler[Keys]):
    """Batches of one rank over a whole run, from any step on.

    Each epoch is a permutation of the samples from (seed, epoch), cut into global batches;
    the last, partial one is left out. A global batch is dealt out to the ranks, and to the
    `accumulate_steps` batches of each, in contiguous shares: which samples make a step
    depends on neither.

    Args:
        num_samples: samples of the data set.
        batch_size_global: samples of one optimiser step, over all ranks and accumulated batches.
        seed: of the order.
        num_epochs: passes over the data.
        rank, world_size: this process and how many there are.
        accumulate_steps: batches that this rank computes for one optimiser step.
        start_step: optimiser steps done already, counted from the start of the run.

    Raises:
        DataError: fewer samples than one global batch, or a batch that cannot be divided.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size_global: int,
        *,
        seed: int,
        num_epochs: int,
        rank: int = 0,
        world_size: int = 1,
        accumulate_steps: int = 1,
        start_step: int = 0,
    ) -> None:
        shares = world_size * accumulate_steps
        if batch_size_global < 1 or batch_size_global % shares:
            raise DataError(
                f"batch size {batch_size_global} cannot be divided by {world_size} processes "
                f"times {accumulate_steps} accumulated batches; choose a multiple of {shares}."
            )
        if num_samples < batch_size_global:
            raise DataError(
                f"the training set has {num_samples} keyframes, fewer than one batch of "
                f"{batch_size_global}; lower the batch size."
            )
        assert 0 <= rank < world_size
        self.num_samples = num_samples
        self.batch_size_global = batch_size_global
        self.seed = seed
        self.num_epochs = num_epochs
        self.rank, self.world_size = rank, world_size
        self.accumulate_steps = accumulate_steps
        self.start_step = start_step

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one epoch."""
        return self.num_samples // self.batch_size_global

    def __len__(self) -> int:
        """Return the batches still to come on this rank."""
        steps = self.num_epochs * self.steps_per_epoch - self.start_step
        return max(0, steps) * self.accumulate_steps

    def __iter__(self) -> Iterator[Keys]:
        size = self.batch_size_global // (self.world_size * self.accumulate_steps)
        order, order_epoch = np.empty(0, np.int64), -1
        for step in range(self.start_step, self.num_epochs * self.steps_per_epoch):
            epoch, place = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                order, order_epoch = self.order(epoch), epoch
            share = place * self.batch_size_global + self.rank * size * self.accumulate_steps
            for first in range(share, share + size * self.accumulate_steps, size):
                yield [(epoch, int(index)) for index in order[first : first + size]]

    def order(self, epoch: int) -> np.ndarray:
        """Return the order of all samples in an epoch."""
        return epoch_order(self.num_samples, seed=self.seed, epoch=epoch)


def epoch_order(num_samples: int, *, seed: int, epoch: int) -> np.ndarray:
    """Return the order of all samples in an epoch."""
    return np.random.default_rng((seed, epoch, _ORDER_PURPOSE)).permutation(num_samples)


class EvalBatchSampler(Sampler[Keys]):
    """Every keyframe exactly once: batches of neighbouring keyframes of one video.

    Batch k goes to rank k % world_size. There is no padding, a rank may have one batch more
    or none, and what a batch holds does not depend on the number of ranks.

    Args:
        videos_G: the video of each keyframe, as a number; keyframes of a video follow each
            other (`BoxTable.videos_G`).
        batch_size: most keyframes in a batch.
        rank, world_size: this process and how many there are.
    """

    def __init__(
        self, videos_G: np.ndarray, batch_size: int, *, rank: int = 0, world_size: int = 1
    ) -> None:
        assert batch_size >= 1
        assert 0 <= rank < world_size
        cuts = np.flatnonzero(np.diff(videos_G)) + 1
        bounds = [0, *cuts.tolist(), len(videos_G)]
        batches: list[Keys] = [
            [(0, index) for index in range(first, min(first + batch_size, end))]
            for start, end in itertools.pairwise(bounds)
            for first in range(start, end, batch_size)
        ]
        self._batches = batches[rank::world_size]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Keys]:
        return iter(self._batches)


class BatchLoader(Generic[BatchT]):
    """Iterates over batches; an error of a worker arrives as itself, in one line.

    Args:
        dataset: answers `__getitems__([(epoch, index), ...])`; a method `keyframe` or
            `video_name` names the sample of an index in errors.
        batch_sampler: the keys of each batch.
        collate: samples to a batch.
        num_workers: processes that prepare batches; 0 prepares them here.
        pin_memory: hand out tensors in page-locked memory.
        timeout_seconds: longest wait for a batch of a worker before the run stops.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_sampler: Sampler[Keys],
        collate: Callable[[Sequence[Any]], BatchT],
        *,
        num_workers: int,
        pin_memory: bool = False,
        timeout_seconds: float = 600.0,
    ) -> None:
        self.batch_sampler = batch_sampler
        self._dataset = dataset
        self._timeout_seconds = timeout_seconds
        context = None
        if num_workers:
            # Forked workers inherit the threads and locks of this process, and can hang;
            # these start from a clean one that has imported what all of them need.
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["x3d_det.data.batch"])
        self._loader: DataLoader[Any] = DataLoader(
            _Guarded(dataset, collate),
            batch_sampler=batch_sampler,
            collate_fn=_first,
            num_workers=num_workers,
            pin_memory=pin_memory,
            timeout=min(_POLL_SECONDS, timeout_seconds) if num_workers else 0,
            multiprocessing_context=context,
            worker_init_fn=_start_worker,
            persistent_workers=num_workers > 0,
        )

    def __len__(self) -> int:
        return len(self.batch_sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[BatchT]:
        """Yield the batches in the sampler's order.

        Raises:
            X3DDetError: what a sample could not be prepared for; a worker that died or
                has not answered for `timeout_seconds`, with the samples it had.
        """
        batches = iter(self._loader)
        for keys in self.batch_sampler:
            batch = self._next(batches, keys)
            if isinstance(batch, X3DDetError):
                raise batch
            yield batch

    def _next(self, batches: Iterator[Any], keys: Keys) -> Any:
        end = time.monotonic() + self._timeout_seconds
        while True:
            try:
                return next(batches)
            except RuntimeError as error:
                if "DataLoader" not in str(error):
                    raise
                if "timed out" not in str(error) or time.monotonic() >= end:
                    raise DataError(self._lost_batch(keys, str(error))) from error

    def _lost_batch(self, keys: Keys, text: str) -> str:
        what_samples, name = self._naming()
        names = ", ".join(str(name(key[1])) for key in keys)
        if "timed out" in text:
            what = f"did not answer for {self._timeout_seconds:g} s; a video may be damaged"
        else:
            what = f"died ({text.splitlines()[0]}); memory may have run out: use fewer workers"
        return f"a data worker {what}. Waiting for {what_samples} {names}."

    def _naming(self) -> tuple[str, Callable[[int], object]]:
        """Return what the data set's samples are, and how one is named."""
        for method, what in (("keyframe", "keyframes"), ("video_name", "videos")):
            if hasattr(self._dataset, method):
                return what, getattr(self._dataset, method)
        return "samples", str


def make_loader(
    dataset: AvaDataset,
    batch_sampler: Sampler[Keys],
    *,
    num_workers: int,
    pin_memory: bool = False,
    timeout_seconds: float = 600.0,
) -> BatchLoader[AvaBatch]:
    """Return the batches of an AVA data set; the arguments are those of `BatchLoader`."""
    return BatchLoader(
        dataset,
        batch_sampler,
        collate_samples,
        num_workers=num_workers,
        pin_memory=pin_memory,
        timeout_seconds=timeout_seconds,
    )


class _Guarded(Dataset[Any]):
    """Returns a user's error as a value: a raised one would come back wrapped in a traceback."""

    def __init__(self, dataset: Any, collate: Callable[[Sequence[Any]], Any]) -> None:
        self._dataset = dataset
        self._collate = collate

    def __getitems__(self, keys: Keys) -> list[Any]:
        try:
            return [self._collate(self._dataset.__getitems__(keys))]
        except X3DDetError as error:
            return [error.with_traceback(None)]


def _first(values: Sequence[Any]) -> Any:
    return values[0]


def _start_worker(worker: int) -> None:
    """Keep a worker to one thread: there is one worker a core."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process
