"""One training of one candidate, as a program of its own: `python -m x3d_det.runs.candidate_job`.

A crash, or a kill by the system for want of memory, ends this process and no search. The
job stands in a file, its result in another beside it, and a training that was killed goes on
from its checkpoints; so a job may be run again, here or on another machine, at any time.
"""

import contextlib
import fcntl
import importlib
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from x3d_det.errors import TrainingDiverged, X3DDetError
from x3d_det.io.files import atomic_write

_LOCK_SECONDS = 600.0
_POLL_SECONDS = 0.2
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "alloc_failed")


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """How a job ended.

    Attributes:
        status: `done`; `failed` through the candidate itself; `stopped` by a signal, to go on
            later; `error` of data, settings or disk, which no candidate is to blame for.
        score: at the last epoch that was asked for; higher is better.
        reason: why it is not done; a part of a sentence.
        seconds: of training, over all attempts.
        epochs: that were trained.
        metrics: of the last evaluation, by name.
    """

    status: Literal["done", "failed", "stopped", "error"]
    score: float | None = None
    reason: str = ""
    seconds: float = 0.0
    epochs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What to train, and where.

    Attributes:
        folder: of this training alone; absolute.
        trainer: `module:function`, called with the job; returns its result.
        config: plain values of the experiment.
        identity: hash of all that the result depends on; a folder serves one alone.
        stop_after_epoch: leave then; None: at the end.
        working_dir: where the search was started; paths of the config hold from there.
    """

    folder: str
    trainer: str
    config: Mapping[str, Any]
    identity: str
    stop_after_epoch: int | None = None
    working_dir: str = "."

    @property
    def file(self) -> Path:
        """Where the job itself is written."""
        return Path(self.folder) / "job.json"

    @property
    def log_file(self) -> Path:
        """What the training had to say."""
        return Path(self.folder) / "log.txt"

    @property
    def result_file(self) -> Path:
        """Where the result goes."""
        after = f"_after_epoch_{self.stop_after_epoch}" if self.stop_after_epoch else ""
        return Path(self.folder) / f"result{after}.json"

    @property
    def attempt_file(self) -> Path:
        """Where the last attempt says how it ended, also one that is to be made again."""
        return Path(self.folder) / "attempt.json"


def known_result(job: TrainingJob) -> JobResult | None:
    """Return the result on file, if there is one: only one that is done or failed is.

    Raises:
        X3DDetError: it is damaged, or of a job with other settings.
    """
    return _read(job, job.result_file)


def attempt(job: TrainingJob) -> JobResult | None:
    """Return how the last attempt ended, where it could say so."""
    return _read(job, job.attempt_file)


def _read(job: TrainingJob, file: Path) -> JobResult | None:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        identity = values.pop("identity")
        result = JobResult(**values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise X3DDetError(
            f"{file} is no result of a training ({error!r}); remove it, and the "
            "training is asked again."
        ) from error
    if identity != job.identity:
        raise X3DDetError(
            f"{file} is of a training with other settings; set them back, or give "
            "another --output-dir."
        )
    return result


def write_result(job: TrainingJob, result: JobResult) -> None:
    """Put on file how a job ended."""
    files = [job.attempt_file]
    if result.status in ("done", "failed"):
        files.append(job.result_file)
    for path in files:
        with atomic_write(path, "w") as file:
            json.dump({"identity": job.identity, **asdict(result)}, file, indent=1)


def write_job(job: TrainingJob) -> None:
    """Put a job on file, in its folder, which is made where it does not stand."""
    Path(job.folder).mkdir(parents=True, exist_ok=True)
    with atomic_write(job.file, "w") as file:
        json.dump(asdict(job), file, indent=1)


def perform(job: TrainingJob) -> JobResult:
    """Train in this process and return the result; whatever goes wrong becomes one."""
    try:
        module, name = job.trainer.split(":")
        trainer: Callable[[TrainingJob], JobResult] = getattr(importlib.import_module(module), name)
        return trainer(job)
    except TrainingDiverged as error:
        return JobResult(status="failed", reason=f"it diverged: {error}")
    except X3DDetError as error:
        return JobResult(status="error", reason=str(error))
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        lacks = isinstance(error, MemoryError) or any(m in text.lower() for m in _OUT_OF_MEMORY)
        return JobResult(
            status="failed", reason=f"{'out of memory' if lacks else 'it crashed'}: {text}"
        )


def main(argv: Sequence[str]) -> int:
    """Perform the job of a file: `candidate_job job.json PARENT`."""
    job = TrainingJob(**json.loads(Path(argv[0]).read_text(encoding="utf-8")))
    # Slurm's warning of the end goes to all processes of a job; the one above acts on it.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    _end_with(int(argv[1]))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        with _alone(Path(job.folder)):
            if known_result(job) is None:
                write_result(job, perform(job))
    except X3DDetError as error:
        write_result(job, JobResult(status="error", reason=str(error)))
    return 0


def _end_with(parent: int) -> None:
    """Ask this process to stop, with its work saved, once the one that started it is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process, say of a search that was killed, trains in the folder."""
    with open(folder / "job.lock", "a") as lock:
        end = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > end:
                    raise X3DDetError(
                        f"another process has been training in {folder} for more than "
                        f"{_LOCK_SECONDS:g} s; end it, or wait for it."
                    ) from None
                time.sleep(_POLL_SECONDS)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
