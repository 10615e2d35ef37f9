"""Work in processes of its own under a watchdog: one that hangs or crashes costs its job alone.

A decoder can loop for ever or take its process down; both happen in C, where no exception and no
thread of Python's can end them.
"""

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")
Report = Callable[[float], None]
"""Called by a job with how much of it is done: says that it is alive, and feeds the progress."""

_REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class Lost:
    """Why a job has no result.

    Args:
        reason: for a message, as in "hung: no answer for 60 s".
        done: what it reported last.
    """

    reason: str
    done: float


def run_watched(
    jobs: Sequence[JobT],
    work: Callable[[JobT, Report], ResultT],
    *,
    num_workers: int,
    timeout_seconds: float,
    on_report: Callable[[int, float], None] = lambda job, done: None,
) -> Iterator[tuple[int, "ResultT | Lost"]]:
    """Yield (index of the job, its result), in the order in which they end.

    Args:
        jobs: what is handed to `work`, one by one; must be picklable.
        work: a function of a module; called in a fresh process with a job and a report. What
            it raises is a mistake of ours and ends everything.
        num_workers: processes, at least 1.
        timeout_seconds: a job that neither ends nor reports for so long is killed.
        on_report: called here with a job's index and what it reported.
    """
    waiting = list(enumerate(jobs))[::-1]
    workers: list[_Worker[JobT, ResultT]] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < num_workers:
                workers.append(_Worker(work, *waiting.pop(), timeout_seconds))
            for worker in _ready(workers):
                result = worker.take(on_report)
                if result is None:
                    continue
                yield worker.index, result
                if isinstance(result, Lost) or not waiting:
                    worker.stop()
                    workers.remove(worker)
                else:
                    worker.give(*waiting.pop())
    finally:
        for worker in workers:
            worker.stop()


class _Worker(Generic[JobT, ResultT]):
    """One process and the job that it has."""

    def __init__(
        self,
        work: Callable[[JobT, Report], ResultT],
        index: int,
        job: JobT,
        timeout_seconds: float,
    ) -> None:
        context = multiprocessing.get_context("spawn")  # FFmpeg's threads do not survive a fork
        self.connection, far_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(far_end, work), daemon=True)
        self._process.start()
        far_end.close()  # so that the end of the process is the end of the pipe
        self._timeout_seconds = timeout_seconds
        self._is_started = False
        self.give(index, job)

    def give(self, index: int, job: JobT) -> None:
        self.index, self._done = index, 0.0
        self.deadline = time.monotonic() + self._timeout_seconds
        if not self._is_started:
            # A first job also waits for the process to start, on a machine that may be busy.
            self.deadline += 60.0
        with contextlib.suppress(OSError):  # it died: `take` meets the end of the pipe
            self.connection.send(job)

    def take(self, on_report: Callable[[int, float], None]) -> "ResultT | Lost | None":
        """Return the result, a Lost, or None where the job goes on."""
        if not self.connection.poll():
            if time.monotonic() < self.deadline:
                return None
            return Lost(f"hung: no answer for {self._timeout_seconds:g} s", self._done)
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            self._process.join(5.0)
            code = self._process.exitcode or 0
            reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            return Lost(f"the process that read it died ({reason})", self._done)
        self._is_started = True
        if kind == "done":
            return value
        if kind == "raised":
            raise RuntimeError(f"a worker failed:\n{value}")
        self._done = value
        self.deadline = time.monotonic() + self._timeout_seconds
        on_report(self.index, value)
        return None

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _ready(workers: "list[_Worker[Any, Any]]") -> "list[_Worker[Any, Any]]":
    """Return the workers that have said something or whose time is over, after waiting for one."""
    next_deadline = min(worker.deadline for worker in workers)
    speaking = wait(
        [worker.connection for worker in workers], max(next_deadline - time.monotonic(), 0)
    )
    now = time.monotonic()
    return [w for w in workers if w.connection in speaking or w.deadline <= now]


def _serve(connection: Connection, work: Callable[[Any, Report], Any]) -> None:
    """Do jobs until the pipe closes or the process is killed."""
    import traceback

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends us
    last = 0.0

    def report(done: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_SECONDS:
            last = now
            connection.send(("report", done))

    with contextlib.suppress(EOFError, OSError):
        while True:
            job = connection.recv()
            connection.send(("report", 0.0))
            try:
                result = work(job, report)
            except Exception:
                connection.send(("raised", traceback.format_exc()))
                return
            connection.send(("done", result))
