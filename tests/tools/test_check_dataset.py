"""`tools/check_dataset.py` as a user runs it."""

import importlib
import json

import pytest
from small_dataset import append, copy_dataset, make_small_dataset, overrides


@pytest.fixture(scope="module")
def pristine_set(tmp_path_factory):
    return make_small_dataset(tmp_path_factory.mktemp("pristine_set") / "set")


@pytest.fixture
def spoilt(pristine_set, tmp_path):
    """A copy that a test may spoil."""
    return copy_dataset(pristine_set, tmp_path / "set")


@pytest.fixture
def main(repository, monkeypatch):
    """The command's function, called in this process."""
    monkeypatch.syspath_prepend(str(repository / "tools"))
    return importlib.import_module("check_dataset").main


def _settings(root):
    options = ["--config", "x3d_m_ava"]
    for value in overrides(root):
        options += ["--set", value]
    return options


def test_a_good_data_set_is_ready(main, spoilt, tmp_path, capsys):
    assert main([*_settings(spoilt), "--output-dir", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "small is ready: no errors, 0 warnings, 0 notes"
    assert lines[-2] == f"wrote to {tmp_path / 'out'}: report.json, statistics.png"
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["report.json", "statistics.png"]


def test_errors_of_every_file_at_once_are_code_1(run_tool, spoilt, tmp_path):
    line = append(spoilt / "annotations_train.csv", "v0,0908,0.1,0.2,320,0.9,1,0")
    append(spoilt / "annotations_val.csv", "-v1,0959,0.1,0.2,0.3,0.9,1,0")
    (spoilt / "videos" / "v0.mp4").write_bytes(b"")
    (spoilt / "person_boxes_val.csv").unlink()
    done = run_tool(
        "check_dataset.py", *_settings(spoilt), "--full-decode", "--output-dir", tmp_path / "out"
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for text in (
        f"set/annotations_train.csv:{line}: x2 = 320 is outside [0, 1]",
        "set/annotations_val.csv:19: 1 of 7 annotated keyframes of video -v1 lie outside",
        "set/videos/v0.mp4: is empty (0 bytes)",
        "set/person_boxes_val.csv: the val person boxes are missing",
        "small is NOT ready: 4 errors, 0 warnings, 0 notes",
    ):
        assert text in done.stdout, done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["counts"]["error"] == 4
    assert report["videos"]["full_decode"] is True


def test_warnings_alone_are_code_0_unless_asked(main, spoilt, tmp_path, capsys):
    append(spoilt / "exclusions_val.csv", "-v1,0903")
    options = [*_settings(spoilt), "--no-videos", "--output-dir", str(tmp_path / "out")]
    assert main(options) == 0
    verdict = "is ready: no errors, 1 warning, 0 notes; its videos were not looked at"
    assert capsys.readouterr().out.endswith(f"{verdict}\n")
    assert main([*options, "--warnings-as-errors"]) == 1


def test_a_data_set_by_its_name_alone(main, capsys):
    assert main(["--dataset", "ava_mini", "--print-config"]) == 0
    assert "name: ava_mini" in capsys.readouterr().out
    assert main(["--dataset", "ava_mimi"]) == 1
    error = capsys.readouterr().err
    assert "--set dataset=ava_mimi: dataset: config ava_mimi not found" in error
    assert "There are: ava.yaml" in error


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "give --config, or --dataset, or both"),
        (["--dataset", "ava", "--no-videos", "--full-decode"], "leaves nothing to decode"),
        (["--dataset", "ava", "--workers", "0"], "0 is not a whole number 1 or more"),
        (["--dataset", "ava", "--timeout", "-3"], "-3 is not a number above 0"),
    ],
)
def test_wrong_usage_is_code_2(main, options, text, capsys):
    assert main(options) == 2
    assert text in capsys.readouterr().err


def test_mistakes_of_the_config_are_the_configs(main, capsys):
    assert main(["--config", "x3d_m_ava", "--set", "dataset.videso=x"]) == 1
    error = capsys.readouterr().err
    assert "dataset.videso is no setting; did you mean dataset.videos?" in error
