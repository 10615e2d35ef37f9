"""The README's commands from Kinetics to AVA, one after another, made small."""

import os
import shlex
from pathlib import Path

import pytest
import torch

from x3d_det.checkpoints import export_state, read_checkpoint
from x3d_det.models import X3D, X3D_SPECS, X3DClassifier
from x3d_det.zoo import ZOO

pytestmark = pytest.mark.slow

NAME = "x3d_m_kinetics400"


def _options(repository: Path, tool: str) -> list[str]:
    """Return the options of the README's one command of a tool."""
    lines = (repository / "README.md").read_text().splitlines()
    found = [line for line in lines if line.startswith(f"    python tools/{tool}")]
    assert len(found) == 1, f"the README has {len(found)} commands of {tool}"
    return shlex.split(found[0].split("  #")[0])[2:]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with X3D-M as PySlowFast publishes it, of random weights."""
    folder = tmp_path_factory.mktemp("mirror")
    torch.manual_seed(0)
    model = X3DClassifier(X3D(X3D_SPECS["m"]), num_classes=400)
    path = folder / "pyslowfast" / ZOO[NAME].file_name
    path.parent.mkdir()
    torch.save({"model_state": export_state(model.state_dict(), layout="pyslowfast").state}, path)
    return folder


@pytest.fixture(scope="module")
def clips(run_command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinetics") / "mini"
    small = ("--train-clips", 2, "--val-clips", 1, "--classes", "walk", "bend", "--workers", 1)
    done = run_command("make_kinetics_mini.py", *small, "--output-dir", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_published_weights_come_and_start_a_training(
    repository, run_command, mirror, tiny_ava, tmp_path, monkeypatch
):
    assert _options(repository, "download_weights.py") == [NAME]
    fetched = run_command(
        *("download_weights.py", NAME, "--mirror", mirror, "--output-dir", tmp_path / "weights")
    )
    assert fetched.returncode == 0, fetched.stderr

    monkeypatch.setitem(os.environ, "X3D_DET_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setitem(os.environ, "X3D_DET_WEIGHTS_MIRROR", str(mirror))
    done = run_command(
        *("train_ava.py", "--config", "x3d_m_ava.yaml", "--set", f"pretrained={NAME}"),
        *("--set", "dataset=ava_mini", "--set", f"dataset.root={tiny_ava}"),
        *("--set", "train.batch_size=2", "--set", "train.epochs=1", "--set", "clip.num_frames=2"),
        *("--set", "clip.train_crop=64", "--set", "clip.train_short_side=[64, 64]"),
        *("--set", "clip.eval_short_side=64", "--output-dir", tmp_path / "run"),
    )
    assert done.returncode == 0, done.stderr
    assert "weights matched" in done.stderr
    assert "other classes, 400 in the file and 80 in the model" in done.stderr


def test_foreign_weights_are_converted(repository, run_command, mirror, tmp_path):
    assert _options(repository, "convert_checkpoint.py") == ["x3d_m.pyth", "x3d_m.safetensors"]
    target = tmp_path / "x3d_m.safetensors"
    done = run_command("convert_checkpoint.py", mirror / "pyslowfast" / "x3d_m.pyth", target)
    assert done.returncode == 0, done.stderr
    assert "not matched: 0" in done.stdout
    assert read_checkpoint(target).spec_hint.members


def test_the_generated_kinetics_is_trained_on_and_scored(repository, run_command, clips, tmp_path):
    assert _options(repository, "make_kinetics_mini.py") == []
    config = _options(repository, "train_kinetics.py")
    small = []
    for setting in (
        *("model.depth_factor=0.2", "clip.num_frames=2", "clip.train_short_side=[32, 40]"),
        *("clip.train_crop=32", "train.batch_size=2", "train.epochs=1", "train.num_workers=0"),
        *("evaluation.num_workers=0", "num_threads=1", "dataset.num_classes=2"),
        f"dataset.root={clips}",
    ):
        small += ["--set", setting]
    trained = run_command("train_kinetics.py", *config, *small, "--output-dir", tmp_path / "run")
    assert trained.returncode == 0, trained.stderr

    options = _options(repository, "evaluate_kinetics.py")
    place = options.index("--checkpoint") + 1
    assert options[place] == "outputs/x3d_xs_kinetics_mini/model.safetensors"
    options[place] = str(tmp_path / "run" / "model.safetensors")
    scored = run_command(
        "evaluate_kinetics.py", *options, *small, "--output-dir", tmp_path / "scored"
    )
    assert scored.returncode == 0, scored.stderr
    assert "30 views" in scored.stdout + scored.stderr
    assert (tmp_path / "scored" / "confusion.png").exists()


def test_a_profile_is_made(repository, run_command, tmp_path):
    assert _options(repository, "profile_x3d.py") == []
    done = run_command(
        *("profile_x3d.py", "--models", "xs", "--kinds", "classifier", "--sizes", "32x32"),
        *("--seconds", 0.1, "--output-dir", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    for name in ("profile.json", "profile.md", "accuracy_cost.png"):
        assert (tmp_path / name).exists(), name
