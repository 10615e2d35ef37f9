"""Speed and peak memory of runnable networks.

Candidates run in turn, A B C A B C, so that a busy machine slows all alike.
"""

import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

_MIN_ROUNDS = 3
_MAX_ROUNDS = 1000
# A doubled batch that is no faster than this ends the search.
_WORTHWHILE_GAIN = 0.98


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Clips a second over the rounds of a measurement."""

    batch_size: int
    clips_per_second: float
    """Mean of the rounds."""
    deviation: float
    """Standard deviation of the rounds, in clips a second."""
    num_rounds: int


def measure_in_turn(
    runs: Mapping[str, tuple[Callable[[], object], int]], *, seconds: float
) -> dict[str, Speed]:
    """Return the speed of each candidate.

    Args:
        runs: name to a call that runs once, warmed up, and the clips that it does.
        seconds: to measure each candidate for; 3 rounds are made at the least.
    """
    rounds: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + seconds * len(runs)
    for number in range(_MAX_ROUNDS):
        if number >= _MIN_ROUNDS and time.perf_counter() >= end:
            break
        for name, (run, num_clips) in runs.items():
            rounds[name].append(num_clips / _seconds(run))
    return {
        name: Speed(
            batch_size=runs[name][1],
            clips_per_second=statistics.mean(speeds),
            deviation=statistics.stdev(speeds),
            num_rounds=len(speeds),
        )
        for name, speeds in rounds.items()
    }


def best_batch(
    make_run: Callable[[int], Callable[[], object]], *, max_batch: int, seconds: float
) -> int:
    """Return the batch size, a power of 2, with most clips a second.

    The search ends where a doubled batch is no faster, a run takes longer than `seconds`, or the
    device's memory is full.

    Args:
        make_run: batch size to a call that runs once.
        max_batch: largest size to try.
        seconds: see above.
    """
    best, best_speed, batch_size = 1, 0.0, 1
    while batch_size <= max_batch:
        try:
            run = make_run(batch_size)
            run()
            taken = min(_seconds(run) for _ in range(2))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        speed = batch_size / taken
        if speed > best_speed:
            best, best_speed = batch_size, speed
        if speed < _WORTHWHILE_GAIN * best_speed or taken > seconds:
            break
        batch_size *= 2
    return best


def peak_memory_mb(device: str) -> float:
    """Return the most memory that was ever held: this process's, or its share of a GPU's.

    Raises:
        RuntimeError: the system does not tell.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if status.is_file():
        match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if match:
            return int(match[1]) / 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    raise RuntimeError(f"{sys.platform} does not tell the peak memory of a process")


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
