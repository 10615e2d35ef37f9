"""Every fault of the tables: put into a good data set, found with file, line, value and remedy."""

import pickle

import numpy as np
import pandas as pd
import pytest
from small_dataset import append, check, edit, found

from x3d_det.checks.boxes import near_pairs
from x3d_det.checks.findings import MAX_LISTED, Finding, listed
from x3d_det.checks.keyframes import overlap
from x3d_det.checks.tables import SplitFiles, read_split
from x3d_det.errors import DataError
from x3d_det.io.ava_checks import FAULT_KINDS, RowFaults
from x3d_det.io.ava_csv import check_annotations, check_exclusions, check_proposals

TRAIN, VAL = "annotations_train.csv", "annotations_val.csv"
BOXES, EXCLUDED, MAP = "person_boxes_val.csv", "exclusions_val.csv", "label_map.pbtxt"


def _one(report, kind, place, *texts, severity="error"):
    """Assert that there is exactly one finding of a kind, here, with these texts."""
    findings = found(report, kind)
    assert len(findings) == 1, [str(finding) for finding in report.findings]
    finding = findings[0]
    assert finding.severity == severity
    assert str(finding).startswith(f"set/{place}: "), str(finding)
    for text in texts:
        assert text in finding.text, finding.text


def test_a_good_data_set_has_no_finding(tables):
    report = check(tables)
    assert report.findings == []
    assert report.verdict == (
        "small is ready: no errors, 0 warnings, 0 notes; its videos were not looked at"
    )


# Files


def test_files_that_are_missing_or_no_files(tables):
    (tables / TRAIN).unlink()
    (tables / MAP).unlink()
    (tables / BOXES).unlink()
    (tables / BOXES).mkdir()
    (tables / "person_boxes_train.csv").unlink()
    report = check(tables)
    texts = {f.path: (f.severity, f.text) for f in found(report, "missing_file")}
    assert texts[f"set/{TRAIN}"][0] == "error"
    assert texts[f"set/{TRAIN}"][1].startswith("the train annotations are missing; put the file")
    assert texts[f"set/{BOXES}"] == (
        "error",
        "the val person boxes should be here, but this is no regular file; name a file.",
    )
    assert texts["set/person_boxes_train.csv"] == (
        "warning",
        "the train person boxes are missing; this config does not need them.",
    )
    assert texts[f"set/{MAP}"][1].startswith("the label map is missing")


@pytest.mark.parametrize(
    ("kind", "line", "content", "text"),
    [
        ("empty_file", 1, b"", "the file is empty; it must hold annotations"),
        ("encoding", 1, b"\xef\xbb\xbf%s", "begins with a byte order mark; save it as UTF-8"),
        ("encoding", 2, b"%sv\xe90,0903\n", "byte 0xe9 in column 2 is not UTF-8"),
        ("header", 1, b"video,second,x1,y1,x2,y2,action,person\n%s", "AVA files have none; remove"),
    ],
)
def test_faults_of_a_whole_file(tables, kind, line, content, text):
    row = b"v0,0902,0.1,0.2,0.3,0.4,1,0\n"
    (tables / TRAIN).write_bytes(content.replace(b"%s", row))
    _one(check(tables), kind, f"{TRAIN}:{line}", text)


def test_a_file_that_cannot_be_unpacked(tables):
    (tables / "cut.csv.gz").write_bytes(b"\x1f\x8b no gzip")
    report = check(tables, "dataset.train.annotations=cut.csv.gz")
    finding = found(report, "unreadable_file")[0]
    assert finding.path == "set/cut.csv.gz"
    assert "cannot be unpacked" in finding.text


def test_windows_line_ends_are_no_fault(tables):
    for path in tables.glob("*.csv"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert check(tables).findings == []


# Rows

ROWS = {
    "columns": ("v0,0902,0.1,0.2,0.3,0.4", "has 6 columns", "2 or 7 or 8"),
    "quotes": ('"v0",0902,0.1,0.2,0.3,0.4,1,0', "double quotes", "without quotes"),
    "number": ("v0,0902,0.1,nan,0.3,0.4,1,0", "y1 is nan", "finite"),
    "second": ("v0,-1,0.1,0.2,0.3,0.4,1,0", "the second -1 is negative"),
    "coordinate": ("v0,0902,12,0.2,0.3,0.4,1,0", "x1 = 12 is outside [0, 1]", "divide pixels"),
    "box": ("v0,0902,0.1,0.5,0.3,0.4,1,0", "y2 = 0.4 is not above y1 = 0.5", "swap or remove"),
    "action_id": ("v0,0902,0.1,0.2,0.3,0.4,0,0", "action id 0 is below 1", "add 1"),
    "person_id": ("v0,0902,0.1,0.2,0.3,0.4,1,3_", "the person id is '3_'", "whole number"),
    "video_id": ("../v0,0902,0.1,0.2,0.3,0.4,1,0", "'../v0' holds a slash", "bare file name"),
    "repeated_row": ("v0,0902,0.1,0.2,0.3,0.9,1,0", "repeats line 1", "remove one"),
}


@pytest.mark.parametrize("kind", ROWS)
def test_each_fault_of_a_row(tables, kind):
    row, *texts = ROWS[kind]
    line = append(tables / TRAIN, row)
    report = check(tables)
    findings = found(report, kind)
    assert {str(f).split(": ")[0] for f in findings} == {f"set/{TRAIN}:{line}"}
    assert all(any(text in f.text for f in findings) for text in texts), findings
    # The rows without a fault are counted all the same.
    assert report.splits[0].num_rows == 18


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("a\0b,0902,0.1,0.2,0.3,0.4,1,0", "video_id"),
        ("/v0,0902,0.1,0.2,0.3,0.4,1,0", "video_id"),
        ("a\\b,0902,0.1,0.2,0.3,0.4,1,0", "video_id"),
        ("v0\t0902\t0.1\t0.2\t0.3\t0.4\t1\t0", "columns"),
        ("v0,0902,0.1,0.2,0.3,0.4,1,0,7", "columns"),
        ("v0,0902,0.1,0.2,inf,0.4,1,0", "number"),
        ("v0,0902,0.1,0.2,x,0.4,1,0", "number"),
        ("v0,0902,0.3,0.2,0.3,0.4,1,0", "box"),
    ],
)
def test_more_faults_of_a_row(tables, row, kind):
    line = append(tables / TRAIN, row)
    assert any(f.line == line for f in found(check(tables), kind))


def test_all_faults_of_all_files_at_once(tables):
    places = {
        TRAIN: append(tables / TRAIN, "v0,0902,0.1,0.2,1.5,0.4,1,0"),
        VAL: append(tables / VAL, "-v1,0902,0.1,0.2,nan,0.4,1,0"),
        BOXES: append(tables / BOXES, "-v1,0902,0.1,0.2,0.3,0.4,,1.5"),
        EXCLUDED: append(tables / EXCLUDED, "-v1,x"),
    }
    report = check(tables)
    for name, line in places.items():
        assert any(
            f.severity == "error" and (f.path, f.line) == (f"set/{name}", line)
            for f in report.findings
        )
    assert report.counts["error"] == 4


def test_faults_of_person_boxes_are_warnings_where_they_are_not_used(tables):
    line = append(tables / "person_boxes_train.csv", "v0,0902,0.1,0.2,0.3,0.4,,1.5")
    place = f"person_boxes_train.csv:{line}"
    _one(check(tables), "score", place, "the score 1.5 is outside", severity="warning")
    report = check(tables, "boxes.train=annotated_and_detected")
    _one(report, "score", place, "the score 1.5 is outside")


def test_many_faults_are_counted_and_the_first_kept(tables, monkeypatch):
    monkeypatch.setattr(RowFaults, "MAX_LISTED", 5)
    append(tables / TRAIN, *["v0,0902,0.1,0.2,1.5,0.4,1,0"] * 9)
    findings = found(check(tables), "coordinate")
    assert [finding.line for finding in findings] == [19, 20, 21, 22, 23, 23]
    assert findings[-1].text == "and 4 more of this kind from here on."
    assert sum(finding.count for finding in findings) == 9


def test_readers_return_good_rows_and_the_faults(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("v,1,0,0,1,1,5,0\nv,2,0,0,2,1,5,x\nv,3\nv,4,0,0,1,1,5,0\n")
    annotations, faults = check_annotations(path)
    assert annotations.rows["line"].tolist() == [1, 4]
    assert annotations.empty_keyframes["line"].tolist() == [3]
    assert [(f.line, f.kind) for f in faults.listed] == [(2, "coordinate"), (2, "person_id")]
    assert str(faults.listed[0]).startswith(f"{path}:2: x2 = 2 is outside [0, 1]")
    assert faults.number == 2
    assert set(faults.counts) <= set(FAULT_KINDS)
    path.write_text("v,1,0,0,1,1,,0.5\nv,1,0,0,1,1,3,0.7\nv,2,0,0,1,1,3,7\n")
    rows, faults = check_proposals(path)
    assert rows[["score", "line"]].to_numpy().tolist() == [[0.7, 1]]
    assert [fault.kind for fault in faults.listed] == ["score"]
    path.write_text("v,1\nv,x\n")
    rows, faults = check_exclusions(path)
    assert rows["line"].tolist() == [1]
    assert [fault.line for fault in faults.listed] == [2]
    with pytest.raises(DataError, match="cannot read"):
        check_annotations(tmp_path / "none.csv")


def test_whole_numbers_are_decimal(tables):
    # Found by the fuzzer: arrow's own reading of whole numbers takes hexadecimal ones too.
    line = append(tables / TRAIN, "v0,0908,0.1,0.2,0.3,0.9,0x1,0")
    _one(check(tables), "number", f"{TRAIN}:{line}", "the action id is '0x1'; it must be a whole")
    path = tables / "person_boxes_train.csv"
    line = append(path, "v0,0908,0.1,0.2,0.3,0.9,0x1,0.9")
    assert found(check(tables), "number")[1].text.startswith("the label is '0x1'")


# Boxes


def test_boxes_that_are_almost_equal(tables):
    line = append(tables / TRAIN, "v0,0902,0.101,0.200,0.300,0.900,3,5")
    _one(
        check(tables),
        "near_duplicate",
        f"{TRAIN}:{line}",
        "the box 0.101, 0.2, 0.3, 0.9 of v0,0902 is within 0.001 of 0.1, 0.2, 0.3, 0.9 in line 1",
        "give both rows the same corners",
        severity="warning",
    )


def test_predicted_boxes_that_are_almost_equal(tables):
    line = append(tables / BOXES, "-v1,0902,0.1004,0.2,0.3,0.9,,0.95")
    _one(check(tables), "near_duplicate", f"{BOXES}:{line}", "0.1004", severity="warning")


def test_near_pairs_equal_slow_loops():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 4, (120, 4)) * 0.0006 + [0.1, 0.1, 0.5, 0.5]
    boxes = pd.DataFrame(corners, columns=["x1", "y1", "x2", "y2"])
    boxes["keyframe"] = rng.integers(0, 6, 120)
    boxes = boxes.drop_duplicates(ignore_index=True)
    rows = boxes.to_numpy().tolist()
    expected = {
        (a, b)
        for a, first in enumerate(rows)
        for b, second in enumerate(rows)
        if a < b
        and first[4] == second[4]
        and all(abs(x - y) <= 0.001 for x, y in zip(first[:4], second[:4], strict=True))
    }
    assert {tuple(pair) for pair in near_pairs(boxes).tolist()} == expected
    assert len(expected) > 30
    assert near_pairs(boxes.iloc[:0]).shape == (0, 2)


def test_one_box_with_two_person_ids(tables):
    line = append(tables / TRAIN, "v0,0902,0.1,0.2,0.3,0.9,3,7")
    _one(
        check(tables),
        "two_persons",
        f"{TRAIN}:{line}",
        "person id 7 has the box 0.1, 0.2, 0.3, 0.9 of v0,0902, which is person 0's in line 1",
        severity="warning",
    )


def test_one_person_with_two_boxes_on_a_keyframe(tables):
    line = append(tables / TRAIN, "v0,0903,0.3,0.1,0.9,0.8,3,1")
    _one(
        check(tables),
        "person_twice",
        f"{TRAIN}:{line}",
        "person 1 of v0,0903 has the box 0.3, 0.1, 0.9, 0.8 here and another in line 6",
        severity="warning",
    )


def test_files_without_person_ids_have_no_such_faults(tables):
    for name in (TRAIN, VAL):
        lines = (tables / name).read_text().splitlines()
        (tables / name).write_text("".join(f"{line.rsplit(',', 1)[0]}\n" for line in lines))
    assert check(tables).findings == []


# Keyframes


def test_excluded_keyframes_that_do_not_fit(tables):
    append(tables / EXCLUDED, "-v1,0903", "-v1,0908", "other,0902")
    findings = found(check(tables), "exclusion")
    assert [(f.severity, f.path, f.line) for f in findings] == [
        ("warning", f"set/{EXCLUDED}", line) for line in (2, 3, 4)
    ]
    assert f"-v1,0903 is excluded but annotated (set/{VAL}:4)" in findings[0].text
    assert findings[1].text == "-v1,0908 was excluded above; remove one of the lines."
    assert "video other (1 rows) is in no other file" in findings[2].text


def test_keyframes_both_empty_and_annotated(tables):
    line = append(tables / TRAIN, "v0,0907", "v0,0909")
    _one(
        check(tables),
        "empty_keyframe",
        f"{TRAIN}:{line}",
        "v0,0907 is named as empty here, but has boxes from line 16 on",
        severity="warning",
    )


def test_rows_at_which_the_evaluation_would_stop(tables):
    append(tables / VAL, "-v1,0909")
    edit(tables / BOXES, 3, "0903", "903.5")
    texts = [str(finding) for finding in found(check(tables), "rules")]
    assert texts[0].startswith(f"set/{BOXES}:3: the second 903.5 has a fraction (1 such rows)")
    assert texts[1].startswith(f"set/{VAL}:19: a row of two columns names a keyframe without boxes")
    assert all("set evaluation.rules=activitynet2020" in text for text in texts)
    assert found(check(tables, "evaluation.rules=activitynet2020"), "rules") == []


def test_annotated_keyframes_without_person_boxes(tables):
    edit(tables / BOXES, 5, "0.9\n", "0.7\n")
    edit(tables / BOXES, 6, "0.9\n", "0.7\n")
    _one(
        check(tables),
        "without_boxes",
        f"{VAL}:7",
        "1 of 6 annotated keyframes have no person box of score 0.8 or more",
        "-v1 at 0904",
        "lower boxes.score_threshold",
        severity="warning",
    )
    assert check(tables, "boxes.score_threshold=0.7").findings == []


def test_videos_that_one_file_does_not_know(tables):
    line = append(tables / BOXES, "other,0902,0.1,0.2,0.3,0.9,,0.9")
    new = append(tables / VAL, "third,0902,0.1,0.2,0.3,0.9,1,0")
    texts = [str(finding) for finding in found(check(tables), "unknown_video")]
    assert texts[0].startswith(f"set/{VAL}:{new}: video third (1 rows) is annotated here, but")
    assert texts[1].startswith(f"set/{BOXES}:{line}: video other (1 rows) has person boxes here")


def test_a_threshold_that_no_box_reaches(tables):
    edit(tables / BOXES, 4, "0.9\n", "0.95\n")
    report = check(tables, "boxes.score_threshold=0.97")
    train, val = sorted(found(report, "threshold"), key=lambda finding: finding.path)
    assert (train.severity, val.severity) == ("warning", "error")
    assert "none of the 12 person boxes has a score of boxes.score_threshold = 0.97" in val.text
    assert "the highest is 0.95, in line 4: lower the threshold" in val.text


def test_boxes_that_do_not_lie_on_the_annotated_ones(tables):
    text = (tables / BOXES).read_text()
    (tables / BOXES).write_text(text.replace("0.100,0.200,0.300,0.900", "0.2,0.1,0.9,0.3"))
    (tables / BOXES).write_text(
        (tables / BOXES).read_text().replace("0.500,0.250,0.800,0.950", "0.25,0.5,0.95,0.8")
    )
    report = check(tables)
    assert [f.severity for f in found(report, "overlap")] == ["warning"]
    assert "only 0 of 12 annotated boxes (0.0%)" in found(report, "overlap")[0].text
    assert "x1, y1, x2, y2 in this order?" in found(report, "overlap")[0].text


def test_person_boxes_of_another_form(tables):
    boxes = {
        f"-v1,{second:04d}": np.array([[0.1, 0.2, 0.3, 0.9, 0.95], [0.5, 0.25, 0.8, 0.95, 0.9]])
        for second in range(902, 908)
    }
    (tables / "boxes.pkl").write_bytes(pickle.dumps(boxes))
    setting = "dataset.val.person_boxes=boxes.pkl"
    assert check(tables, setting).findings == []
    assert check(tables, setting).splits[1].detected.num_boxes == 12
    (tables / "boxes.pkl").write_bytes(b"no pickle")
    findings = found(check(tables, setting), "unreadable_file")
    assert findings[0].path == "set/boxes.pkl"
    assert findings[0].severity == "error"


def test_overlap_worked_by_hand(tables):
    # Half of the first person's height is covered: IoU 0.5 counts. The second's boxes are gone
    # on two keyframes. So 6 + 4 of 12 are found; below the threshold none of the first's.
    rows = (
        (tables / BOXES)
        .read_text()
        .replace("0.100,0.200,0.300,0.900,,0.9", "0.1,0.2,0.3,0.55,,0.85")
    )
    kept = [row for n, row in enumerate(rows.splitlines(keepends=True)) if n not in (1, 3)]
    (tables / BOXES).write_text("".join(kept))
    split, _ = read_split(
        SplitFiles(name="val", annotations=tables / VAL, person_boxes=tables / BOXES)
    )
    assert (overlap(split, score_threshold=0.8).num_found) == 10
    assert (overlap(split, score_threshold=0.87).num_found) == 4
    assert overlap(split, score_threshold=0.8).recall == pytest.approx(10 / 12)
    assert overlap(split, score_threshold=1.0).recall == 0.0


def test_a_video_of_both_splits(tables):
    line = append(tables / TRAIN, "-v1,0909,0.1,0.2,0.3,0.9,1,0")
    place = f"{VAL}:1"
    texts = f"video -v1 is also in set/{TRAIN}:{line}, with 0 of its 6 keyframes"
    _one(check(tables), "leak", place, texts, "keep a video in one split", severity="warning")
    append(tables / TRAIN, "-v1,0902,0.1,0.2,0.3,0.9,1,0")
    _one(check(tables), "leak", place, "with 1 of its 6 keyframes")


def test_one_file_for_both_splits(tables):
    report = check(tables, f"dataset.train.annotations={VAL}")
    _one(report, "leak", VAL, "the same file is annotations of train and val", severity="warning")


# Labels


def test_action_ids_that_the_model_has_no_output_for(tables):
    line = append(tables / TRAIN, *["v0,0908,0.1,0.2,0.3,0.9,4,0", "v0,0909,0.1,0.2,0.3,0.9,4,0"])
    _one(
        check(tables),
        "unknown_action",
        f"{TRAIN}:{line}",
        "action id 4 is above dataset.num_classes = 3 (2 rows from here on)",
        "raise dataset.num_classes",
    )


def test_action_ids_that_the_label_map_lacks(tables):
    line = append(tables / TRAIN, "v0,0908,0.1,0.2,0.3,0.9,4,0")
    report = check(tables, "dataset.num_classes=4")
    _one(
        report,
        "unknown_action",
        f"{TRAIN}:{line}",
        f"action id 4 (1 rows from here on) is not in set/{MAP}",
        "add it there with its name",
        severity="warning",
    )


def test_classes_without_annotations(tables):
    text = (tables / VAL).read_text().replace(",3,1\n", ",1,1\n")
    (tables / VAL).write_text(text)
    _one(
        check(tables),
        "missing_class",
        VAL,
        f"1 of 3 classes of set/{MAP} have no row here and cannot be scored: 3 sit down",
        severity="warning",
    )


def test_a_label_map_above_the_models_outputs(tables):
    report = check(tables, "dataset.num_classes=2")
    findings = found(report, "label_map")
    assert str(findings[0]).startswith(f"set/{MAP}:11: action id 3 (sit down) is above")
    assert [f.line for f in found(report, "unknown_action")] == [3, 3]
    _one(
        check(tables, "dataset.num_classes=5"),
        "label_map",
        MAP,
        "the highest action id is 3, dataset.num_classes = 5",
        severity="note",
    )


MAPS = [
    (2, "wave", 'wa"ve', "error", 2, "a name stands in double quotes"),
    (7, "2", "0", "error", 7, "an action id is a whole number from 1"),
    (7, "2", "1", "error", 7, "action id 1 occurs twice"),
    (2, "  name", "\tname", "error", 3, "no name stands before this id"),
    (2, "  name", "\tname", "warning", 2, "passed over; fields begin with exactly two blanks"),
    (7, "label_id", "label", "warning", 7, "passed over"),
    (7, "label_id", "label", "warning", 8, "the entry has no id and is passed over"),
    (4, "}", "", "warning", 5, "an entry begins inside another"),
    (5, "label {", "", "warning", 6, "the field stands outside an entry"),
    (12, "}", "", "warning", 12, "the file ends inside an entry"),
    (2, "wave", "wa\x0bve", "warning", 2, "the line holds '\\x0b', which is no text"),
    (4, "}", "}\n}", "warning", 5, "no entry is open here"),
    (6, "jump", "wave", "warning", 7, "actions 1 and 2 are both called 'wave'"),
    (6, "jump", " ", "warning", 7, "action 2 has no name"),
    (2, "  name", '  name: "x"\n  name', "warning", 3, "has this field already"),
    (2, "  name", "  label_type: A\n  name", "warning", 2, "put it below the id"),
]


@pytest.mark.parametrize("case", MAPS, ids=[f"{case[5][:30]}" for case in MAPS])
def test_faults_of_the_label_map(tables, case):
    line, old, new, severity, place, text = case
    edit(tables / MAP, line, old, new)
    findings = found(check(tables), "label_map")
    assert any(
        (f.severity, f.path, f.line) == (severity, f"set/{MAP}", place) and text in f.text
        for f in findings
    ), [str(finding) for finding in findings]


def test_a_label_map_that_is_no_text(tables):
    (tables / MAP).write_bytes(b"\xff\xfe")
    _one(check(tables), "label_map", MAP, "byte 0 is not UTF-8; save the label map as plain")


def test_names_that_are_not_avas(tables, shared_dir):
    official = shared_dir / "ava" / "annotations" / "ava_action_list_v2.2.pbtxt"
    text = official.read_text().replace('"dance"', '"danse"')
    (tables / MAP).write_text(text)
    line = text.splitlines().index('  name: "danse"') + 2
    report = check(tables, "dataset.num_classes=80")
    _one(
        report,
        "class_name",
        f"{MAP}:{line}",
        "action 4 is 'danse' here and 'dance' in AVA",
        severity="warning",
    )


def test_avas_sixty_classes_leave_twenty_unscored(tables, shared_dir):
    name = "ava_action_list_v2.2_for_activitynet_2019.pbtxt"
    (tables / MAP).write_text((shared_dir / "ava" / "annotations" / name).read_text())
    append(tables / TRAIN, "v0,0908,0.1,0.2,0.3,0.9,2,0")  # crawl is not among the sixty
    notes = found(check(tables, "dataset.num_classes=80"), "unknown_action")
    assert [note.severity for note in notes] == ["note", "note"]
    assert "of AVA's 80 actions occur here" in notes[0].text


def test_real_files_have_no_errors(tables, shared_dir):
    folder = shared_dir / "ava" / "annotations"
    report = check(
        tables,
        f"dataset.train.annotations={folder / 'ava_test_v1.0.csv'}",
        f"dataset.val.annotations={folder / 'ava_val_v2.1_pose_only_16_videos.csv'}",
        f"dataset.val.exclusions={folder / 'ava_val_excluded_timestamps_v2.2.csv'}",
        f"dataset.label_map={folder / 'ava_action_list_v2.2.pbtxt'}",
        "dataset.num_classes=80",
        "boxes.evaluate=annotated",
    )
    # Two films of the old test list are in the newer validation list: that is so.
    assert [f.kind for f in report.findings if f.severity == "error"] == ["leak", "leak"]
    assert report.splits[0].num_boxes == 18_824
    assert report.splits[0].num_keyframes == 10_140
    assert report.splits[0].labels_per_box == {1: 3336, 2: 9551, 3: 4868, 4: 970, 5: 91, 6: 8}


def test_many_findings_are_one_line_from_the_limit_on():
    def make(row):
        return Finding(severity="note", kind="leak", path="p", line=row, text=f"row {row}")

    rows = list(range(MAX_LISTED + 3))
    findings = list(listed(rows, make))
    assert len(findings) == MAX_LISTED + 1
    assert str(findings[0]) == "p:0: row 0"
    assert str(findings[-1]) == f"p:{MAX_LISTED}: and 3 more from here on."
    assert findings[-1].count == 3
