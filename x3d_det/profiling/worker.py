"""The jobs of a profile, each to be done in a process of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from x3d_det.profiling.case import PYTORCHVIDEO, ProfileCase
from x3d_det.profiling.measure import Speed, best_batch, measure_in_turn, peak_memory_mb
from x3d_det.profiling.networks import Cost, Networks, import_pytorchvideo


@dataclass(frozen=True, kw_only=True)
class SpeedResult:
    """Speed and cost of one implementation."""

    cost: Cost
    speed: Speed
    """At batch 1."""
    best_speed: Speed
    """At the batch size with most clips a second."""
    difference: float
    """Relative RMS of its output to that of our model as trained, in float32."""


@dataclass(frozen=True, kw_only=True)
class MemoryResult:
    """Peak memory in MiB, before the network was built and after each batch size."""

    before_mb: float
    peak_mb: tuple[float, ...]


def speed_job(
    case: ProfileCase, implementations: Sequence[str], *, seconds: float, max_batch: int
) -> dict[str, SpeedResult]:
    """Return the speed of a case's implementations, run in turn.

    Args:
        case: what is profiled.
        implementations: of `case.implementations`.
        seconds: to time each for, at batch 1 and again at its best batch.
        max_batch: largest batch to try.
    """
    networks = Networks(case, implementations)
    single = {name: networks.run(name, 1) for name in implementations}
    expected = networks.reference()
    outputs = {name: run() for name, run in single.items()}  # warms up, too
    speeds = measure_in_turn({name: (run, 1) for name, run in single.items()}, seconds=seconds)
    best = _best_speeds(networks, speeds, seconds=seconds, max_batch=max_batch)
    return {
        name: SpeedResult(
            cost=networks.cost(name),
            speed=speeds[name],
            best_speed=best[name],
            difference=_difference(outputs[name], expected),
        )
        for name in implementations
    }


def _best_speeds(
    networks: Networks, speeds: dict[str, Speed], *, seconds: float, max_batch: int
) -> dict[str, Speed]:
    """Return the speeds at each implementation's best batch; those of batch 1 are at hand."""
    sizes = {
        name: best_batch(
            lambda size, name=name: networks.run(name, size),  # type: ignore[misc]
            max_batch=max_batch,
            seconds=seconds,
        )
        for name in speeds
    }
    runs = {name: (networks.run(name, size), size) for name, size in sizes.items() if size > 1}
    for run, _ in runs.values():
        run()
    found = measure_in_turn(runs, seconds=seconds) if runs else {}
    # The search's few runs may have met a quiet moment, which the longer measurement corrects.
    return {
        name: max(single, found.get(name, single), key=lambda speed: speed.clips_per_second)
        for name, single in speeds.items()
    }


def _difference(output: torch.Tensor, expected: torch.Tensor) -> float:
    norm = float(expected.double().norm())
    return float((output.double() - expected.double()).norm()) / norm if norm else 0.0


def memory_job(
    case: ProfileCase, implementation: str, *, batch_sizes: Sequence[int]
) -> MemoryResult:
    """Return the peak memory of an implementation; only the first job of a process can tell it.

    Args:
        case: what is profiled.
        implementation: one of the case's.
        batch_sizes: rising.
    """
    if implementation == PYTORCHVIDEO:
        import_pytorchvideo()  # its modules are no cost of the network
    before = peak_memory_mb(case.device)
    networks = Networks(case, [implementation])
    peaks = []
    for batch_size in batch_sizes:
        run = networks.run(implementation, batch_size)
        run()
        run()
        peaks.append(peak_memory_mb(case.device))
    return MemoryResult(before_mb=before, peak_mb=tuple(peaks))
