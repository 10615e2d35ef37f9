"""A tiny generated AVA, and the tools run in this process or as a user runs them."""

import logging
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch
from detector_files import write_detector_weights

from x3d_det.synthetic import generate_ava_mini

# As small as X3D gets: the tests look at what the commands do, not at what the model learns.
SMALL = [
    "model.depth_factor=0.5",
    "clip.num_frames=2",
    "clip.train_short_side=[64, 72]",
    "clip.train_crop=64",
    "clip.eval_short_side=64",
    "train.epochs=2",
    "train.evaluate_every_epochs=1",
    "train.checkpoint_every_steps=2",
    "num_threads=1",
]
RunTool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tiny_ava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training videos and one for validation, of 8 seconds."""
    folder = tmp_path_factory.mktemp("ava") / "ava_mini"
    generate_ava_mini(
        folder, seed=3, num_train_videos=2, num_val_videos=1, seconds_per_video=8, workers=1
    )
    return folder


@pytest.fixture(scope="session")
def settings(tiny_ava: Path) -> list[str]:
    """`--set` options that train the demo's config on the tiny set in seconds."""
    options = ["--config", "x3d_xs_ava_mini.yaml"]
    for setting in [*SMALL, f"dataset.root={tiny_ava}"]:
        options += ["--set", setting]
    return options


@contextmanager
def _put_back(folder: Path) -> Iterator[None]:
    """Run a command in a folder, then put back what it changes in its process."""
    logger = logging.getLogger("x3d_det")
    log = (logger.handlers, logger.propagate, logger.level)
    before, threads = Path.cwd(), torch.get_num_threads()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        torch.set_num_threads(threads)
        logger.handlers, logger.propagate = log[:2]
        logger.setLevel(log[2])


@pytest.fixture(scope="session")
def run_tool(repository: Path) -> RunTool:
    """Run a tool's `main` in this process, as one of its own takes seconds to import torch.

    What `run_command` gives comes back, but a mistake of ours is raised. The slow tests, of
    the README and of the pages, run every tool by `run_command`.
    """

    def run(name: str, *options: object) -> subprocess.CompletedProcess[str]:
        arguments, out, err = [str(option) for option in options], StringIO(), StringIO()
        with _put_back(repository), redirect_stdout(out), redirect_stderr(err):
            code = runpy.run_path(f"tools/{name}")["main"](arguments)
        return subprocess.CompletedProcess([name, *arguments], code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def run_command(repository: Path) -> RunTool:
    """Run `python tools/NAME ...` in the repository; `launcher` may put torchrun before it."""

    def run(
        name: str, *options: object, launcher: tuple[str, ...] = (), timeout: float = 240
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *launcher, f"tools/{name}", *map(str, options)]
        return subprocess.run(
            command,
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    return run


@pytest.fixture(scope="session")
def trained(
    run_tool: RunTool, settings: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The output folder of one training run on the tiny set."""
    folder = tmp_path_factory.mktemp("run") / "train"
    done = run_tool("train_ava.py", *settings, "--output-dir", folder)
    assert done.returncode == 0, done.stderr
    assert "frame-mAP" in done.stdout, "the score that the training ended with"
    return folder


@pytest.fixture(scope="session")
def detector_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the detector that `detector_files` names."""
    return write_detector_weights(tmp_path_factory.mktemp("weights") / "random.pth")
