"""Missing data sets are explained before anything heavy is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from x3d_det.config import load_config
from x3d_det.config.files import dataset_root, require_dataset_files
from x3d_det.errors import DataError


def test_a_relative_root_starts_at_the_repository(repository: Path):
    assert dataset_root(load_config("x3d_m_ava").dataset) == repository / "data" / "ava"
    absolute = load_config("x3d_m_ava", ["dataset.root=/somewhere"])
    assert dataset_root(absolute.dataset) == Path("/somewhere")


def test_every_missing_file_is_named_with_both_ways_on(tmp_path: Path):
    config = load_config("x3d_m_ava", [f"dataset.root={tmp_path}"])
    (tmp_path / "videos").mkdir()
    with pytest.raises(DataError) as caught:
        require_dataset_files(config, ["train", "val"])
    message = str(caught.value)
    assert f"5 of 6 files or folders are missing in {tmp_path}" in message
    for name in ("ava_train_v2.2.csv", "ava_val_v2.2.csv", "ava_val_predicted_boxes.csv"):
        assert name in message
    assert "train_predicted_boxes" not in message, "annotated boxes are trained on"
    assert "--set dataset.root=DIR" in message
    assert "--set dataset=ava_mini" in message


def test_only_what_is_used_is_asked_for(tmp_path: Path):
    config = load_config("x3d_m_ava", [f"dataset.root={tmp_path}", "boxes.evaluate=annotated"])
    (tmp_path / "annotations").mkdir()
    (tmp_path / "videos").mkdir()
    for name in (
        "ava_val_v2.2.csv",
        "ava_val_excluded_timestamps_v2.2.csv",
        "ava_action_list_v2.2_for_activitynet_2019.pbtxt",
    ):
        (tmp_path / "annotations" / name).touch()
    require_dataset_files(config, ["val"])


def test_a_generated_data_set_names_its_command(tmp_path: Path):
    config = load_config("x3d_m_ava", ["dataset=ava_mini", f"dataset.root={tmp_path}"])
    with pytest.raises(DataError, match=r"python tools/make_ava_mini\.py --output-dir"):
        require_dataset_files(config, ["train"])


def test_the_users_command_answers_before_torch_is_loaded(repository: Path, tmp_path: Path):
    code = (
        "import sys; sys.path.insert(0, 'tools'); import train_ava; "
        f"code = train_ava.main(['--config=x3d_m_ava.yaml', '--set=dataset.root={tmp_path}']);"
        "assert 'torch' not in sys.modules; assert 'pandas' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ava_train_v2.2.csv" in done.stderr
    assert "Traceback" not in done.stderr
