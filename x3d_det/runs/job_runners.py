"""Who runs jobs: processes of this machine, a Slurm array (submitit), or Ray tasks.

Each of them calls `run_job`, which trains in a fresh process and reads the result from its
file. So they give the same results, and a job that is done is never done again.
"""

import contextlib
import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from x3d_det.config.expansion import RunnerConfig
from x3d_det.errors import ConfigError
from x3d_det.runs.candidate_job import (
    JobResult,
    TrainingJob,
    attempt,
    known_result,
    write_job,
    write_result,
)

Runner = Callable[[Sequence[TrainingJob]], Iterator[tuple[TrainingJob, JobResult]]]
"""Gives each job with its result as it ends. When the iterator is closed early, what runs is
asked to save its work and stop."""

_POLL_SECONDS = 0.1
_SAVE_SECONDS = 60.0
_SLURM_POLL_SECONDS = 2.0
# The last one is Slurm's warning, which may come before a process knows of it.
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
_FAILED_STATES = ("FAILED", "OUT_OF_MEMORY", "TIMEOUT", "COMPLETED")


def build_runner(config: RunnerConfig, *, seconds_limit: float, log_folder: Path) -> Runner:
    """Return what runs jobs as the config says.

    Args:
        config: who runs them.
        seconds_limit: of one attempt of a job; 0: none.
        log_folder: for submitit's own files.

    Raises:
        ConfigError: the package that it needs is not installed, or no cluster is in reach.
    """

    def run(jobs: Sequence[TrainingJob]) -> Iterator[tuple[TrainingJob, JobResult]]:
        if config.kind == "slurm":
            return _on_slurm(jobs, config, seconds_limit, log_folder)
        if config.kind == "ray":
            return _on_ray(jobs, config, seconds_limit)
        return _in_processes(jobs, config.workers, seconds_limit)

    if config.kind == "slurm":
        _slurm_executor(config, log_folder)
    if config.kind == "ray":
        _import_ray()
    return run


def run_job(
    job: TrainingJob,
    seconds_limit: float = 0.0,
    *,
    environment: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
) -> JobResult:
    """Return the result of a job: the one on file, or that of a fresh process.

    Args:
        job: what to train.
        seconds_limit: after which it counts as failed; 0: none.
        environment: variables added to the process's own.
        stop: when set, the process is asked to save and end.

    Raises:
        X3DDetError: the result on file is damaged, or of other settings.
    """
    known = known_result(job)
    if known is not None:
        return known
    write_job(job)
    job.attempt_file.unlink(missing_ok=True)
    with open(job.log_file, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "x3d_det.runs.candidate_job", str(job.file), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            cwd=job.working_dir,
            start_new_session=True,  # Ctrl-C is for the search, which then asks for the stop
        )
        try:
            in_time = _wait(process, seconds_limit, stop)
        finally:
            _end(process)
    return _result_of(job, process.returncode, seconds_limit if not in_time else None)


def _wait(
    process: "subprocess.Popen[bytes]", seconds_limit: float, stop: threading.Event | None
) -> bool:
    """Wait for a process or for the stop; return False where the time is over."""
    slices = itertools.count() if not seconds_limit else range(int(seconds_limit / _POLL_SECONDS))
    for _ in slices:
        if stop is not None and stop.is_set():
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
            return True
    return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process that still runs to save and end, and kill it where it does not."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_SAVE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _result_of(job: TrainingJob, exit_code: int, over_seconds: float | None) -> JobResult:
    """Return what a process left, or what its ending says."""
    found = known_result(job)
    if found is None and over_seconds is not None:
        found = JobResult(
            status="failed", reason=f"its training took more than seconds_limit = {over_seconds:g}"
        )
        write_result(job, found)
    if found is None:
        found = attempt(job)
    if found is None:
        found = _ended_silently(job, exit_code)
        if found.status == "failed":
            write_result(job, found)
    return found


def _ended_silently(job: TrainingJob, exit_code: int) -> JobResult:
    """Return what an ending without a word means: a job says itself what its candidate did."""
    if -exit_code in _STOP_SIGNALS:
        return JobResult(status="stopped", reason=f"by signal {-exit_code}")
    if exit_code >= 0:
        return JobResult(status="error", reason=f"its process ended with code {exit_code}.")
    cause = ", as where memory runs out" if exit_code == -signal.SIGKILL else ""
    name = signal.Signals(-exit_code).name
    return JobResult(
        status="failed", reason=f"its process was killed by {name}{cause}; see {job.log_file}"
    )


def _in_processes(
    jobs: Sequence[TrainingJob], workers: int, seconds_limit: float
) -> Iterator[tuple[TrainingJob, JobResult]]:
    stop = threading.Event()
    places: queue.SimpleQueue[Mapping[str, str]] = queue.SimpleQueue()
    for variables in _places(workers):
        places.put(variables)

    def run(job: TrainingJob) -> JobResult:
        if stop.is_set():
            return JobResult(status="stopped", reason="before it began")
        variables = places.get()
        try:
            return run_job(job, seconds_limit, environment=variables, stop=stop)
        finally:
            places.put(variables)

    with ThreadPoolExecutor(workers) as pool:
        try:
            futures = {pool.submit(run, job): job for job in jobs}
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            stop.set()


def _places(workers: int) -> list[Mapping[str, str]]:
    """Return what each of several trainings at a time gets: a GPU in turn, where there are more."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(i) for i in range(_num_gpus())]
    if workers == 1 or len(gpus) < 2:
        return [{}] * workers
    return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(workers)]


def _num_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _on_slurm(
    jobs: Sequence[TrainingJob], config: RunnerConfig, seconds_limit: float, folder: Path
) -> Iterator[tuple[TrainingJob, JobResult]]:
    import submitit

    executor = _slurm_executor(config, folder)
    todo = [job for job in jobs if known_result(job) is None]
    for job in jobs:
        if job not in todo:
            yield job, run_job(job)
    limits = [seconds_limit] * len(todo)
    submitted = executor.map_array(_SlurmTask(), todo, limits) if todo else []
    running = dict(zip(submitted, todo, strict=True))
    try:
        for done in submitit.helpers.as_completed(submitted, poll_frequency=_SLURM_POLL_SECONDS):
            yield running.pop(done), _result_of_slurm(done)
    finally:
        for left in running:
            left.cancel()


class _SlurmTask:
    """`run_job` as submitit wants it, to put a job that Slurm interrupts back into the queue.

    So a training that outlasts the time limit of its job, or that was preempted, goes on from
    its last checkpoint; submitit asks for that three times after a time limit.
    """

    def __call__(self, job: TrainingJob, seconds_limit: float) -> JobResult:
        """Return the job's result."""
        return run_job(job, seconds_limit)

    def checkpoint(self, job: TrainingJob, seconds_limit: float) -> Any:
        """Return what to do when it is run again: the same."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, job, seconds_limit)


def _slurm_executor(config: RunnerConfig, folder: Path) -> Any:
    try:
        import submitit
    except ImportError:
        raise ConfigError(
            "runner.kind = slurm needs submitit: pip install 'x3d_det[slurm]', or take "
            "--workers N on this machine."
        ) from None
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=config.submitit_cluster)
    except RuntimeError as error:
        raise ConfigError(
            f"runner.kind = slurm: submitit finds no Slurm here ({error}); start the search on a "
            "machine where sbatch is, or take --workers N on this one."
        ) from None
    options: dict[str, Any] = {
        "name": "expand_x3d",
        "timeout_min": config.minutes,
        "cpus_per_task": config.cpus,
        "gpus_per_node": config.gpus,
        "mem_gb": config.memory_gb,
        "slurm_array_parallelism": config.workers,
    }
    if config.partition is not None:
        options["slurm_partition"] = config.partition
    executor.update_parameters(**options)
    return executor


def _result_of_slurm(job: Any) -> JobResult:
    """Return the result of a job of submitit; one that Slurm ended is failed, or to be redone."""
    try:
        return job.result()  # type: ignore[no-any-return]
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        is_its_own = str(job.state).upper() in _FAILED_STATES
        return JobResult(
            status="failed" if is_its_own else "stopped",
            reason=f"Slurm job {job.job_id} ({job.state}): {lines[-1].strip()}",
        )


def _on_ray(
    jobs: Sequence[TrainingJob], config: RunnerConfig, seconds_limit: float
) -> Iterator[tuple[TrainingJob, JobResult]]:
    ray = _import_ray()
    if not ray.is_initialized():
        ray.init(address=config.ray_address, log_to_driver=False, include_dashboard=False)
    task = ray.remote(num_cpus=config.cpus, num_gpus=config.gpus, max_retries=0)(run_job)
    running = {task.remote(job, seconds_limit): job for job in jobs}
    try:
        while running:
            done, _ = ray.wait(list(running), num_returns=1)
            yield running.pop(done[0]), _result_of_ray(ray, done[0])
    finally:
        for left in running:
            ray.cancel(left, force=True)


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise ConfigError(
            "runner.kind = ray needs Ray: pip install 'x3d_det[ray]', or take --workers N on "
            "this machine."
        ) from None
    return ray


def _result_of_ray(ray: Any, reference: Any) -> JobResult:
    try:
        return ray.get(reference)  # type: ignore[no-any-return]
    except (ray.exceptions.OutOfMemoryError, ray.exceptions.WorkerCrashedError) as error:
        line = str(error).strip().splitlines()[0]
        return JobResult(status="failed", reason=f"its Ray task was ended: {line}")
