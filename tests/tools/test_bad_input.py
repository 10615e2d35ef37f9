"""What a user can get wrong ends in one clear error, exit code 1, and nothing lost."""

import shutil
from pathlib import Path

import pytest

TOOLS = sorted(path.name for path in (Path(__file__).parents[2] / "tools").glob("*.py"))


@pytest.fixture
def copied(tiny_ava: Path, tmp_path: Path) -> Path:
    """A copy of the tiny set that a test may spoil."""
    return shutil.copytree(tiny_ava, tmp_path / "spoilt")


def _train(run_tool, settings, root: Path, output: Path):
    return run_tool(
        "train_ava.py", *settings, "--set", f"dataset.root={root}", "--output-dir", output
    )


def _expect(done, *texts: str) -> None:
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    for text in texts:
        assert text in done.stderr, done.stderr


def _spoil(path: Path, line: int, old: str, new: str) -> None:
    lines = path.read_text().splitlines(keepends=True)
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    path.write_text("".join(lines))


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        (2, "nan", "nan"),
        (2, "1.5", "1.5"),
        (4, "0.000", "x2"),
        (6, "99", "99"),
        (1, "seven", "seven"),
        (None, None, "columns"),
    ],
    ids=["nan", "outside", "upside-down", "unknown-action", "no-number", "columns"],
)
def test_every_fault_of_a_csv_has_its_line(
    run_tool, settings, copied, tmp_path, column, value, found
):
    path = copied / "annotations" / "ava_mini_train.csv"
    lines = path.read_text().splitlines()
    cells = lines[4].split(",")
    if column is None:
        cells = cells[:5]
    else:
        cells[column] = value
    lines[4] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    _expect(_train(run_tool, settings, copied, tmp_path / "out"), "ava_mini_train.csv:5", found)


def test_a_missing_video_is_named_before_training(run_tool, settings, copied, tmp_path):
    video_id = (copied / "annotations" / "ava_mini_train.csv").read_text().split(",")[0]
    (copied / "videos" / f"{video_id}.mp4").unlink()
    done = _train(run_tool, settings, copied, tmp_path / "out")
    _expect(done, "1 of 2 videos are missing", video_id)
    assert not list((tmp_path / "out").glob("step_*.pt"))


def test_a_truncated_video_is_named(run_tool, settings, copied, tmp_path):
    video_id = (copied / "annotations" / "ava_mini_train.csv").read_text().split(",")[0]
    path = copied / "videos" / f"{video_id}.mp4"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _expect(_train(run_tool, settings, copied, tmp_path / "out"), path.name)


def test_a_second_outside_the_video_is_named(run_tool, settings, copied, tmp_path):
    path = copied / "annotations" / "ava_mini_train.csv"
    path.write_text(path.read_text().replace(",0902,", ",1702,"))
    _expect(_train(run_tool, settings, copied, tmp_path / "out"), "802", "outside")


def test_a_label_map_that_disagrees_is_named(run_tool, settings, copied, tmp_path):
    path = copied / "annotations" / "ava_mini_action_list.pbtxt"
    path.write_text(path.read_text() + 'item {\n  name: "teleport"\n  id: 81\n}\n')
    done = _train(run_tool, settings, copied, tmp_path / "out")
    _expect(done, "action id 81 (teleport)", "num_classes = 80")


def test_a_model_of_another_label_map_is_refused(trained, run_tool, settings, copied, tmp_path):
    path = copied / "annotations" / "ava_mini_action_list.pbtxt"
    path.write_text(path.read_text().replace('"walk"', '"stroll"'))
    done = run_tool(
        "evaluate_ava.py",
        *settings,
        *("--set", f"dataset.root={copied}", "--checkpoint", trained / "model.safetensors"),
        *("--output-dir", tmp_path / "out"),
    )
    _expect(done, "action id 14 is 'walk' there and 'stroll'")


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_checkpoint_is_refused(trained, run_tool, settings, tmp_path, damage):
    data = bytearray((trained / "model.safetensors").read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    else:
        data[len(data) // 2] ^= 1
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    done = run_tool(
        "evaluate_ava.py", *settings, "--checkpoint", path, "--output-dir", tmp_path / "out"
    )
    _expect(done, str(path), "damaged")


def test_a_checkpoint_of_another_size_is_refused(trained, run_tool, settings, tmp_path):
    done = run_tool(
        "evaluate_ava.py",
        *settings,
        *("--set", "model.depth_factor=1.0", "--checkpoint", trained / "model.safetensors"),
        *("--output-dir", tmp_path / "out"),
    )
    _expect(done, "model.depth_factor = 0.5", "the config has 1.0")


def test_a_misspelt_setting_is_named(run_tool, tmp_path):
    done = run_tool(
        "train_ava.py", "--config", "x3d_m_ava", "--set", "train.batchsize=2", "--print-config"
    )
    _expect(done, "train.batchsize is no setting; did you mean train.batch_size?")


def test_a_file_as_output_folder_is_refused(run_tool, settings, tmp_path):
    (tmp_path / "file").touch()
    done = run_tool("train_ava.py", *settings, "--output-dir", tmp_path / "file")
    _expect(done, "cannot be written to")


def test_a_second_run_into_the_same_folder_is_refused(trained, run_tool, settings):
    before = (trained / "journal.jsonl").read_bytes()
    _expect(run_tool("train_ava.py", *settings, "--output-dir", trained), "--resume")
    assert (trained / "journal.jsonl").read_bytes() == before


@pytest.mark.parametrize("tool", TOOLS)
def test_wrong_usage_is_code_2_and_help_code_0(run_tool, run_command, tool):
    done = run_command(tool, "--no-such-option")
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {tool} ")
    done = run_tool(tool, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: {tool} ")
