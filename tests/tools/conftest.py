"""A tiny generated AVA and a mirror of it, and the tools run in this process or as a user does."""

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
from annotation_samples import write_option_files
from ava_mirror import make_mirror
from detector_files import write_detector_weights
from http_server import Server, serving

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


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as AVA's public mirror is."""
    return make_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture
def server(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """That mirror on loopback, below `/ava/`."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        for path in sorted(mirror.rglob("*.*")):
            running.add(f"/ava/{path.relative_to(mirror)}", path.read_bytes())
        yield running


@pytest.fixture
def prepare(run_tool: RunTool, server: Server, tmp_path: Path) -> RunTool:
    """Run `prepare_ava.py` on the loopback mirror, or on what `mirror=` names."""

    def run(*options: object, mirror: object = None) -> subprocess.CompletedProcess[str]:
        source = mirror or f"{server.base}/ava"
        return run_tool(
            *("prepare_ava.py", "--output-dir", tmp_path / "ava", "--from", source),
            *("--accept-changed", "--retry-wait", 0.01, "--timeout", 5, "--jobs", 2),
            *options,
        )

    return run


@pytest.fixture(scope="session")
def converter(repository: Path) -> Callable[[list[str]], int]:
    """The `main` of `convert_annotations.py`, which prints where the test sees it."""
    return runpy.run_path(str(repository / "tools" / "convert_annotations.py"))["main"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The test's folder, with files that options of `convert_annotations.py` name."""
    write_option_files(tmp_path)
    return tmp_path
