"""One full train, evaluate, draw through the commands themselves."""

import json
from pathlib import Path

import av
import pandas as pd
import pytest
from safetensors.torch import load_file

from x3d_det.io.weights import load_model


def test_training_leaves_what_it_names(trained: Path):
    for name in ("model.safetensors", "journal.jsonl", "epochs.jsonl", "curves.png", "config.yaml"):
        assert (trained / name).stat().st_size > 0, name
    steps = [json.loads(line) for line in (trained / "journal.jsonl").read_text().splitlines()]
    assert [line["step"] for line in steps] == list(range(1, len(steps) + 1))
    _, metadata = load_model(trained / "model.safetensors")
    assert json.loads(metadata["config"])["model"]["name"] == "xs"


def test_a_model_is_scored_and_drawn(trained, settings, run_tool, tmp_path):
    done = run_tool(
        "evaluate_ava.py",
        *settings,
        "--checkpoint",
        trained / "model.safetensors",
        "--output-dir",
        tmp_path / "scored",
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "scored" / "report.json").read_text())
    epochs = (trained / "epochs.jsonl").read_text().splitlines()
    assert report["mAP"] == json.loads(epochs[-1])["metrics"]["mAP"], "as the training measured it"
    detections = tmp_path / "scored" / "detections.csv"

    # The same rows, read back from the file, score the same to the last bit.
    again = run_tool(
        "evaluate_ava.py",
        *("--annotations", _annotations(settings), "--detections", detections),
        *("--label-map", _root(settings) / "annotations" / "ava_mini_action_list.pbtxt"),
        *("--exclusions", _root(settings) / "annotations/ava_mini_val_excluded_timestamps.csv"),
        *("--output-dir", tmp_path / "again"),
    )
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "again" / "report.json").read_text())["mAP"] == report["mAP"]

    drawn = run_tool(
        "visualize_ava.py",
        *settings,
        *("--detections", detections, "--contact-sheet", "--output-dir", tmp_path / "drawn"),
    )
    assert drawn.returncode == 0, drawn.stderr
    videos = list((tmp_path / "drawn").glob("*.mp4"))
    assert len(videos) == 1
    assert list((tmp_path / "drawn").glob("*.png"))
    with av.open(str(videos[0])) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


def _root(settings: list[str]) -> Path:
    return Path(settings[-1].removeprefix("dataset.root="))


def _annotations(settings: list[str]) -> Path:
    return _root(settings) / "annotations" / "ava_mini_val.csv"


@pytest.mark.slow
def test_two_processes_score_as_one_in_every_bit(trained, settings, run_command, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    results = []
    for name, prefix in (("one", ()), ("two", launcher)):
        done = run_command(
            "evaluate_ava.py",
            *settings,
            *("--set", "boxes.evaluate=detected", "--set", "evaluation.batch_size=2"),
            *("--checkpoint", trained / "model.safetensors", "--output-dir", tmp_path / name),
            launcher=prefix,
        )
        assert done.returncode == 0, done.stderr
        results.append(tmp_path / name)
    one, two = results
    assert (one / "detections.csv").read_bytes() == (two / "detections.csv").read_bytes()
    assert (one / "report.json").read_text() == (two / "report.json").read_text()


@pytest.mark.slow
def test_two_processes_train(settings, run_command, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    done = run_command(
        "train_ava.py",
        *settings,
        *("--set", "train.epochs=1", "--output-dir", tmp_path / "run"),
        launcher=launcher,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_in_the_same_weights(trained, settings, run_command, tmp_path):
    """Steps 1 to 4 come from a checkpoint; the rest, decoding included, is done anew."""
    folder = tmp_path / "resumed"
    folder.mkdir()
    checkpoints = sorted(trained.glob("step_*.pt"))
    for name in ("journal.jsonl", "epochs.jsonl"):
        (folder / name).write_bytes((trained / name).read_bytes())
    (folder / checkpoints[0].name).write_bytes(checkpoints[0].read_bytes())
    done = run_command("train_ava.py", *settings, "--resume", "--output-dir", folder)
    assert done.returncode == 0, done.stderr
    before, after = (load_file(place / "model.safetensors") for place in (trained, folder))
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)
    assert len(checkpoints) >= 2
    assert (folder / checkpoints[-1].name).exists()


@pytest.mark.slow
def test_real_clips_go_through_the_whole_path(trained, settings, run_command, shared_dir, tmp_path):
    """Boxes from a csv, scores of the model, a drawn video: on a film scene and a short sign."""
    root = tmp_path / "clips"
    (root / "annotations").mkdir(parents=True)
    for name, seconds in (("chaplin", range(2, 9)), ("bedroom", range(1, 6))):
        with (root / "annotations" / "boxes.csv").open("a") as file:
            for second in seconds:
                file.write(f"{name},{second:04d},0.25,0.10,0.50,0.95,12,0\n")
                file.write(f"{name},{second:04d},0.50,0.15,0.75,0.95,14,1\n")
    options = [*settings]
    for setting in (
        f"dataset.root={root}",
        f"dataset.videos={shared_dir / 'clips'}",
        "dataset.video_start_seconds=0",
        f"dataset.label_map={_root(settings)}/annotations/ava_mini_action_list.pbtxt",
        "dataset.val.annotations=annotations/boxes.csv",
        "dataset.val.exclusions=null",
        "boxes.evaluate=annotated",
    ):
        options += ["--set", setting]
    checkpoint = trained / "model.safetensors"
    scored = run_command(
        "evaluate_ava.py", *options, "--checkpoint", checkpoint, "--output-dir", tmp_path / "scored"
    )
    assert scored.returncode == 0, scored.stderr
    rows = pd.read_csv(tmp_path / "scored" / "detections.csv", header=None)
    assert len(rows) == 24 * 17, "12 keyframes, two boxes, 17 actions"
    drawn = run_command(
        "visualize_ava.py",
        *options,
        *("--detections", tmp_path / "scored" / "detections.csv", "--score-threshold", "0.01"),
        *("--output-dir", tmp_path / "drawn"),
    )
    assert drawn.returncode == 0, drawn.stderr
    assert {path.stem for path in (tmp_path / "drawn").glob("*.mp4")} >= {"chaplin", "bedroom"}


@pytest.mark.slow
def test_views_and_thresholds_are_options_of_the_command(trained, settings, run_command, tmp_path):
    command = ("evaluate_ava.py", *settings, "--checkpoint", trained / "model.safetensors")
    viewed = run_command(
        *command,
        *("--set", "evaluation.flip=true", "--set", "evaluation.short_sides=[64, 96]"),
        *("--output-dir", tmp_path / "viewed"),
    )
    assert viewed.returncode == 0, viewed.stderr
    assert "view 4 of 4: 96 px, mirrored" in viewed.stderr
    assert (tmp_path / "viewed" / "report.html").stat().st_size > 50_000  # pictures inside
    swept = run_command(
        *command,
        *("--set", "boxes.evaluate=detected", "--sweep-thresholds", "0.3,1"),
        *("--output-dir", tmp_path / "swept"),
    )
    assert swept.returncode == 0, swept.stderr
    sweep = json.loads((tmp_path / "swept" / "threshold_sweep.json").read_text())
    assert [row["threshold"] for row in sweep["thresholds"]] == [0.3, 1.0]
    assert sweep["thresholds"][0]["num_boxes"] > 0
    assert sweep["thresholds"][1]["num_boxes"] == 0  # no detector is ever that sure
    refused = run_command(
        *command, "--sweep-thresholds", "0.3,high", "--output-dir", tmp_path / "no"
    )
    assert refused.returncode == 2
    assert "'0.3,high': write person scores as" in refused.stderr
