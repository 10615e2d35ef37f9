"""Every fault of the files and their rows: found with file, line, value and remedy."""

import pytest
from small_dataset import BOXES, EXCLUDED, MAP, TRAIN, VAL, append, assert_one, check, found

from x3d_det.checks.findings import MAX_LISTED, Finding, listed
from x3d_det.errors import DataError
from x3d_det.io.ava_csv import check_annotations, check_exclusions, check_proposals
from x3d_det.io.ava_faults import FAULT_KINDS, RowFaults


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
    assert_one(check(tables), kind, f"{TRAIN}:{line}", text)


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
    assert_one(check(tables), "score", place, "the score 1.5 is outside", severity="warning")
    report = check(tables, "boxes.train=annotated_and_detected")
    assert_one(report, "score", place, "the score 1.5 is outside")


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
    assert_one(
        check(tables), "number", f"{TRAIN}:{line}", "the action id is '0x1'; it must be a whole"
    )
    path = tables / "person_boxes_train.csv"
    line = append(path, "v0,0908,0.1,0.2,0.3,0.9,0x1,0.9")
    assert found(check(tables), "number")[1].text.startswith("the label is '0x1'")


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
