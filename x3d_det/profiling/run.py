"""A whole profile: every case in processes of its own, so that none sees another's memory."""

import logging
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from x3d_det.errors import ConfigError
from x3d_det.profiling.case import PYTORCHVIDEO, ProfileCase
from x3d_det.profiling.measure import Speed
from x3d_det.profiling.networks import Cost, has_pytorchvideo
from x3d_det.profiling.processes import JobFailed, in_a_process
from x3d_det.profiling.worker import memory_job, speed_job
from x3d_det.progress import ProgressLine

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ProfileRow:
    """One implementation of a case, measured."""

    case: ProfileCase
    implementation: str
    cost: Cost
    speed: Speed
    """At batch 1."""
    best_speed: Speed
    """At the batch size with most clips a second."""
    peak_mb: float
    """Most memory, in MiB, at batch 1; on a CPU of the whole process, on a GPU of its tensors."""
    best_peak_mb: float
    """The same at the best batch size."""
    before_mb: float
    """What the process held before the network was built: Python, torch and other modules."""
    difference: float
    """Relative RMS of the output to that of our model as trained, in float32."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Rows in the order of the cases, and what was measured where."""

    rows: tuple[ProfileRow, ...]
    failures: tuple[str, ...]
    """Cases that could not be measured, in words."""
    environment: dict[str, str | int]


def run_profile(
    cases: Sequence[ProfileCase],
    *,
    seconds: float = 2.0,
    max_batch: int | None = None,
    num_threads: int | None = None,
    with_pytorchvideo: bool = True,
) -> Profile:
    """Measure all cases, one after another.

    Args:
        cases: of `profile_cases`.
        seconds: to time each implementation for, at batch 1 and again at its best batch.
        max_batch: largest batch to try; None: 8 on a CPU, 64 on a GPU.
        num_threads: of torch on the CPU; None: its default.
        with_pytorchvideo: measure PyTorchVideo's model beside ours, where it is installed.
    """
    beside = with_pytorchvideo and has_pytorchvideo()
    rows: list[ProfileRow] = []
    failures: list[str] = []
    with ProgressLine("profiling", len(cases), unit="cases") as line:
        for done, case in enumerate(cases):
            line.update(done, case.title)
            names = [name for name in case.implementations if beside or name != PYTORCHVIDEO]
            largest = max_batch or (8 if case.device == "cpu" else 64)
            try:
                rows += _measure(case, names, seconds, largest, num_threads)
            except JobFailed as failed:
                _logger.warning("%s: %s", case.title, failed)
                failures.append(f"{case.title}: {failed}")
        line.update(len(cases))
    return Profile(
        rows=tuple(rows),
        failures=tuple(failures),
        environment=environment(cases, num_threads=num_threads, with_pytorchvideo=beside),
    )


def environment(
    cases: Sequence[ProfileCase], *, num_threads: int | None, with_pytorchvideo: bool
) -> dict[str, str | int]:
    """Return processor, devices, threads and versions, for the record."""
    found: dict[str, str | int] = {
        "processor": processor_name(),
        "cores": os.cpu_count() or 0,
        "threads": num_threads or torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "x3d_det": version("x3d_det"),
    }
    for device in dict.fromkeys(case.device for case in cases):
        if device != "cpu":
            found[device] = torch.cuda.get_device_name(device)
    if with_pytorchvideo:
        found["pytorchvideo"] = version("pytorchvideo")
    return found


def present_devices() -> list[str]:
    """Return the devices of this machine, as torch names them."""
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def check_devices(names: Sequence[str]) -> list[str]:
    """Return the names of devices that are all present.

    Raises:
        ConfigError: one is not.
    """
    present = present_devices()
    for name in names:
        if name not in present:
            raise ConfigError(
                f"device {name!r} is not here; this machine has {', '.join(present)}."
            )
    return list(names)


def _measure(
    case: ProfileCase, names: list[str], seconds: float, max_batch: int, num_threads: int | None
) -> list[ProfileRow]:
    results = in_a_process(
        speed_job, case, names, seconds=seconds, max_batch=max_batch, num_threads=num_threads
    )
    rows = []
    for name, result in results.items():
        sizes = sorted({1, result.best_speed.batch_size})
        memory = in_a_process(memory_job, case, name, batch_sizes=sizes, num_threads=num_threads)
        rows.append(
            ProfileRow(
                case=case,
                implementation=name,
                cost=result.cost,
                speed=result.speed,
                best_speed=result.best_speed,
                peak_mb=memory.peak_mb[0],
                best_peak_mb=memory.peak_mb[-1],
                before_mb=memory.before_mb,
                difference=result.difference,
            )
        )
    return rows


def processor_name() -> str:
    """Return the processor's name, as Linux tells it where it does."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
