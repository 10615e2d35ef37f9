"""Kills a run again and again: `python kills.py FOLDER SEED NUM_KILLS`; prints JSON.

The parent imports everything once (the optimiser asks for torch._dynamo) and forks
a child for each attempt; a child resumes the run and is killed with SIGKILL, either
after a random time or at a chosen write, fsync or rename. A run that gets to its
end before is begun anew. In the end one child is left to finish.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo
import torch.utils.tensorboard
from tiny import train_tiny

from x3d_det.engine.journal import read_journal
from x3d_det.io import files
from x3d_det.io.checkpoint import latest_checkpoint, load_checkpoint

EVERY = 4
RUN: dict[str, Any] = {
    "num_steps": 360,
    "steps_per_epoch": 45,
    "checkpoint_every_steps": EVERY,
    "bad_steps": {17: "input", 101: "gradient"},
}


class _Counter:
    """Kills this process at the `number`-th call of what it counts."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.calls = 0

    def is_last(self) -> bool:
        self.calls += 1
        return self.calls == self.number

    def around(self, function: Callable[..., Any]) -> Callable[..., None]:
        """Die before (odd numbers) or after the call."""

        def call(*arguments: Any) -> None:
            last = self.is_last()
            if not (last and self.number % 2):
                function(*arguments)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)

        return call


class _DyingFile:
    """A file of which the chosen write stops halfway."""

    def __init__(self, file: Any, counter: _Counter) -> None:
        self._file = file
        self._counter = counter

    def write(self, data: Any) -> None:
        if self._counter.is_last():
            self._file.write(data[: len(data) // 2])
            self._file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def die_at_call(number: int) -> None:
    """Let the `number`-th write, fsync or rename of `io.files` be the last of this process."""
    counter = _Counter(number)
    files.os.fsync = counter.around(os.fsync)
    files.os.replace = counter.around(os.replace)
    files.open = lambda *a, **k: _DyingFile(open(*a, **k), counter)  # noqa: SIM115


def attempt(folder: Path, *, delay_seconds: float | None, call: int | None) -> int:
    """Resume in a child, kill it, and return its wait status."""
    child = os.fork()
    if child == 0:
        if call is not None:
            die_at_call(call)
        train_tiny(folder, resume=True, **RUN)
        os._exit(0)
    if delay_seconds is not None:
        time.sleep(delay_seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def main() -> None:
    os.fsync = lambda descriptor: None  # a kill needs none, and a busy disk takes a second for it
    folder, seed, num_kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    generator = random.Random(seed)
    killed = 0
    lost = []
    while killed < num_kills:
        if killed % 2:
            status = attempt(folder, delay_seconds=generator.uniform(0.01, 0.25), call=None)
        else:
            status = attempt(folder, delay_seconds=None, call=generator.randint(1, 40))
        if not os.WIFSIGNALED(status):
            shutil.rmtree(folder)
            continue
        killed += 1
        journal = folder / "journal.jsonl"
        steps = [entry["step"] for entry in read_journal(journal)] if journal.exists() else []
        latest = latest_checkpoint(folder)
        safe = 0 if latest is None else load_checkpoint(latest)["step"]
        lost.append(max(steps, default=0) - safe)
    status = attempt(folder, delay_seconds=None, call=None)
    print(json.dumps({"lost": lost, "status": status}))


if __name__ == "__main__":
    main()
