"""Timings taken in turn, so that a busy machine slows all candidates alike.

Candidate after candidate runs once, then all again: A B C A B C ... Each round gives
one ratio to the first candidate; the report leads with the median of those ratios.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from x3d_det.profiling import processor_name


def measure(
    candidates: dict[str, Callable[[], object]], *, repeats: int, warm_up: int = 1
) -> dict[str, list[float]]:
    """Return the seconds of each run, by candidate, in the order of the rounds."""
    for run in candidates.values():
        for _ in range(warm_up):
            run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, run in candidates.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def summarise(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return, by candidate, how many times faster than the first it is, and its quartiles."""
    first = next(iter(seconds.values()))
    summary = {}
    for name, times in seconds.items():
        ratios = [base / own for base, own in zip(first, times, strict=True)]
        low, median, high = statistics.quantiles(times, n=4)
        ratio_low, ratio, ratio_high = statistics.quantiles(ratios, n=4)
        summary[name] = {
            "times_faster": ratio,
            "times_faster_lower_quartile": ratio_low,
            "times_faster_upper_quartile": ratio_high,
            "median_seconds": median,
            "lower_quartile_seconds": low,
            "upper_quartile_seconds": high,
            "fastest_seconds": min(times),
        }
    return summary


def print_table(
    title: str, summary: dict[str, dict[str, float]], differences: dict[str, float]
) -> None:
    """Print a line a candidate: ratio first, then milliseconds, then the difference of values."""
    print(f"\n{title}")
    print(
        f"{'':32}{'times faster':>14}{'[quartiles]':>16}{'ms':>9}{'[quartiles]':>18}"
        f"{'fastest ms':>12}{'difference':>12}"
    )
    for name, row in summary.items():
        ratios = (
            f"[{row['times_faster_lower_quartile']:.2f} {row['times_faster_upper_quartile']:.2f}]"
        )
        times = (
            f"[{row['lower_quartile_seconds'] * 1e3:.0f} {row['upper_quartile_seconds'] * 1e3:.0f}]"
        )
        print(
            f"{name:32}{row['times_faster']:14.2f}{ratios:>16}{row['median_seconds'] * 1e3:9.0f}"
            f"{times:>18}{row['fastest_seconds'] * 1e3:12.0f}{differences[name]:12.1e}"
        )


def environment(**versions: str) -> dict[str, Any]:
    """Return processor, thread count and versions, for the record."""
    return {
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **versions,
    }


def write_report(path: Path | None, report: dict[str, Any]) -> None:
    """Write the report as JSON and name the file, unless `path` is None."""
    if path is None:
        return
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {path}")
