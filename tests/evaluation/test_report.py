"""The report's words and files."""

import csv
import io
import json
import math

import pytest
from PIL import Image

from x3d_det.errors import X3DDetError
from x3d_det.evaluation import AvaReport, ClassResult, ReportCounts, write_report
from x3d_det.evaluation.chart import draw_class_bars
from x3d_det.io.label_map import ACTION_GROUPS


def _report(num_classes=12, mean_ap=0.5):
    classes = [
        ClassResult(n, f"action {n}", ACTION_GROUPS[n % 3], n / 100, 10 * n, 100, n)
        for n in range(1, num_classes + 1)
    ]
    classes.append(ClassResult(77, "never, seen", "", math.nan, 0, 5, 0))
    counts = dict.fromkeys(ReportCounts.__dataclass_fields__, 0)
    counts |= {"annotations": 1234, "annotated_keyframes": 1, "detections": 5678, "matched": 90}
    return AvaReport(
        rules="pyslowfast",
        mean_ap=mean_ap,
        classes=tuple(classes),
        group_means={"PERSON_MOVEMENT": 0.25},
        counts=ReportCounts(**counts),
        unknown_annotation_ids={},
        unknown_detection_ids={0: 7},
        notes=("something is odd",),
        files={"annotations": "gt.csv"},
    )


def test_summary_in_plain_words():
    assert _report().summary_lines() == [
        "frame-mAP at IoU 0.5: 0.5000 (rules pyslowfast; mean over 12 of 13 actions, those with "
        "annotations)",
        "by group: person movement 0.2500",
        "best: action 12 0.120 (120), action 11 0.110 (110), action 10 0.100 (100), "
        "action 9 0.090 (90), action 8 0.080 (80)",
        "worst: action 1 0.010 (10), action 2 0.020 (20), action 3 0.030 (30), "
        "action 4 0.040 (40), action 5 0.050 (50)",
        "1,234 annotations on 1 keyframe; 5,678 detections counted, 90 matched",
        "ignored: 7 detections of 1 action id that the label map does not have (0: 7)",
        "note: something is odd",
    ]


def test_short_and_undefined_summaries():
    lines = _report(3).summary_lines()
    assert lines[2] == "actions: action 3 0.030 (30), action 2 0.020 (20), action 1 0.010 (10)"
    assert "frame-mAP at IoU 0.5: not defined" in _report(0, math.nan).summary_lines()[0]


def test_files(tmp_path):
    paths = write_report(_report(), tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["report.json", "per_class.csv", "per_class.png"]
    content = json.loads(paths[0].read_text())
    assert content["mAP"] == 0.5
    assert content["per_class"]["12"] == 0.12
    assert content["per_class"]["77"] is None
    assert content["counts"]["matched"] == 90
    assert content["unknown_detection_ids"] == {"0": 7}
    assert content["summary"] == _report().summary_lines()
    rows = list(csv.DictReader(io.StringIO(paths[1].read_text())))
    assert rows[11] == {
        "action_id": "12",
        "name": "action 12",
        "group": "PERSON_MOVEMENT",
        "ap": "0.12",
        "annotations": "120",
        "detections": "100",
        "matched": "12",
    }
    assert (rows[12]["name"], rows[12]["ap"]) == ("never, seen", "")
    with Image.open(paths[2]) as image:
        assert image.format == "PNG"
        assert image.width == 1080


def test_undefined_map_is_null(tmp_path):
    paths = write_report(_report(0, math.nan), tmp_path)
    assert json.loads(paths[0].read_text())["mAP"] is None


def test_same_report_same_bytes(tmp_path):
    first = [path.read_bytes() for path in write_report(_report(), tmp_path / "a")]
    assert first == [path.read_bytes() for path in write_report(_report(), tmp_path / "b")]


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(X3DDetError, match=r"cannot write the report into .*file"):
        write_report(_report(), tmp_path / "file")


@pytest.mark.parametrize("number", [0, 1, 10, 60])
def test_chart_grows_with_the_number_of_bars(number):
    bars = [
        (f"action {n}", "PERSON_MOVEMENT" if n % 2 else "my group", n / 60, n)
        for n in range(number)
    ]
    with Image.open(io.BytesIO(draw_class_bars(bars, title="t", mean_ap=0.3))) as image:
        assert image.height == pytest.approx(120 * (1.5 + 0.21 * max(number, 4)), abs=1)
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert ((47, 109, 179) in colours) == (number > 1)  # person movement's blue
