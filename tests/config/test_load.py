"""Configs: what they resolve to, and every mistake with its file and line."""

import re
from pathlib import Path

import pytest

from x3d_det.config import CONFIG_FOLDER, dump_config, load_config
from x3d_det.errors import ConfigError

GOOD = """\
dataset: ava_mini
model:
  name: xs
clip:
  num_frames: 4
  sampling_stride: 12
  train_short_side: [128, 160]
  train_crop: 112
  eval_short_side: 128
train:
  batch_size: 8
  epochs: 2
  learning_rate: 0.1
"""


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return _write


def _message(path: Path, overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


def test_defaults_fill_what_a_config_leaves_out(write):
    config = load_config(write(GOOD))
    assert config.train.optimizer == "sgd"
    assert config.dataset.name == "ava_mini"
    assert config.dataset.video_start_seconds == 900.0


SHIPPED = sorted({*CONFIG_FOLDER.glob("x3d_*.yaml")} - {*CONFIG_FOLDER.glob("x3d_*_kinetics*")})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_config_loads_and_survives_a_round_trip(path, tmp_path):
    config = load_config(path)
    saved = tmp_path / "saved.yaml"
    saved.write_text(dump_config(config))
    assert load_config(saved) == config


def test_the_command_of_the_mission_finds_its_config_by_name():
    config = load_config("x3d_m_ava.yaml")
    assert (config.model.name, config.clip.num_frames, config.clip.sampling_stride) == ("m", 16, 5)
    # 1k of 14k warm-up steps are 4.86 of 68 epochs
    assert config.train.warmup_epochs == pytest.approx(68 * 1000 / 14000, abs=0.05)


def test_the_data_set_can_be_replaced_and_changed_from_the_command_line():
    assert load_config("x3d_m_ava", ["dataset=ava_mini"]).dataset.name == "ava_mini"
    changed = load_config("x3d_m_ava", ["dataset.root=/elsewhere", "dataset.num_classes=60"])
    assert (str(changed.dataset.root), changed.dataset.num_classes) == ("/elsewhere", 60)
    assert changed.dataset.train == load_config("x3d_m_ava").dataset.train


def test_a_file_may_build_on_one_other(write):
    write(GOOD, "below.yaml")
    path = write(f"base: {write(GOOD, 'below.yaml')}\ntrain:\n  epochs: 7\n")
    config = load_config(path)
    assert (config.train.epochs, config.train.batch_size) == (7, 8)


def test_a_circle_of_bases_ends(write, tmp_path):
    path = write(f"base: {tmp_path / 'config.yaml'}\n")
    assert "without a circle" in _message(path)


def test_all_mistakes_are_reported_at_once_with_their_lines(write):
    text = GOOD.replace("batch_size: 8", "batchsize: 8").replace("name: xs", "name: xxs")
    message = _message(write(text))
    assert re.search(r"config\.yaml:3: model\.name = 'xxs': must be 'x2d', 'xs'", message)
    assert re.search(
        r"config\.yaml:11: train\.batchsize is no setting; did you mean train\.batch_size\?",
        message,
    )
    assert "train.batch_size is missing" in message


@pytest.mark.parametrize(
    ("value", "meant"),
    [("1e-5", 1e-5), ("2.2e-1", 0.22), ("1E-2", 0.01), (".5e0", 0.5), ("2.e-1", 0.2)],
)
def test_numbers_with_an_exponent_are_numbers(write, value, meant):
    """YAML 1.1 reads most of these as text."""
    path = write(GOOD.replace("learning_rate: 0.1", f"learning_rate: {value}"))
    assert load_config(path).train.learning_rate == meant
    path = write(GOOD)
    assert load_config(path, (f"train.learning_rate={value}",)).train.learning_rate == meant


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("0777", "leading 0 as octal"),
        ("12:30", "base 60"),
        ("no", "truth value"),
        ("'0.1'", "valid number"),
        ("-1", "greater than 0"),
        (".nan", "finite number"),
        ("[1]", "valid number"),
    ],
)
def test_a_wrong_value_is_named_once(write, value, reason):
    path = write(GOOD.replace("learning_rate: 0.1", f"learning_rate: {value}"))
    message = _message(path)
    assert "config.yaml:13" in message
    assert reason in message
    assert message.count("\n") == 0


def test_contradictions_are_named(write):
    path = write(GOOD)
    message = _message(
        path, ("clip.train_crop=200", "train.accumulate_steps=3", "train.schedule=steps")
    )
    assert "--set clip.train_crop=200: clip.train_crop = 200 is larger than" in message
    assert "train.accumulate_steps = 3 does not divide train.batch_size = 8" in message
    assert "needs train.step_epochs" in message


def test_detected_boxes_need_their_file():
    message = _message(Path("x3d_m_ava.yaml"), ("dataset.val.person_boxes=null",))
    assert "dataset.val.person_boxes is not set" in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model: [unclosed\n", "config.yaml:2: not YAML"),
        ("- a\n- b\n", "a config is a mapping"),
        ("seed: 1\nseed: 2\n" + GOOD, "config.yaml:2: seed is set twice"),
        ("seed: !!python/object/apply:os.getcwd []\n" + GOOD, "config.yaml:1: seed"),
        ("a: &x 1\nb: *x\n", "anchors and aliases"),
        ("", "dataset is missing"),
    ],
)
def test_files_that_are_no_config(write, text, reason):
    assert reason in _message(write(text))


def test_text_that_is_not_utf8(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"seed: \xff\n")
    assert "not UTF-8" in _message(path)


def test_a_missing_config_lists_what_there_is():
    with pytest.raises(ConfigError, match=r"x3d_m_avaa.yaml not found.*did you mean x3d_m_ava"):
        load_config("x3d_m_avaa.yaml")


@pytest.mark.parametrize("override", ["train.epochs", "=3", "train..epochs=3"])
def test_an_override_must_be_key_equals_value(override):
    assert "write it as --set section.key=value" in _message(Path("x3d_m_ava"), (override,))


def test_a_misspelt_data_set_is_named(write):
    message = _message(write(GOOD.replace("ava_mini", "ava_mini2")))
    assert "config.yaml:1: dataset: config ava_mini2 not found" in message
    assert message.count("\n") == 0
