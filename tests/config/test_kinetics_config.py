"""Configs of Kinetics: the published recipe, what they resolve to, every mistake with its line."""

from pathlib import Path

import pytest

from x3d_det.config import CONFIG_FOLDER, dump_config, load_config
from x3d_det.config.files import require_dataset_files
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.errors import ConfigError, DataError
from x3d_det.io.video_lists import VIDEO_EXTENSIONS, VIDEO_LIST_FORMS

SHIPPED = sorted(CONFIG_FOLDER.glob("x3d_*_kinetics*.yaml"))


def load(name: str | Path, *overrides: str) -> KineticsConfig:
    return load_config(name, overrides, KineticsConfig)


def message(name: str | Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(name, *overrides)
    return str(caught.value)


def test_every_size_has_a_config_for_every_kinetics():
    names = {
        f"x3d_{size}_kinetics{k}" for size in ("xs", "s", "m", "l", "xl") for k in (400, 600, 700)
    }
    assert {path.stem for path in SHIPPED} == names | {"x3d_xs_kinetics_mini"}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_config_loads_and_survives_a_round_trip(path, tmp_path):
    config = load(path)
    saved = tmp_path / "saved.yaml"
    saved.write_text(dump_config(config))
    assert load(saved) == config
    if "mini" not in path.stem:
        assert path.stem == f"x3d_{config.model.name}_{config.dataset.name}"
        assert config.dataset.name == f"kinetics{config.dataset.num_classes}"


@pytest.mark.parametrize(
    ("name", "clip", "short_side", "crop", "batch", "rate", "epochs"),
    [
        ("xs", (4, 12), (182, 228), 160, 128, 0.1, 300),
        ("s", (13, 6), (182, 228), 160, 128, 0.1, 300),
        ("m", (16, 5), (256, 320), 224, 128, 0.1, 300),
        ("l", (16, 5), (356, 446), 312, 64, 0.05, 256),
    ],
)
def test_the_recipe_is_pyslowfasts(name, clip, short_side, crop, batch, rate, epochs):
    """PySlowFast, configs/Kinetics/X3D_{XS,S,M,L}.yaml."""
    config = load(f"x3d_{name}_kinetics400")
    train = config.train
    assert (config.clip.num_frames, config.clip.sampling_stride) == clip
    assert (config.clip.train_short_side, config.clip.train_crop) == (short_side, crop)
    assert (train.batch_size, train.learning_rate, train.epochs) == (batch, rate, epochs)
    assert train.learning_rate * train.warmup_start_factor == pytest.approx(0.01)
    assert (train.warmup_epochs, train.weight_decay, train.momentum) == (35, 5e-5, 0.9)
    assert (train.schedule, train.precise_bn_batches) == ("cosine", 200)
    assert (train.label_smoothing, train.mixup_alpha, config.model.drop_path) == (0, 0, 0)
    assert config.model.dropout == 0.5


def test_kinetics_600_doubles_the_schedule_and_nothing_else():
    for size in ("xs", "s", "m", "l", "xl"):
        once, twice = load(f"x3d_{size}_kinetics400"), load(f"x3d_{size}_kinetics600")
        assert twice.train.epochs == 2 * once.train.epochs
        same = twice.train.model_copy(update={"epochs": once.train.epochs})
        assert (same, twice.clip, twice.model) == (once.train, once.clip, once.model)


@pytest.mark.parametrize(
    ("name", "one", "three"),
    [
        ("xs", (182, 160), 182),
        ("s", (182, 160), 182),
        ("m", (256, 224), 256),
        ("l", (356, 312), 356),
    ],
)
def test_the_test_crops_are_the_published_ones(name, one, three):
    assert load(f"x3d_{name}_kinetics400").evaluation_sizes_px == one
    config = load(f"x3d_{name}_kinetics400", "evaluation.num_crops=3")
    assert config.evaluation_sizes_px == (three, three)
    sized = ("evaluation.short_side=300", "evaluation.crop=280")
    assert load(f"x3d_{name}_kinetics400", *sized).evaluation_sizes_px == (300, 280)


def test_forms_and_endings_are_those_that_the_lists_know():
    dataset = load("x3d_m_kinetics400").dataset
    assert dataset.video_extensions == VIDEO_EXTENSIONS
    for form in VIDEO_LIST_FORMS:
        assert load("x3d_m_kinetics400", f"dataset.form={form}").dataset.form == form
    assert "'class_folders'" in message("x3d_m_kinetics400", "dataset.form=folders")


def test_the_generated_set_has_as_many_classes_as_its_config_says():
    from x3d_det.synthetic.kinetics_script import CLASS_NAMES

    assert load("x3d_xs_kinetics_mini").dataset.num_classes == len(CLASS_NAMES)


def test_the_demo_has_the_network_and_clips_of_the_demo_on_ava():
    ava, kinetics = load_config("x3d_xs_ava_mini"), load("x3d_xs_kinetics_mini")
    for name in ("name", "width_factor", "depth_factor", "bottleneck_factor"):
        assert getattr(ava.model, name) == getattr(kinetics.model, name)
    for name in ("num_frames", "sampling_stride", "fps", "train_crop", "mean", "std"):
        assert getattr(ava.clip, name) == getattr(kinetics.clip, name)


def test_a_misspelt_setting_is_named_with_its_line_and_the_nearest(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: x3d_m_kinetics400.yaml\ntrain:\n  mixup: 0.2\n")
    text = message(path)
    assert "mine.yaml:3: train.mixup is no setting; did you mean train.mixup_alpha?" in text
    assert message("x3d_m_kinetics400", "train.multigrid.shortcycle=true").endswith(
        "did you mean train.multigrid.short_cycle?"
    )


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["train.crops_per_video=3"], "train.crops_per_video = 3 times train.accumulate_steps = 1"),
        (["evaluation.crop=300"], "evaluation.crop = 300 is larger than the short side 256"),
        (["evaluation.test_crop=200"], "evaluation.test_crop = 200 is not used with"),
        (
            ["evaluation.crop=200", "evaluation.num_crops=3"],
            "evaluation.crop = 200 is not used with evaluation.num_crops = 3",
        ),
        (
            ["train.multigrid.short_cycle=false", "train.multigrid.long_cycle=false"],
            "train.multigrid has neither cycle",
        ),
        (["clip.train_crop=300"], "clip.train_crop = 300 is larger than the smallest short side"),
        (["train.schedule=steps"], "needs train.step_epochs"),
        (["model.drop_path=1.0"], "model.drop_path = 1.0: must be less than 1"),
        (["clip.rand_augment=31"], "clip.rand_augment = 31: must be less than or equal to 30"),
        (["evaluation.num_crops=2"], "evaluation.num_crops = 2: must be 1 or 3"),
    ],
)
def test_contradictions_and_ranges_are_named(overrides, text):
    assert text in message("x3d_m_kinetics400", *overrides)


def test_a_data_set_in_avas_form_is_refused_in_one_line():
    text = message("x3d_m_kinetics400", "dataset=ava_mini")
    assert text.startswith("--set dataset=ava_mini: dataset ava_mini has persons with actions")
    assert "\n" not in text


def test_missing_files_are_listed_with_the_ways_on(tmp_path):
    config = load("x3d_m_kinetics400", f"dataset.root={tmp_path}", "dataset.classes=names.txt")
    (tmp_path / "train.csv").write_text("a.mp4 0\n")
    with pytest.raises(DataError) as caught:
        require_dataset_files(config, ["train", "val"])
    text = str(caught.value)
    assert "3 of 4 files or folders are missing" in text
    assert "  names.txt\n  val.csv\n  videos\n" in text
    assert "as data/kinetics/README.md says" in text
    assert "make_kinetics_mini.py" in text


def test_a_tree_of_class_folders_needs_no_folder_of_videos(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
    folders = ("dataset.train.list=train", "dataset.val.list=val", f"dataset.root={tmp_path}")
    require_dataset_files(load("x3d_m_kinetics400", *folders), ["train", "val"])
    require_dataset_files(
        load("x3d_m_kinetics400", *folders, "dataset.form=class_folders"), ["val"]
    )


def test_the_generated_set_is_made_by_its_command(tmp_path):
    config = load("x3d_xs_kinetics_mini", f"dataset.root={tmp_path}")
    with pytest.raises(DataError, match=rf"tools/make_kinetics_mini\.py --output-dir {tmp_path}"):
        require_dataset_files(config, ["train"])
