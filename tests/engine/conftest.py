"""Lets the engine's tests import `tiny`, and runs it as a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch):
    """A busy disk takes up to a second for each; tests/io checks that it is called."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """For the fixtures of whole modules too: the last bits hang on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a process that imports this checkout."""
    path = os.pathsep.join([str(FOLDER.parents[1]), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def start_tiny(environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Start `tiny.py`; the keyword arguments are those of `train_tiny`."""

    def start(**arguments: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(FOLDER / "tiny.py"), json.dumps(arguments, default=str)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def torchrun(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script of this folder on several ranks on this machine."""

    def run(
        script: str, *arguments: str, ranks: int = 2, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={ranks}", str(FOLDER / script), *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout
        )

    return run
