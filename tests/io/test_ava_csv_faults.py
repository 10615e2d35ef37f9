"""AVA's csv files with faults: each named with its line, all at once."""

import gzip

import pytest
from ava_csv_files import GOOD, csv_file, error_of

from x3d_det.errors import DataError
from x3d_det.io.ava_csv import read_annotations, read_detections, read_exclusions, read_proposals

FAULTS = {
    "vid,0902,0.1,0.2,0.3,0.4\n": "the line has 6 columns ('vid,0902,0.1,0.2,0.3,0.4'); "
    "annotations have 2 or 7 or 8 columns",
    "vid,0902,0.1,0.2,0.3,0.4,12,0,1\n": "the line has 9 columns",
    "vid\t0902\t0.1\t0.2\t0.3\t0.4\t12\t0\n": "the line is separated by tabs, as spreadsheets "
    "write it",
    "vid;0902;0,1;0,2\n": "the line is separated by semicolons",
    '"vid",0902,0.1,0.2,0.3,0.4,12,0\n': "the line holds double quotes",
    "vid,0902,x,0.2,0.3,0.4,12,0\n": "x1 is 'x', not a number; write it as in 0.125.",
    "vid,0902,0.1,0.2,1_0,0.4,12,0\n": "x2 is '1_0', not a number",
    "vid,0902,0.1,0.2,\x1c0.3,0.4,12,0\n": "x2 is '\\x1c0.3', not a number",
    "vid,,0.1,0.2,0.3,0.4,12,0\n": "the second is '', not a number",
    "vid,0902,0.1,nan,0.3,0.4,12,0\n": "y1 is nan; it must be a finite number.",
    "vid,0902,0.1,0.2,inf,0.4,12,0\n": "x2 is inf; it must be a finite number.",
    "vid,-1,0.1,0.2,0.3,0.4,12,0\n": "the second -1 is negative; seconds count from 0.",
    "vid,0902,0.1,0.2,1.03,0.4,12,0\n": "x2 = 1.03 is outside [0, 1]; boxes in AVA files are "
    "fractions of the frame width: divide pixels by it.",
    "vid,0902,0.1,-0.0011,0.3,0.4,12,0\n": "y1 = -0.0011 is outside [0, 1]; boxes in AVA files "
    "are fractions of the frame height",
    "vid,0902,0.3,0.2,0.3,0.4,12,0\n": "x2 = 0.3 is not above x1 = 0.3; a box is x1, y1, x2, y2",
    "vid,0902,0.1,0.5,0.3,0.4,12,0\n": "y2 = 0.4 is not above y1 = 0.5",
    "vid,0902,0.1,0.2,0.3,0.4,81,0\n": "action id 81 is not in the label map (1, 12, 80);",
    "vid,0902,0.1,0.2,0.3,0.4,0,0\n": "Ids that start at 0 are class indices: add 1.",
    "vid,0902,0.1,0.2,0.3,0.4,12.0,0\n": "the action id is '12.0'; it must be a whole number",
    "vid,0902,0.1,0.2,0.3,0.4,12,3_\n": "the person id is '3_'; it must be a whole number",
    "vid,0902,0.1,0.2,0.3,0.4,12,1.5\n": "the person id is '1.5'; it must be a whole number",
    "../vid,0902,0.1,0.2,0.3,0.4,12,0\n": "the video id '../vid' holds a slash",
    "a..b,0902,0.1,0.2,0.3,0.4,12,0\n": "the video id 'a..b' holds two dots",
    "a\\b,0902,0.1,0.2,0.3,0.4,12,0\n": "holds a backslash",
    "a\0b,0902,0.1,0.2,0.3,0.4,12,0\n": "the video id 'a\\x00b' holds NUL",
    ",0902,0.1,0.2,0.3,0.4,12,0\n": "the video id '' is empty",
    " vid,0902,0.1,0.2,0.3,0.4,12,0\n": "the video id ' vid' is empty or has blanks at its ends",
    GOOD: "the row repeats line 1 (vid,0902,0.1,0.2,0.3,0.4,12,0); remove one of them.",
    "a/b,0903\n": "the video id 'a/b' holds a slash",
}


@pytest.mark.parametrize("bad", FAULTS)
def test_each_fault_is_named_with_its_line(tmp_path, bad):
    path = csv_file(tmp_path, GOOD + "other,0903\n" + bad)
    message = error_of(path, action_ids=(1, 12, 80))
    assert message.startswith("F:3: ")
    assert FAULTS[bad] in message


def test_faults_of_the_whole_file(tmp_path):
    assert error_of(csv_file(tmp_path, "")) == (
        "F:1: the file is empty; it must hold annotations, one row a line."
    )
    assert "F:1: the file begins with a byte order mark" in error_of(
        csv_file(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())
    )
    assert "byte order mark" in error_of(
        csv_file(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()), strict=False
    )
    assert "F:2: byte 0xe9 in column 2 is not UTF-8" in error_of(
        csv_file(tmp_path, GOOD.encode() + b"v\xe9" + GOOD.encode()[3:])
    )
    header = error_of(csv_file(tmp_path, "video_id,second,x1,y1,x2,y2,action,person\n" + GOOD))
    assert header == (
        "F:1: a header row ('video_id,second,x1,y1,x2,y2,action,person')? "
        "AVA files have none; remove the line."
    )
    assert "cannot read" in error_of(tmp_path / "none.csv")
    packed = csv_file(tmp_path, gzip.compress(GOOD.encode() * 50)[:40], "cut.csv.gz")
    assert "cannot be unpacked" in error_of(packed)
    assert "cannot be unpacked" in error_of(csv_file(tmp_path, GOOD, "no.csv.gz"))


def test_all_faults_at_once_and_the_rest_counted(tmp_path):
    bad = "vid,0902,0.1,0.2,1.5,1.7,99,x\n"
    message = error_of(csv_file(tmp_path, GOOD + bad * 10), action_ids=[12])
    lines = message.splitlines()
    assert len(lines) == 21
    assert [line.split(" ", 1)[0] for line in lines[:4]] == ["F:2:"] * 4
    assert lines[-1] == "F: and 20 more faults of this kind or another."


def test_coordinates_just_outside_are_clipped(tmp_path):
    text = "v,0902,-0.001,0.2,1.001,0.4,12,0\n"
    row = read_annotations(csv_file(tmp_path, text)).rows.iloc[0]
    assert (row["x1"], row["x2"]) == (0.0, 1.0)
    row = read_proposals(csv_file(tmp_path, text.replace("12,0\n", "12,0.5\n"))).iloc[0]
    assert (row["x1"], row["x2"]) == (0.0, 1.0)
    with pytest.raises(DataError, match=r"x2 = 1\.0005 is not above x1 = 1"):
        read_annotations(csv_file(tmp_path, "v,0902,1,0.2,1.0005,0.4,12,0\n"))


def test_faults_of_person_boxes_and_lists(tmp_path):
    text = "v,0902,0.1,0.2,0.3,0.4,,1.5\nv,0902,0.1,0.2,0.3,0.4,-2,1\nv,0902,0.1,0.2,0.3,0.4,,\n"
    lines = error_of(csv_file(tmp_path, text), read_proposals).splitlines()
    assert lines[0] == "F:1: the score 1.5 is outside [0, 1]."
    assert lines[1] == "F:2: the label is -2; it is empty, -1 or an action id."
    assert lines[2].startswith("F:3: the score is '', not a number")
    assert "F:1: the file is empty" in error_of(csv_file(tmp_path, ""), read_proposals)
    assert "person boxes have 8 columns" in error_of(
        csv_file(tmp_path, GOOD[:-3] + "\n"), read_proposals
    )
    assert read_exclusions(csv_file(tmp_path, "")).empty
    assert "keyframes have 2 columns" in error_of(csv_file(tmp_path, GOOD), read_exclusions)
    assert "F:2: the second is 'x'" in error_of(csv_file(tmp_path, "v,1\nv,x\n"), read_exclusions)


def test_faults_of_detections(tmp_path):
    text = "v,902,0,0,1,1,5,0.5\nv,902,0,0,1,1,5,nan\nv,902,0,0,1,1,five,0.5\nv,902,0,0\n"
    lines = error_of(csv_file(tmp_path, text), read_detections).splitlines()
    assert lines[0] == "F:2: the score is nan; it must be a finite number."
    assert lines[1].startswith("F:3: the action id is 'five'")
    assert lines[2].startswith("F:4: the line has 4 columns")
