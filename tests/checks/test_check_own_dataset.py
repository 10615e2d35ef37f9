"""The check knows what a data set of one's own says: starts, frame numbers, classes, one label."""

from pathlib import Path

import pytest
from small_dataset import append, check, edit, found, make_small_dataset, make_tables

FRAMES = ("dataset.timestamps=frames", "dataset.fps=100")
VAL = "annotations_val.csv"


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Tables without videos; `v0` has the label 1 and 2 on one box."""
    return make_tables(tmp_path / "small")


def _errors(report, kind: str) -> list[str]:
    return [str(f) for f in found(report, kind) if f.severity == "error"]


def test_each_video_is_held_against_its_own_start(tmp_path):
    root = make_small_dataset(tmp_path / "small")
    (root / "starts.csv").write_text("v0,950\n")
    report = check(root, "dataset.video_starts=starts.csv", with_videos=True, num_workers=1)
    (text,) = _errors(report, "outside_video")
    assert "video v0 lie outside its file, which shows seconds 950 to 960.0 of the film" in text
    assert "or its row in dataset.video_starts, which has 950" in text
    assert _errors(report, "video_start") == [], "the start of all others is right"
    (root / "starts.csv").write_text("v0,900\n")
    other = ("dataset.video_starts=starts.csv", "dataset.video_start_seconds=901")
    assert check(root, *other, with_videos=True, num_workers=1).counts["error"] == 0


def test_frame_numbers_become_seconds_of_the_film(tmp_path):
    root = make_small_dataset(tmp_path / "small")
    # frames 902 to 908 at 100 a second are seconds 9.02 to 9.08 of a file of 10 s
    report = check(root, *FRAMES, with_videos=True, num_workers=1)
    assert report.counts["error"] == 0, report.lines()
    (warning,) = found(report, "frame_number")
    assert "2 of 2 videos have another rate: -v1 at 10, v0 at 10" in warning.text
    assert warning.severity == "warning"
    report = check(root, "dataset.timestamps=frames", "dataset.fps=10", with_videos=True)
    assert "v0 lie outside its file" in _errors(report, "outside_video")[0]
    assert found(report, "frame_number") == []


def test_what_numbers_no_frame_is_named_and_left_out(tables):
    line = append(tables / VAL, "-v1,910.5,0.1,0.2,0.3,0.9,1,0")
    (text,) = _errors(check(tables, *FRAMES), "frame_number")
    assert f"{VAL}:{line}: 910.5 numbers no frame" in text


def test_a_list_of_starts_with_a_fault(tables):
    (tables / "starts.csv").write_text("v0,900\nv0,2\n")
    (text,) = _errors(check(tables, "dataset.video_starts=starts.csv"), "video_start")
    assert "starts.csv:2: video v0 has a start already" in text


def test_two_actions_where_one_is_allowed(tables):
    texts = _errors(check(tables, "dataset.labels=single"), "single_label")
    assert len(texts) == 12
    assert f"{VAL}:2: the box has the action jump and, in line 1, wave" in texts[-6]
    subset = check(tables, "dataset.labels=single", "dataset.classes=[wave, sit down]")
    assert subset.counts["error"] == 0


def test_a_class_that_there_is_not(tables):
    report = check(tables, "dataset.classes=[waves]")
    (text,) = _errors(report, "label_map")
    assert "'waves' is no class of" in text
    assert "did you mean wave?" in text


def test_the_label_map_says_how_many_classes_there_are(tables):
    edit(tables / VAL, 1, ",1,0", ",4,0")
    (text,) = _errors(check(tables, "dataset.num_classes=null"), "unknown_action")
    assert "action id 4 is above dataset.num_classes = 3" in text
