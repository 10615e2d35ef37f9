"""Every command of the README is run, made small."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ava_mirror import make_mirror
from detector_files import DETECTOR


def _commands(repository: Path) -> list[str]:
    """Return the README's indented command lines without their comments."""
    lines = (repository / "README.md").read_text().splitlines()
    commands = [line.strip() for line in lines if re.match(r" {4}(make|python|torchrun) ", line)]
    return [command.split("  #")[0].strip() for command in commands]


def _options(repository: Path, start: str) -> list[str]:
    """Return the options of the one README command that starts so."""
    found = [command for command in _commands(repository) if command.startswith(start)]
    assert len(found) == 1, f"the README has {len(found)} commands that start with {start!r}"
    return shlex.split(found[0].removeprefix(start))


def test_no_command_is_without_a_test(repository):
    assert [" ".join(command.split()[:4]) for command in _commands(repository)] == [
        "make demo",
        "make test",
        "python tools/detect_actions.py clip.mp4 --checkpoint",  # test_readme_video.py
        "python tools/train_ava.py --config x3d_m_ava.yaml",
        "python tools/make_ava_mini.py",
        "python tools/train_ava.py --config x3d_m_ava.yaml",
        "python tools/evaluate_ava.py --config x3d_xs_ava_mini.yaml",
        "python tools/visualize_ava.py --config x3d_xs_ava_mini.yaml",
        "python tools/evaluate_ava.py --annotations ava_val_v2.2.csv",
        "python tools/download_weights.py x3d_m_kinetics400",  # these: test_readme_kinetics.py
        "python tools/train_ava.py --config x3d_m_ava.yaml",
        "python tools/convert_checkpoint.py x3d_m.pyth x3d_m.safetensors",
        "python tools/make_kinetics_mini.py",
        "python tools/train_kinetics.py --config x3d_xs_kinetics_mini.yaml",
        "python tools/evaluate_kinetics.py --config x3d_xs_kinetics_mini.yaml",
        "python tools/profile_x3d.py",
        "python tools/expand_x3d.py --replay-paper",  # test_expand_x3d.py
        "python tools/expand_x3d.py --config expand_kinetics_mini.yaml",  # test_expansion_run.py
        "python tools/prepare_ava.py --list",
        "python tools/check_dataset.py --config x3d_m_ava.yaml",
        "python tools/detect_persons.py clip.mp4",
        "python tools/evaluate_persons.py --annotations ava_val_v2.2.csv",
        "python tools/convert_annotations.py proposals.pkl boxes.csv",
    ]


def test_make_test_runs_lint_and_pytest(repository):
    done = subprocess.run(
        ["make", "-n", "-o", ".venv/.ready", "test"], cwd=repository, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert all(tool in done.stdout for tool in ("ruff check", "mypy", "pytest"))
    assert "make test-slow" in (repository / ".ci" / "run").read_text()


@pytest.mark.slow
def test_make_demo_names_what_it_wrote_and_reuses_it(repository, settings, tmp_path):
    """`make demo` as it is, on two videos and the smallest of models."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    small = [option for option in settings[2:] if not option.startswith("dataset.root")]
    small = [*small[:-1], "--set", f"dataset.root={tmp_path / 'mini'}"]
    command = [
        *("make", "-o", ".venv/.ready", "demo", f"RUN={sys.executable}"),
        *(
            f"DEMO={tmp_path / 'demo'}",
            f"MINI={tmp_path / 'mini'}",
            f"SETTINGS={shlex.join(small)}",
        ),
        "MINI_OPTIONS=--train-videos 2 --val-videos 1 --seconds 8 --workers 1",
    ]
    first = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=400)
    assert first.returncode == 0, first.stderr
    for name in (
        "train/model.safetensors",
        "train/curves.png",
        "annotated_boxes/report.json",
        "detected_boxes/report.json",
    ):
        assert (tmp_path / "demo" / name).exists(), name
    assert "model.safetensors" in first.stdout
    assert ".mp4" in first.stdout
    again = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0, again.stderr
    assert "train_ava.py" not in again.stdout, "what stands is reused"


def test_the_users_command_says_what_is_missing(repository, run_tool, tmp_path):
    start = "python tools/train_ava.py --config x3d_m_ava.yaml"
    assert start in _commands(repository)
    done = run_tool(
        "train_ava.py", "--config", "x3d_m_ava.yaml", "--set", f"dataset.root={tmp_path}"
    )
    assert done.returncode == 1
    assert "6 of 6 files or folders are missing" in done.stderr


@pytest.mark.slow
def test_the_same_model_trains_on_the_generated_ava(repository, run_command, tiny_ava, tmp_path):
    start = "python tools/train_ava.py --config x3d_m_ava.yaml --set dataset="
    dataset, *options = _options(repository, start)
    done = run_command(
        "train_ava.py",
        *("--config", "x3d_m_ava.yaml", "--set", f"dataset={dataset}", *options),
        *("--set", f"dataset.root={tiny_ava}", "--set", "train.epochs=1"),
        *("--set", "clip.num_frames=2", "--set", "clip.train_crop=64"),
        *("--set", "clip.train_short_side=[64, 64]", "--set", "clip.eval_short_side=64"),
        *("--output-dir", tmp_path / "run"),
    )
    assert done.returncode == 0, done.stderr
    assert "X3D-M, 3,138,642 parameters" in done.stderr


def test_the_data_set_is_made_by_its_command(run_tool, tmp_path):
    options = ("--train-videos", 1, "--val-videos", 1, "--seconds", 6, "--workers", 1)
    done = run_tool("make_ava_mini.py", *options, "--output-dir", tmp_path / "mini")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mini" / "manifest.json").exists()


@pytest.mark.slow
def test_models_are_scored_and_annotations_drawn(
    repository, run_command, settings, trained, tiny_ava, tmp_path
):
    assert _options(repository, "python tools/evaluate_ava.py --config")[1] == "--checkpoint"
    scored = run_command(
        *("evaluate_ava.py", *settings, "--checkpoint", trained / "model.safetensors"),
        *("--output-dir", tmp_path / "scored"),
    )
    assert scored.returncode == 0, scored.stderr
    options = _options(repository, "python tools/visualize_ava.py")
    drawn = run_command(
        *("visualize_ava.py", *options, "--set", f"dataset.root={tiny_ava}"),
        *("--output-dir", tmp_path / "drawn"),
    )
    assert drawn.returncode == 0, drawn.stderr


def test_files_are_scored_without_a_model(repository, run_tool, shared_dir, tmp_path):
    options = _options(repository, "python tools/evaluate_ava.py --annotations")
    case = shared_dir / "ava" / "eval_cases" / "micro" / "m01_perfect"
    places = {"ava_val_v2.2.csv": case / "gt.csv", "pred.csv": case / "pred.csv"}
    given = [places.get(option, option) for option in ["--annotations", *options]]
    done = run_tool("evaluate_ava.py", *given, "--output-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"mAP": 1.0' in (tmp_path / "report.json").read_text()


def test_files_of_ava_are_listed(repository, run_tool, tmp_path):
    assert _options(repository, "python tools/prepare_ava.py") == ["--list"]
    mirror = make_mirror(tmp_path / "mirror")
    done = run_tool(
        *("prepare_ava.py", "--list", "--from", mirror, "--accept-changed"),
        *("--output-dir", tmp_path / "ava"),
    )
    assert done.returncode == 0, done.stderr
    assert "ava_val_v2.2.csv" in done.stdout


def test_a_data_set_is_checked(repository, run_tool, tiny_ava, tmp_path):
    options = _options(repository, "python tools/check_dataset.py")
    done = run_tool(
        *("check_dataset.py", *options, "--set", "dataset=ava_mini"),
        *("--set", f"dataset.root={tiny_ava}", "--output-dir", tmp_path),
    )
    assert done.returncode == 0, done.stdout
    assert "ava_mini is ready: no errors" in done.stdout
    assert (tmp_path / "statistics.png").exists()


@pytest.mark.slow
def test_persons_are_found_and_their_boxes_scored_and_converted(
    repository, run_command, tiny_ava, detector_weights, tmp_path
):
    assert _options(repository, "python tools/detect_persons.py") == ["clip.mp4"]
    film = next((tiny_ava / "videos").iterdir())
    found = run_command(
        *("detect_persons.py", film, "--detector", "torchvision", "--model", DETECTOR),
        *("--weights", detector_weights, "--short-side", 64, "--interval", 4),
        *("--output-dir", tmp_path / "persons"),
    )
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "persons" / "person_boxes.csv").exists()

    boxes = tiny_ava / "person_boxes" / "ava_mini_val_predicted_boxes.csv"
    options = _options(repository, "python tools/evaluate_persons.py")
    places = {
        "ava_val_v2.2.csv": tiny_ava / "annotations" / "ava_mini_val.csv",
        "person_boxes.csv": boxes,
    }
    scored = run_command(
        *("evaluate_persons.py", *[places.get(option, option) for option in options]),
        *("--output-dir", tmp_path / "scored"),
    )
    assert scored.returncode == 0, scored.stderr
    assert "AP@50 0." in scored.stdout

    assert _options(repository, "python tools/convert_annotations.py") == [
        "proposals.pkl",
        "boxes.csv",
    ]
    for source, target in ((boxes, tmp_path / "a.pkl"), (tmp_path / "a.pkl", tmp_path / "b.csv")):
        turned = run_command("convert_annotations.py", source, target)
        assert turned.returncode == 0, turned.stderr
    assert (tmp_path / "b.csv").read_bytes().count(b"\n") == boxes.read_bytes().count(b"\n")
