"""The commands of docs/tubes.md: from an annotation pickle to a data set, and to numbers."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import yaml
from tube_cases import annotations, random_case, tube, write_pickle
from video_files import HEIGHT, WIDTH, make_video

from x3d_det.config.schema import DatasetConfig
from x3d_det.formats.tube_files import TUBE_DATASETS

# As small as X3D gets: the numbers come from the boxes, not from what is learnt.
_SMALL = [
    "model.depth_factor=0.5",
    "clip.num_frames=2",
    "clip.train_short_side=[64, 72]",
    "clip.train_crop=64",
    "clip.eval_short_side=64",
    "train.epochs=1",
    "train.evaluate_every_epochs=1",
    "num_threads=1",
]


@pytest.fixture
def gt(tmp_path: Path) -> Path:
    return write_pickle(tmp_path / "gt.pkl", annotations())


def test_prepared_annotations_score_one(run_tool, tmp_path, gt):
    """The written val csv, with scores, is a file of perfect detections."""
    videos = tmp_path / "films" / "deep"
    videos.mkdir(parents=True)
    for name in ("a.avi", "b.mp4"):
        (videos / name).write_bytes(b"film")
    done = run_tool(
        "prepare_tubes.py", gt, "--dataset", "jhmdb21", "--videos", tmp_path / "films",
        "--output-dir", tmp_path / "set",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "test: 1 videos, 3 keyframes with persons, 1 without, 3 boxes" in done.stdout
    assert (tmp_path / "set/videos/b.mp4").read_bytes() == b"film"
    text = done.stdout.split(".yaml\n")[1].split("\nwrote")[0]
    config = DatasetConfig.model_validate(yaml.safe_load(text))
    assert (config.name, config.num_classes) == ("jhmdb21", 2)

    rows = (tmp_path / "set/annotations/jhmdb21_split1_val.csv").read_text().splitlines()
    perfect = [",".join([*row.split(",")[:7], "0.9"]) for row in rows if row.count(",") > 1]
    (tmp_path / "det.csv").write_text("\n".join(perfect) + "\n")
    done = run_tool(
        "evaluate_tubes.py", "--annotations", gt, "--rules", "jhmdb", "--detections",
        tmp_path / "det.csv", "--output-dir", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out/report.json").read_text())
    # `run` has no test annotation and counts as 0 by ACT's rules; `swim` is perfect
    assert report["means"]["frame-mAP@0.5"] == 0.5
    assert report["means"]["video-mAP@0.75"] == 0.5
    assert "video-mAP@0.50:0.95 50.00" in done.stdout
    assert "1 of 2 classes have no annotation in this split; each counts as 0" in done.stdout
    assert "video_map.png, tubes.json" in done.stdout

    again = run_tool(
        "evaluate_tubes.py", "--annotations", gt, "--rules", "jhmdb", "--tubes",
        tmp_path / "out/tubes.json", "--output-dir", tmp_path / "again",
    )  # fmt: skip
    means = json.loads((tmp_path / "again/report.json").read_text())["means"]
    assert means == {k: v for k, v in report["means"].items() if k.startswith("video")}, (
        again.stderr
    )


def test_files_of_multisports(run_tool, tmp_path):
    content, frames, tubes = random_case(0)
    paths = [
        write_pickle(tmp_path / f"{name}.pkl", value)
        for name, value in (("gt", content), ("frames", frames), ("tubes", tubes))
    ]
    done = run_tool(
        "evaluate_tubes.py", "--annotations", paths[0], "--rules", "multisports",
        "--detections", paths[1], "--tubes", paths[2], "--output-dir", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    means = json.loads((tmp_path / "out/report.json").read_text())["means"]
    assert means["frame-mAP@0.5"] == pytest.approx(0.4391959534431967, abs=1e-12)
    assert means["video-mAP@0.2"] == pytest.approx(0.45727852394519064, abs=1e-12)
    assert "video-mAP@0.05:0.45" in means
    assert not (tmp_path / "out/tubes.json").exists()


def test_boxes_of_training_videos_are_counted_and_left_out(run_tool, tmp_path, gt):
    (tmp_path / "det.csv").write_text("a,0001,0,0,1,1,1,0.9\nb,0002,0.05,0.2,0.15,0.6,2,0.9\n")
    done = run_tool(
        "evaluate_tubes.py", "--annotations", gt, "--rules", "ucf101", "--detections",
        tmp_path / "det.csv", "--timestamps", "frames", "--output-dir", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 of 2 boxes are on videos that are no test videos of split 1" in done.stdout
    rows = (tmp_path / "out/per_class.csv").read_text().splitlines()
    assert rows[2].startswith("swim,3,1,")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "give --detections, --tubes, or both"),
        (["--tubes", "none.json"], 1, "error: cannot read none.json"),
        (["--tubes", "none.json", "--split", "3"], 1, "has no split 3; it has 1"),
        (["--tubes", "x", "--tube-nms", "2"], 2, "2 is not a number from 0 to 1"),
        (["--tubes", "x", "--fps", "0"], 2, "0 is not a number above 0"),
        (["--tubes", "x", "--max-gap", "0"], 2, "0 is not a whole number 1 or more"),
    ],
)
def test_mistakes_end_in_one_line(repository, tmp_path, capsys, gt, options, code, message):
    main = runpy.run_path(str(repository / "tools/evaluate_tubes.py"))["main"]
    given = ["--annotations", str(gt), "--rules", "jhmdb", *options]
    assert main([*given, "--output-dir", str(tmp_path / "out")]) == code
    assert message in capsys.readouterr().err


def test_missing_videos_are_named_before_anything_is_written(run_tool, tmp_path, gt):
    (tmp_path / "films").mkdir()
    done = run_tool(
        "prepare_tubes.py", gt, "--dataset", "jhmdb21", "--videos", tmp_path / "films",
        "--output-dir", tmp_path / "set",
    )  # fmt: skip
    assert done.returncode == 1
    assert "lacks 2 of 2 videos, as 'park/a'" in done.stderr
    assert not (tmp_path / "set").exists()


def test_folders_of_frames_are_linked_and_named_in_the_yaml(run_tool, tmp_path, gt):
    for name in ("park/a", "pool/b"):
        (tmp_path / "Frames" / name).mkdir(parents=True)
        (tmp_path / "Frames" / name / "00001.png").write_bytes(b"frame")
    done = run_tool(
        "prepare_tubes.py", gt, "--dataset", "jhmdb21", "--frames", tmp_path / "Frames",
        "--output-dir", tmp_path / "set",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "set/frames/a/00001.png").read_bytes() == b"frame"
    text = done.stdout.split(".yaml\n")[1].split("\nwrote")[0]
    frames = DatasetConfig.model_validate(yaml.safe_load(text)).frames
    assert frames is not None
    assert (str(frames.folder), frames.template, frames.fps) == ("frames", "{index:05d}.png", 30)


@pytest.mark.parametrize("name", list(TUBE_DATASETS))
def test_configs_are_what_the_tool_prints(repository, name):
    content = yaml.safe_load((repository / f"configs/datasets/{name}.yaml").read_text())
    config = DatasetConfig.model_validate(content)
    dataset = TUBE_DATASETS[name]
    assert config.keyframe_interval_seconds == pytest.approx(1 / dataset.fps, abs=1e-6)
    assert str(config.root) == f"data/{name}"
    assert str(config.val.annotations) == f"annotations/{name}_split1_val.csv"
    assert config.labels == dataset.labels
    assert np.isclose(config.video_start_seconds, 0)


@pytest.mark.slow
def test_from_pickle_and_films_to_trained_numbers(run_command, tmp_path):
    """The way of docs/tubes.md: prepare, train, evaluate, score the tubes of every frame."""
    videos = [f"swim/{name}" for name in ("a", "b")]
    track = tube(1, *[(4.0 + frame, 8, 24.0 + frame, 40) for frame in range(6)])
    content = {
        "labels": ["run", "swim"],
        "gttubes": {video: {1: [track]} for video in videos},
        "nframes": dict.fromkeys(videos, 8),
        "resolution": dict.fromkeys(videos, (HEIGHT, WIDTH)),
        "train_videos": [videos[:1]],
        "test_videos": [videos[1:]],
    }
    gt = write_pickle(tmp_path / "gt.pkl", content)
    (tmp_path / "films").mkdir()
    for video in videos:
        make_video(tmp_path / "films" / f"{video[5:]}.mp4", num_frames=8, fps=30)
    done = run_command(
        "prepare_tubes.py", gt, "--dataset", "jhmdb21", "--videos", tmp_path / "films",
        "--output-dir", tmp_path / "set",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    settings = ["dataset=jhmdb21", f"dataset.root={tmp_path / 'set'}", "dataset.num_classes=2"]
    options = ["--config", "x3d_xs_ava_mini.yaml"]
    for setting in [*settings, *_SMALL]:
        options += ["--set", setting]
    done = run_command("train_ava.py", *options, "--output-dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    done = run_command(
        "evaluate_ava.py", *options, "--checkpoint", tmp_path / "run/model.safetensors",
        "--output-dir", tmp_path / "ava",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = run_command(
        "evaluate_tubes.py", "--annotations", gt, "--rules", "jhmdb", "--detections",
        tmp_path / "ava/detections.csv", "--output-dir", tmp_path / "tubes",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    means = json.loads((tmp_path / "tubes/report.json").read_text())["means"]
    # The boxes are annotated ones, so `swim` is found whole; `run` has no annotation: 0.
    assert means["frame-mAP@0.5"] == 0.5
    assert means["video-mAP@0.75"] == 0.5
