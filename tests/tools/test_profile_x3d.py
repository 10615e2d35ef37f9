"""tools/profile_x3d.py as a user runs it."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def main(repository: Path) -> Callable[[list[str]], int]:
    path = repository / "tools" / "profile_x3d.py"
    spec = importlib.util.spec_from_file_location("profile_x3d", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.mark.slow
def test_a_quick_profile(main, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    code = main(
        [
            "--models", "xs", "--kinds", "detector", "--sizes", "32x64", "--boxes", "2",
            "--devices", "cpu", "--precision", "float32", "--seconds", "0", "--max-batch", "1",
            "--threads", "1", "--output-dir", str(tmp_path / "out"),
        ]
    )  # fmt: skip
    captured = capfd.readouterr()  # of the measuring processes as well
    assert code == 0, captured.err
    lines = captured.out.splitlines()
    assert lines[0] == "# What X3D costs"
    assert "## Detectors on cpu" in lines
    rows = [line for line in lines if line.startswith("| XS | 4 x 32 x 64 | float32 |")]
    assert [row.split(" | ")[3] for row in rows] == ["x3d_det, fused", "x3d_det, as trained"]
    assert lines[-1] == f"wrote to {tmp_path / 'out'}: profile.json, profile.md, accuracy_cost.png"
    assert "Traceback" not in captured.err
    content = json.loads((tmp_path / "out" / "profile.json").read_text())
    assert [row["num_boxes"] for row in content["rows"]] == [2, 2]
    assert content["failures"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--models", "xm"], 1, "'xm' is no model"),
        (["--kinds", "clasifier"], 1, "did you mean classifier?"),
        (["--sizes", "256"], 2, "256 is no size; write HEIGHTxWIDTH"),
        (["--sizes", "16x256"], 1, "size 16x256: a side must have 32 pixels or more"),
        (["--boxes", "-1"], 2, "-1 is not a whole number 0 or more"),
        (["--max-batch", "0"], 2, "0 is not a whole number 1 or more"),
        (["--seconds", "nan"], 2, "nan is not a number 0 or more"),
        (["--precision", "half"], 1, "'half' is no precision"),
        (["--devices", "gpu9"], 1, "device 'gpu9' is not here; this machine has cpu"),
        (["--output-dir", "f/x"], 1, "output folder f/x cannot be written to"),
    ],
)
def test_faults(main, arguments, code, expected, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").touch()
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert expected in captured.err
    assert captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
