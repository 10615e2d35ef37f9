"""A data set of one's own: the template, what is chosen by itself, and what contradicts itself."""

import re
from pathlib import Path

import pytest
import yaml

from x3d_det.config import CONFIG_FOLDER, dump_config, load_config
from x3d_det.config.files import require_dataset_files
from x3d_det.errors import ConfigError, DataError

TEMPLATE = CONFIG_FOLDER / "datasets" / "own_example.yaml"
OPTION = re.compile(r"(?m)^# (?=\w+: )")


def _load(*overrides: str):
    return load_config("x3d_xs_own", overrides)


def _message(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        _load(*overrides)
    return str(caught.value)


def test_the_template_is_the_shortest_data_set_there_is():
    values = yaml.safe_load(TEMPLATE.read_text())
    assert values["train"] == {"annotations": "annotations/train.csv"}
    dataset = _load().dataset
    assert (dataset.video_start_seconds, dataset.num_classes, dataset.labels) == (0, None, "multi")
    assert dataset.keyframe_interval_seconds == 1


def test_every_option_that_the_template_offers_is_one(tmp_path: Path):
    text = TEMPLATE.read_text()
    offered = OPTION.findall(text)
    assert len(offered) == 8
    own = tmp_path / "own.yaml"
    own.write_text(OPTION.sub("", text))
    config = _load(f"dataset={own}")
    assert config.dataset.classes == ("walk", "run", 12)
    assert (config.dataset.fps, config.dataset.first_frame) == (25, 1)
    saved = tmp_path / "saved.yaml"
    saved.write_text(dump_config(config))
    assert load_config(saved) == config


@pytest.mark.parametrize(
    ("overrides", "rules"),
    [
        ((), "pyslowfast"),
        (("dataset.keyframe_interval_seconds=2",), "pyslowfast"),
        (("dataset.keyframe_interval_seconds=0.5",), "activitynet2020"),
        (("dataset.timestamps=frames", "dataset.fps=25"), "activitynet2020"),
        (
            ("dataset.timestamps=frames", "dataset.fps=25", "evaluation.rules=activitynet2019"),
            "activitynet2019",
        ),
    ],
)
def test_rules_that_know_the_keyframes_are_taken_where_none_are_written(overrides, rules):
    assert _load(*overrides).evaluation.rules == rules


def test_other_settings_of_the_evaluation_stay_when_rules_are_chosen():
    config = _load("dataset.keyframe_interval_seconds=0.5", "evaluation.batch_size=7")
    assert (config.evaluation.batch_size, config.evaluation.rules) == (7, "activitynet2020")


def test_written_rules_that_know_whole_seconds_only_are_named_before_training():
    message = _message("dataset.keyframe_interval_seconds=0.5", "evaluation.rules=pyslowfast")
    assert message.startswith("--set evaluation.rules=pyslowfast: evaluation.rules = pyslowfast")
    assert "keyframe_interval_seconds = 0.5; use evaluation.rules = activitynet2020" in message
    assert message.count("\n") == 0


def test_contradictions_of_a_data_set_come_with_file_and_line(tmp_path: Path):
    own = tmp_path / "own.yaml"
    lines = ["timestamps: frames", "first_frame: 1", "classes: []", "labels: single"]
    own.write_text(TEMPLATE.read_text() + "\n".join(lines) + "\n")
    first = len(TEMPLATE.read_text().splitlines()) + 1
    message = _message(f"dataset={own}", "boxes.include_negatives=true")
    assert f"own.yaml:{first}: dataset.timestamps = frames needs dataset.fps" in message
    assert f"own.yaml:{first + 2}: dataset.classes = [] leaves nothing to learn" in message
    assert "boxes.include_negatives = true trains on boxes without an action" in message


@pytest.mark.parametrize("setting", ["fps=25", "first_frame=1"])
def test_settings_of_frame_numbers_do_nothing_for_seconds(setting: str):
    text = f"dataset.{setting.replace('=', ' = ')} is for dataset.timestamps = frames"
    assert text in _message(f"dataset.{setting}")


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("dataset.timestamps=minutes", "dataset.timestamps = 'minutes'"),
        ("dataset.first_frame=2", "dataset.first_frame = 2"),
        ("dataset.keyframe_interval_seconds=0", "greater than 0"),
        ("dataset.classes=[1.5]", "dataset.classes"),
        ("dataset.labels=one", "dataset.labels = 'one'"),
        ("dataset.num_classes=0", "dataset.num_classes = 0"),
    ],
)
def test_values_that_are_none(override: str, reason: str):
    message = _message(override)
    assert message.startswith(f"--set {override}")
    assert reason in message


def test_missing_files_of_an_own_data_set_name_its_own_remedies(tmp_path: Path):
    config = _load(f"dataset.root={tmp_path}", "dataset.video_starts=starts.csv")
    with pytest.raises(DataError) as caught:
        require_dataset_files(config, ["train", "val"])
    message = str(caught.value)
    assert "data set my_clips: 5 of 5 files or folders are missing" in message
    assert "starts.csv" in message
    assert "docs/custom_dataset.md" in message
    assert "generated AVA" not in message
