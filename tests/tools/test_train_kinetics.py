"""`train_kinetics.py` as a user runs it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from class_folders import make_class_folders, small_settings

from x3d_det.io.weights import load_model


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_class_folders(tmp_path_factory.mktemp("clips") / "set")


def _options(root: Path, output_dir: Path, *further: str) -> list[str]:
    options = ["--config", "x3d_xs_kinetics_mini.yaml", "--output-dir", str(output_dir)]
    for setting in small_settings(root, *further):
        options += ["--set", setting]
    return options


def test_a_training_says_its_accuracy_and_what_it_wrote(clips, run_tool, tmp_path):
    done = run_tool("train_kinetics.py", *_options(clips, tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    accuracy, counts, files = done.stdout.splitlines()
    epochs = (tmp_path / "run" / "epochs.jsonl").read_text().splitlines()
    metrics = json.loads(epochs[-1])["metrics"]
    assert accuracy == f"top-1 {metrics['top1']:.4f}, top-5 {metrics['top5']:.4f} after 4 steps"
    assert counts.startswith("broken videos replaced: 0 times; ")
    for name in ("model.safetensors", "config.yaml", "curves.png", "step_00000004.pt"):
        assert name in files
    assert "train: 9 videos of 3 classes" in done.stderr
    assert "val: 3 videos of 3 classes" in done.stderr


def test_wrong_files_and_settings_end_in_one_error(capsys, tmp_path):
    import runpy

    main = runpy.run_path("tools/train_kinetics.py")["main"]
    for options, text in (
        (["--set", f"dataset.root={tmp_path}"], "files or folders are missing in"),
        (["--set", "train.batchsize=3"], "did you mean train.batch_size?"),
        (["--set", "dataset=ava_mini"], "use a config of AVA with tools/train_ava.py"),
    ):
        assert main(["--config", "x3d_xs_kinetics_mini.yaml", *options]) == 1
        error = capsys.readouterr().err
        assert text in error
        assert "Traceback" not in error


def test_the_resolved_config_is_printed(capsys):
    import runpy

    main = runpy.run_path("tools/train_kinetics.py")["main"]
    assert main(["--config", "x3d_l_kinetics600", "--print-config"]) == 0
    assert "name: kinetics600" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_killed_at_a_step_ends_in_the_same_bits(clips, run_command, repository, tmp_path):
    settings = ("train.epochs=6", "train.mixup_alpha=0.3")
    whole = run_command("train_kinetics.py", *_options(clips, tmp_path / "whole", *settings))
    assert whole.returncode == 0, whole.stderr
    options = _options(clips, tmp_path / "cut", *settings)
    command = [sys.executable, "tools/train_kinetics.py", *options]
    with subprocess.Popen(command, cwd=repository, stderr=subprocess.DEVNULL) as process:
        while not list((tmp_path / "cut").glob("step_*.pt")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "killed in the middle"
    again = run_command("train_kinetics.py", *options, "--resume")
    assert again.returncode == 0, again.stderr
    first, _ = load_model(tmp_path / "whole" / "model.safetensors")
    second, _ = load_model(tmp_path / "cut" / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_two_processes_learn_as_one(clips, run_command, tmp_path):
    """Each clip's gradient has the same share; statistics of BatchNorm are each rank's own."""
    settings = ("train.freeze_bn=true", "model.dropout=0.0", "train.epochs=1")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    losses = []
    for name, prefix in (("one", ()), ("two", launcher)):
        options = _options(clips, tmp_path / name, *settings)
        done = run_command("train_kinetics.py", *options, launcher=prefix)
        assert done.returncode == 0, done.stderr
        lines = (tmp_path / name / "journal.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_what_it_learnt_is_handed_to_ava(clips, run_command, settings, tmp_path):
    kinetics = ("model.depth_factor=0.5", "train.epochs=1")  # the network of the tiny AVA
    done = run_command("train_kinetics.py", *_options(clips, tmp_path / "kinetics", *kinetics))
    assert done.returncode == 0, done.stderr
    done = run_command(
        "train_ava.py",
        *settings,
        *("--set", f"pretrained={tmp_path / 'kinetics' / 'model.safetensors'}"),
        *("--set", "train.epochs=1", "--output-dir", tmp_path / "ava"),
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if line.startswith("pretrained "))
    assert "weights matched" in line
