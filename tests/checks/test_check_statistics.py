"""The numbers of a data set, counted by hand, and their picture."""

import io
import json
import math

import pytest
from PIL import Image
from small_dataset import ACTIONS, append, check, edit

from x3d_det.checks.chart import draw_statistics
from x3d_det.io.label_map import LabelMap


def test_numbers_worked_by_hand(tables):
    append(tables / "annotations_train.csv", "v0,0909", "v0,0910,0.1,0.2,0.3,0.9,1,0")
    edit(tables / "person_boxes_train.csv", 1, "0.9\n", "0.4\n")
    edit(tables / "person_boxes_train.csv", 2, "0.9\n", "0.45\n")
    append(tables / "person_boxes_train.csv", "v0,0911,0.1,0.2,0.3,0.9,,1.0")
    train, val = check(tables).splits
    assert (train.num_videos, train.num_keyframes, train.num_empty_keyframes) == (1, 7, 1)
    assert train.num_excluded_keyframes == 1
    assert (train.num_rows, train.num_boxes) == (19, 13)
    assert train.persons_per_keyframe == {0: 1, 1: 1, 2: 6}
    assert train.labels_per_box == {1: 7, 2: 6}
    assert train.labels_per_class == {1: 7, 2: 6, 3: 6}
    assert train.seconds_per_video == {"v0": (902.0, 910.0, 8)}
    # All boxes are 0.7 high; 0.9 - 0.2 falls just below the edge between two bins.
    assert sum(train.height_histogram) == 13
    assert train.height_histogram[13] + train.height_histogram[14] == 13
    assert train.area_quantiles[0] == pytest.approx(0.2 * 0.7)
    detected = train.detected
    assert (detected.num_boxes, detected.num_above_threshold) == (13, 11)
    assert detected.highest_score == 1.0
    assert (detected.score_histogram[8], detected.score_histogram[9]) == (1, 1)
    assert detected.score_histogram[-1] == 1  # 1.0 belongs to the last bin
    assert detected.num_annotated_without == 2  # seconds 902 and 910
    assert detected.num_without_annotation == 1  # second 911
    assert detected.recall == pytest.approx(10 / 13)
    assert (val.num_rows, val.num_boxes, val.detected.recall) == (18, 12, 1.0)


def test_report_as_text_and_json(tables, tmp_path):
    for second in range(902, 906):
        append(tables / "annotations_val.csv", f"-v1,{second},0.1,0.2,1.5,0.4,1,0")
    report = check(tables)
    lines = report.lines(num_shown=3)
    assert lines[0] == "data set small in set"
    assert "val: 1 videos, 6 keyframes with persons, 0 named empty, 1 excluded" in lines
    assert "  coordinates outside the frame (4)" in lines
    assert "    and 1 more, in report.json" in lines
    assert lines[-1] == "small is NOT ready: 4 errors, 0 warnings, 0 notes"
    files = report.write(tmp_path)
    assert [path.name for path in files] == ["report.json", "statistics.png"]
    values = json.loads(files[0].read_text())
    assert values["counts"] == {"error": 4, "warning": 0, "note": 0}
    assert [finding["line"] for finding in values["findings"]] == [19, 20, 21, 22]
    assert values["findings"][0]["path"] == "set/annotations_val.csv"
    assert values["splits"][1]["labels_per_class"] == {"1": 6, "2": 6, "3": 6}
    assert values["classes"] == {str(number): name for number, name in ACTIONS.items()}


def test_numbers_of_empty_tables(tables, tmp_path):
    for name in ("annotations", "person_boxes"):
        (tables / f"{name}_val.csv").write_text("")
    (tables / "annotations_train.csv").unlink()
    report = check(tables)
    assert [split.num_boxes for split in report.splits] == [0, 0]
    assert math.isnan(report.splits[1].area_quantiles[1])
    assert math.isnan(report.splits[1].detected.recall)
    assert "val: 0 videos, 0 keyframes with persons" in " ".join(report.lines())
    values = json.loads(report.write(tmp_path)[0].read_text())
    assert values["splits"][1]["detected"]["recall"] is None


def _picture(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png))
    picture.load()
    return picture


def test_the_picture_grows_with_the_classes_and_is_the_same_each_time(tables):
    report = check(tables)
    few = draw_statistics(report.splits, label_map=report.label_map, title="small")
    assert few == draw_statistics(report.splits, label_map=report.label_map, title="small")
    names = {number: f"action {number}" for number in range(1, 81)}
    many = draw_statistics(report.splits, label_map=LabelMap(names), title="small")
    assert _picture(many).width == _picture(few).width
    assert _picture(many).height > 1.3 * _picture(few).height


def test_the_picture_has_the_colours_of_both_splits(tables):
    report = check(tables)
    drawn = _picture(draw_statistics(report.splits, label_map=None, title="small")).convert("RGB")
    colours = {colour for _, colour in drawn.getcolors(1 << 20)}
    assert {(0x2F, 0x6D, 0xB3), (0xE0, 0x8A, 0x2B)} <= colours


def test_a_picture_of_nothing(tables):
    for name in ("train", "val"):
        (tables / f"annotations_{name}.csv").write_text("")
        (tables / f"person_boxes_{name}.csv").unlink()
    report = check(tables)
    assert _picture(draw_statistics(report.splits, label_map=None, title="none")).height > 500
    assert _picture(draw_statistics([], label_map=None, title="none")).height > 500
