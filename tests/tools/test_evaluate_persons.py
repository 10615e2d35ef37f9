"""tools/evaluate_persons.py as a user runs it."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def main(repository: Path):
    """The command's `main`: most tests need no process of its own."""
    path = repository / "tools" / "evaluate_persons.py"
    spec = importlib.util.spec_from_file_location("evaluate_persons", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    truth, boxes = tmp_path / "gt.csv", tmp_path / "boxes.csv"
    truth.write_text("-v,0902,0.1,0.1,0.5,0.9,12,0\n-v,0902,0.1,0.1,0.5,0.9,80,0\n")
    boxes.write_text("-v,0902,0.1,0.1,0.5,0.9,,0.63\n-v,0903,0.1,0.1,0.5,0.9,,0.9\n")
    return ["--annotations", str(truth), "--boxes", str(boxes)]


def test_two_files(run_tool, files, tmp_path):
    done = run_tool("evaluate_persons.py", *files, "--output-dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("AP@50 1.0000, AP@75 1.0000, AP@[.5:.95] 1.0000 (COCO's rules")
    assert "at most 100 boxes a keyframe" in lines[0]
    assert "recall 0.0000 (0 of 1 person found), precision not defined (0 of 0 boxes" in lines[1]
    assert "note: no box has a score of 0.8 or more; the highest is 0.63" in done.stdout
    assert lines[-1] == f"wrote to {tmp_path / 'out'}: report.json, precision_recall.png"
    assert done.stderr == "scoring 2 boxes with pycocotools\n"
    assert json.loads((tmp_path / "out/report.json").read_text())["files"]["boxes"] == files[3]


def test_options(main, files, tmp_path, capsys):
    out = ["--output-dir", str(tmp_path / "out")]
    assert main([*files, *out, "--threshold", "0.6", "--count-unannotated"]) == 0
    text = capsys.readouterr().out
    assert "at score >= 0.6 and IoU 0.5: recall 1.0000 (1 of 1 person found), precision 0.5" in text
    assert "counted as false: 1 box on 1 keyframe that are not annotated" in text
    (tmp_path / "ex.csv").write_text("-v,0902\n")
    assert main([*files, *out, "--exclusions", str(tmp_path / "ex.csv")]) == 0
    assert "note: AP is not defined: no annotated person counts" in capsys.readouterr().out


def test_the_files_of_a_config(main, tiny_ava, tmp_path, capsys):
    options = ["--config", "x3d_xs_ava_mini.yaml", "--set", f"dataset.root={tiny_ava}"]
    options += ["--output-dir", str(tmp_path / "out")]
    assert main([*options, "--split", "train"]) == 0
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["files"]["boxes"].endswith("ava_mini_train_predicted_boxes.csv")
    assert report["files"]["exclusions"].endswith("ava_mini_train_excluded_timestamps.csv")
    assert report["score_threshold"] == 0.8
    assert 0.5 < report["AP50"] <= 1
    capsys.readouterr()
    # the annotated boxes themselves as person boxes: nothing is better
    truth = (tiny_ava / "annotations/ava_mini_val.csv").read_text().splitlines()
    perfect = tmp_path / "perfect.csv"
    perfect.write_text("".join(",".join(row.split(",")[:6]) + ",,0.9\n" for row in truth))
    assert main([*options, "--boxes", str(perfect)]) == 0
    assert capsys.readouterr().out.startswith("AP@50 1.0000, AP@75 1.0000, AP@[.5:.95] 1.0000")
    assert main([*options, "--print-config"]) == 0
    assert "person_boxes: person_boxes/ava_mini_val" in capsys.readouterr().out


def test_wrong_usage(main, files, capsys):
    for options in (
        [],
        files[:2],
        files[2:],
        [*files, "--config", "x3d_xs_ava_mini.yaml"],
    ):
        assert main(options) == 2
        assert "give either --config, or --annotations and --boxes" in capsys.readouterr().err
    for value in ("1.5", "nan", "high"):
        assert main([*files, "--threshold", value]) == 2
        assert f"{value} is not a number from 0 to 1" in capsys.readouterr().err


def test_bad_files(main, files, tiny_ava, tmp_path, capsys):
    out = ["--output-dir", str(tmp_path / "out")]
    Path(files[3]).write_text("-v,0902,34,25,136,225,,0.9\n")
    assert main([*files, *out]) == 1
    assert "boxes.csv:1: x1 = 34" in capsys.readouterr().err
    copied = shutil.copytree(tiny_ava, tmp_path / "copied")
    (copied / "person_boxes/ava_mini_val_predicted_boxes.csv").unlink()
    options = ["--config", "x3d_xs_ava_mini.yaml", "--set", f"dataset.root={copied}", *out]
    assert main(options) == 1
    text = capsys.readouterr().err
    assert f"data set ava_mini lacks {copied}/person_boxes/ava_mini_val_predicted_boxes.csv" in text
    assert "--set dataset.root=DIR" in text
    assert main([*options, "--set", "dataset.val.person_boxes=null"]) == 1
    text = capsys.readouterr().err
    assert "data set ava_mini has no dataset.val.person_boxes; give a file of boxes with" in text
    assert not list((tmp_path / "out").glob("*"))
