"""Whole trainings on clips with one label: exact resumes, the files left, what is refused."""

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch
from class_folders import CLASSES, make_class_folders, small_settings

from x3d_det.builders.kinetics import build_classifier, build_lists
from x3d_det.config import load_config
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.engine import World
from x3d_det.engine.step import StepRunner
from x3d_det.errors import CheckpointError, ConfigError, DataError, VideoError, X3DDetError
from x3d_det.io.weights import load_model, save_model
from x3d_det.runs.kinetics import counts_of_run, load_classifier, train_on_kinetics
from x3d_det.runs.start_weights import start_weights

# Everything random, everything averaged and the short cycle at once.
EVERYTHING = (
    "train.epochs=1",
    "train.batch_size=2",
    "train.crops_per_video=2",
    "train.label_smoothing=0.1",
    "train.mixup_alpha=0.2",
    "train.ema_decay=0.9",
    "train.precise_bn_batches=2",
    "train.multigrid.long_cycle=false",
    "train.multigrid.bn_base_size=2",
    "clip.train_crop=64",
    "clip.train_short_side=[64, 80]",
    "clip.rand_augment=9",
    "clip.color_jitter=0.4",
    "model.drop_path=0.5",
)
BOTH_CYCLES = (
    "train.batch_size=1",
    "clip.train_crop=64",
    "clip.train_short_side=[64, 80]",
    "clip.num_frames=8",
    "clip.sampling_stride=1",
    "train.epochs=8",
    "train.multigrid.bn_base_size=2",
)


class PowerCutError(BaseException):
    """Ends a run as a kill does: nothing is saved."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_class_folders(tmp_path_factory.mktemp("clips") / "set")


def config_of(root: Path, *further: str) -> KineticsConfig:
    return load_config("x3d_xs_kinetics_mini", small_settings(root, *further), KineticsConfig)


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no curves, which takes longer than these trainings; `trained` still has its picture."""
    monkeypatch.setattr("x3d_det.visualization.curves.plot_curves", lambda *_: None)


@pytest.fixture(scope="module")
def trained(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "plain"
    assert train_on_kinetics(config_of(clips), folder, resume=False).finished
    return folder


def _cut_before_step(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    run = StepRunner.run

    def run_or_die(self, step, *arguments, **options):
        if step == last:
            raise PowerCutError
        return run(self, step, *arguments, **options)

    monkeypatch.setattr(StepRunner, "run", run_or_die)


def _lines(folder: Path) -> list[dict]:
    timed = ("step_seconds", "data_seconds", "clips_per_second")
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name not in timed} for line in lines]


def test_a_killed_run_ends_in_the_same_bits(clips, tmp_path, monkeypatch):
    _compare_whole_and_cut(config_of(clips, *EVERYTHING), tmp_path, monkeypatch)


def test_precise_batch_norm_sees_no_clip_of_the_short_cycle(clips, tmp_path, monkeypatch):
    seen = []

    def note(model, batches, forward, **options):
        seen.extend(
            (tuple(batch.clips_BCTHW.shape), model.backbone.stem.norm.num_splits)
            for batch in batches
        )

    loop = import_module("x3d_det.engine.train")  # the package has a function of this name
    monkeypatch.setattr(loop, "recompute_batch_norms", note)
    train_on_kinetics(config_of(clips, *EVERYTHING), tmp_path, resume=False)
    # two crops of one video at the whole 64 px; in training 8, 4 and 2 clips of 32, 45 and 64
    assert set(seen) == {((2, 3, 2, 64, 64), 1)}


@pytest.mark.slow
def test_a_killed_run_on_all_grids_ends_in_the_same_bits(tmp_path, monkeypatch):
    root = make_class_folders(tmp_path / "set", train_per_class=6)
    _compare_whole_and_cut(config_of(root, *BOTH_CYCLES), tmp_path, monkeypatch)


def _compare_whole_and_cut(
    config: KineticsConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = train_on_kinetics(config, tmp_path / "whole", resume=False)
    with monkeypatch.context() as patch:
        _cut_before_step(patch, 3)  # one step after the checkpoint of step 2
        with pytest.raises(PowerCutError):
            train_on_kinetics(config, tmp_path / "cut", resume=False)
    assert train_on_kinetics(config, tmp_path / "cut", resume=True).finished
    whole, _ = load_model(tmp_path / "whole" / "model.safetensors")
    again, _ = load_model(tmp_path / "cut" / "model.safetensors")
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert _lines(tmp_path / "whole") == _lines(tmp_path / "cut")
    assert len(_lines(tmp_path / "whole")) == result.step > 3


def test_the_files_that_a_training_leaves(trained, clips):
    for name in ("config.yaml", "curves.png", "model.safetensors", "journal.jsonl"):
        assert (trained / name).stat().st_size > 0
    assert load_config(trained / "config.yaml", (), KineticsConfig) == config_of(clips)
    _, metadata = load_model(trained / "model.safetensors")
    assert metadata["format"] == "x3d_det classifier"
    assert json.loads(metadata["classes"]) == list(CLASSES)
    assert json.loads(metadata["normalisation"]) == {"mean": [0.45] * 3, "std": [0.225] * 3}
    assert json.loads(metadata["spec"])["crop_size"] == 32
    assert json.loads(metadata["config"])["dataset"]["num_classes"] == 3
    epochs = [json.loads(line) for line in (trained / "epochs.jsonl").read_text().splitlines()]
    assert set(epochs[-1]["metrics"]) == {"top1", "top5"}


def test_frames_beyond_short_videos_are_counted(clips, tmp_path):
    # two frames 0.8 s apart: every video is shorter, so each second frame is clamped
    config = config_of(clips, "clip.sampling_stride=24", "train.epochs=1")
    train_on_kinetics(config, tmp_path, resume=False)
    assert [line["clamped_frames"] for line in _lines(tmp_path)] == [4.0, 4.0]
    assert "shorter than their clips: 8" in counts_of_run(tmp_path)


def test_a_broken_video_is_replaced_in_training_named_and_counted(tmp_path, caplog):
    root = make_class_folders(tmp_path / "set")
    (root / "train" / "run" / "1.mp4").write_bytes(b"no video")
    config = config_of(root, "train.batch_size=3", "train.epochs=1")  # each of 9 videos once
    with caplog.at_level("WARNING", "x3d_det"):
        train_on_kinetics(config, tmp_path / "run", resume=False)
    warnings = [text for text in caplog.messages if text.startswith("broken video")]
    assert len(warnings) == 1
    assert "run/1.mp4" in warnings[0]
    assert "stands in" in warnings[0]
    assert "broken videos replaced: 1 times" in counts_of_run(tmp_path / "run")
    none = config_of(root, "train.batch_size=3", "train.max_broken_videos=0")
    with pytest.raises(DataError, match=r"run/1\.mp4"):
        train_on_kinetics(none, tmp_path / "none", resume=False)


def test_a_broken_video_ends_an_evaluation(tmp_path):
    root = make_class_folders(tmp_path / "set")
    (root / "val" / "run" / "0.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"run/0\.mp4"):
        train_on_kinetics(config_of(root), tmp_path / "run", resume=False)


def test_a_resume_with_another_list_is_refused(trained, clips, tmp_path):
    other = make_class_folders(tmp_path / "set", train_per_class=4)
    with pytest.raises(X3DDetError, match="training_list"):
        train_on_kinetics(config_of(other), trained, resume=True)


def test_classes_that_disagree_with_the_config_are_named(clips):
    with pytest.raises(DataError, match=r"train has 3 classes.*num_classes is 5.*num_classes=3"):
        build_lists(config_of(clips, "dataset.num_classes=5"), ("train", "val"))


def test_more_clips_a_step_than_videos_are_refused(clips, tmp_path):
    with pytest.raises(DataError, match=r"9 videos, fewer than the 16.*train\.batch_size = 16"):
        train_on_kinetics(config_of(clips, "train.batch_size=16"), tmp_path, resume=False)


def test_a_checkpoint_is_loaded_as_it_was_trained(trained, clips):
    config = config_of(clips)
    model = load_classifier(config, trained / "model.safetensors", CLASSES)
    state, _ = load_model(trained / "model.safetensors")
    assert not model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("overrides", "classes", "text"),
    [
        ((), ("jump", "run"), "3 classes apart, and data set kinetics_mini has 2"),
        ((), ("jump", "walk", "run"), "class 1 is 'run' there and 'walk' in the data set"),
        (("clip.mean=[0.5, 0.5, 0.5]",), CLASSES, r"clip\.mean = \[0\.45.*--set clip\.mean='\["),
        (("model.depth_factor=1.0",), CLASSES, "model.safetensors"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(trained, clips, overrides, classes, text):
    with pytest.raises(CheckpointError, match=text):
        load_classifier(config_of(clips, *overrides), trained / "model.safetensors", classes)


def test_new_classes_start_from_the_other_weights(trained, clips, caplog):
    config = config_of(clips)
    model = build_classifier(config)
    fresh = model.head.projection.weight.clone()
    with caplog.at_level("INFO", "x3d_det"):
        start_weights(
            model, str(trained / "model.safetensors"), World(), class_names=("a", "b", "c")
        )
    state, _ = load_model(trained / "model.safetensors")
    assert torch.equal(model.head.projection.weight, fresh)
    assert torch.equal(model.backbone.stem.conv_xy.weight, state["backbone.stem.conv_xy.weight"])
    assert "weights matched" in caplog.text


def test_a_detector_starts_from_kinetics(trained, clips, tmp_path, caplog):
    from x3d_det.builders.ava import build_model

    config = load_config(
        "x3d_xs_ava_mini", ["model.depth_factor=0.2", f"pretrained={trained}/model.safetensors"]
    )
    model = build_model(config)
    with caplog.at_level("INFO", "x3d_det"):
        start_weights(model, config.pretrained, World())
    state, _ = load_model(trained / "model.safetensors")
    own = model.state_dict()
    backbone = [name for name in state if name.startswith("backbone.")]
    assert all(torch.equal(own[name], state[name]) for name in backbone)
    assert f"{len(backbone)} weights matched" in caplog.text

    # and its weights are no classifier
    path = tmp_path / "detector.safetensors"
    save_model(path, own, {"format": "x3d_det action detector"})
    with pytest.raises(CheckpointError, match="holds a detector and no classifier"):
        load_classifier(config_of(clips), path, CLASSES)


def test_a_resume_needs_no_more_of_what_it_started_from(trained, clips, tmp_path, monkeypatch):
    start = tmp_path / "start.safetensors"
    start.write_bytes((trained / "model.safetensors").read_bytes())
    config = config_of(clips, f"pretrained={start}")
    with monkeypatch.context() as patch:
        _cut_before_step(patch, 3)
        with pytest.raises(PowerCutError):
            train_on_kinetics(config, tmp_path / "run", resume=False)
    start.unlink()
    assert train_on_kinetics(config, tmp_path / "run", resume=True).finished


def test_weights_that_are_nowhere_are_named(clips):
    with pytest.raises(X3DDetError, match="x3d_m_kinetics4000"):
        start_weights(build_classifier(config_of(clips)), "x3d_m_kinetics4000", World())


def test_a_config_of_the_other_kind_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="whole clips with one label each") as caught:
        load_config("x3d_m_kinetics400")
    assert "\n" not in str(caught.value)
