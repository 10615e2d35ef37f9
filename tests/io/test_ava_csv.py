"""AVA's csv files: every form read, every fault named, what is written read back."""

import gzip
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError
from x3d_det.io import ava_rows
from x3d_det.io.ava_csv import (
    read_annotations,
    read_detections,
    read_exclusions,
    read_proposals,
    write_annotations,
    write_detections,
    write_exclusions,
    write_proposals,
)
from x3d_det.io.ava_lines import read_line_by_line

GOOD = "vid,0902,0.1,0.2,0.3,0.4,12,0\n"


def _file(tmp_path, text, name="a.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _error(path, reader=read_annotations, **options):
    with pytest.raises(DataError) as caught:
        reader(path, **options)
    return str(caught.value).replace(str(path), "F")


# Forms


def test_annotations_of_v2(tmp_path):
    path = _file(tmp_path, GOOD + "-x_Y,1798,0.000,0,1,0.999,80,3\n")
    annotations = read_annotations(path)
    rows = annotations.rows
    assert list(rows.columns) == [
        *("video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id", "line")
    ]
    assert rows.to_numpy().tolist() == [
        ["vid", 902.0, 0.1, 0.2, 0.3, 0.4, 12, 0, 1],
        ["-x_Y", 1798.0, 0.0, 0.0, 1.0, 0.999, 80, 3, 2],
    ]
    assert [str(rows[name].dtype) for name in ("timestamp", "action_id", "person_id", "line")] == [
        *("float64", "int64", "int64", "int64")
    ]
    assert annotations.path == str(path)
    assert annotations.empty_keyframes.empty


def test_without_person_id_and_with_empty_keyframes(tmp_path):
    text = "k,17.000000,0.1,0.2,0.3,0.4,12\r\nk,5.016949\r\nm,13.5,0.1,0.2,0.3,0.4,3\r\nm,13.5\r\n"
    annotations = read_annotations(_file(tmp_path, text))
    assert annotations.rows["timestamp"].tolist() == [17.0, 13.5]
    assert annotations.rows["person_id"].tolist() == [-1, -1]
    assert annotations.rows["line"].tolist() == [1, 3]
    assert annotations.empty_keyframes.to_numpy().tolist() == [["k", 5.016949, 2], ["m", 13.5, 4]]


def test_first_line_of_two_columns_and_blank_lines(tmp_path):
    annotations = read_annotations(_file(tmp_path, "k,5\n\n" + GOOD + "\n"))
    assert annotations.rows["line"].tolist() == [3]
    assert annotations.empty_keyframes["line"].tolist() == [1]


def test_old_line_ends_and_gzip(tmp_path):
    path = _file(tmp_path, gzip.compress(GOOD.replace("\n", "\r").encode() * 1), "a.csv.gz")
    assert read_annotations(path).rows["line"].tolist() == [1]


def test_real_files(shared_dir):
    folder = shared_dir / "ava" / "annotations"
    v1 = read_annotations(folder / "ava_test_v1.0.csv")
    assert len(v1.rows) == 41_425
    assert v1.rows["video_id"].nunique() == 38
    assert len(read_annotations(folder / "ava_val_v2.1_pose_only_16_videos.csv").rows) > 20_000
    assert read_annotations(folder / "ava_train_v2.2_excerpt.csv").rows["person_id"].max() >= 0
    kinetics = read_annotations(folder / "ava_kinetics_val_v1.0_first_12000_rows.csv")
    assert len(kinetics.rows) + len(kinetics.empty_keyframes) == 12_000
    assert kinetics.empty_keyframes["line"].iloc[0] == 3
    excluded = read_exclusions(folder / "ava_val_excluded_timestamps_v2.2.csv")
    assert len(excluded) == 37
    assert excluded.iloc[0].tolist() == ["5BDj0ow5hnA", 1038.0, 1]


def test_numbers_are_rounded_correctly(tmp_path):
    # pandas' own default reader is off by one unit in the last place on such decimals.
    texts = ["0.30000000000000004", "0.1234567890123456789", "1e-5", "0.7999999999999999334"]
    path = _file(tmp_path, f"v,1,{texts[0]},{texts[1]},{texts[3]},{texts[3]},5,{texts[2]}\n")
    row = read_detections(path).iloc[0]
    assert [row["x1"], row["y1"], row["score"]] == [float(text) for text in texts[:3]]


def test_proposals_of_every_label_form(tmp_path):
    text = (
        "v,0902,0.1,0.2,0.3,0.4,,0.91\nv,0902,0.1,0.2,0.3,0.4,12,0.95\nv,902,0.1,0.2,0.3,0.4,-1,0.9\n"
        "v,0902,0.5,0.2,0.9,0.4,7,1.0\nw,0902,0.1,0.2,0.3,0.4,7,0\n"
    )
    rows = read_proposals(_file(tmp_path, text))
    assert list(rows.columns) == ["video_id", "timestamp", "x1", "y1", "x2", "y2", "score", "line"]
    assert rows[["video_id", "x1", "score", "line"]].to_numpy().tolist() == [
        ["v", 0.1, 0.95, 1],
        ["v", 0.5, 1.0, 4],
        ["w", 0.1, 0.0, 5],
    ]


def test_custom_files_that_people_have(shared_dir):
    folder = shared_dir / "ava" / "formats"
    boxes = read_proposals(folder / "custom_predicted_boxes_empty_label.csv")
    assert not boxes.duplicated(["video_id", "timestamp", "x1", "y1", "x2", "y2"]).any()
    assert boxes["video_id"].iloc[0] == "756026"
    assert len(read_annotations(folder / "custom_ground_truth.csv").rows)
    with pytest.raises(DataError, match=r"crlf\.csv:1: the line is separated by tabs"):
        read_proposals(folder / "custom_train_boxes_with_labels_crlf.csv")
    with pytest.raises(DataError, match="double quotes"):
        read_annotations(folder / "custom_frame_list_spoiled_by_spreadsheet.csv")


def test_detections(tmp_path):
    path = _file(tmp_path, "v,902,-0.5,0.2,3,0.4,999,0.25\nw,0902,0.9,0.2,0.1,0.4,-3,7\n")
    rows = read_detections(path)
    assert isinstance(rows["video_id"].dtype, pd.CategoricalDtype)
    assert rows["video_id"].tolist() == ["v", "w"]
    assert rows["action_id"].tolist() == [999, -3]
    assert rows["score"].tolist() == [0.25, 7.0]
    assert rows.attrs["num_unscored"] == 0
    assert read_detections(_file(tmp_path, "")).empty
    assert read_annotations(_file(tmp_path, ""), strict=False).rows.empty


def test_detections_without_score_and_with_two_columns(tmp_path):
    rows = read_detections(_file(tmp_path, "v,902,0,0,1,1,5\nv,903\nv,904,0,0,1,1,5,0.5\n"))
    assert np.isnan(rows["score"].iloc[0])
    assert rows["score"].iloc[1] == 0.5
    assert rows["line"].tolist() == [1, 3]
    assert rows.attrs["num_unscored"] == 1
    assert rows.attrs["keyframe_lines"] == (2,)


def test_tolerant_reading_keeps_what_evaluators_keep(tmp_path):
    text = 'v,902,-2,0.5,0.1,0.2,0,3_\n"v,w",902,0,0,1,1,-7,1.0000\n'
    annotations = read_annotations(_file(tmp_path, text), strict=False)
    assert annotations.rows["video_id"].tolist() == ["v", "v,w"]
    assert annotations.rows["x1"].tolist() == [-2.0, 0.0]
    assert annotations.rows["action_id"].tolist() == [0, -7]
    assert annotations.rows["person_id"].tolist() == [-1, 1]
    assert annotations.unreadable_person_lines == (1,)


# Faults

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
    path = _file(tmp_path, GOOD + "other,0903\n" + bad)
    message = _error(path, action_ids=(1, 12, 80))
    assert message.startswith("F:3: ")
    assert FAULTS[bad] in message


def test_faults_of_the_whole_file(tmp_path):
    assert _error(_file(tmp_path, "")) == (
        "F:1: the file is empty; it must hold annotations, one row a line."
    )
    assert "F:1: the file begins with a byte order mark" in _error(
        _file(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())
    )
    assert "byte order mark" in _error(
        _file(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()), strict=False
    )
    assert "F:2: byte 0xe9 in column 2 is not UTF-8" in _error(
        _file(tmp_path, GOOD.encode() + b"v\xe9" + GOOD.encode()[3:])
    )
    header = _error(_file(tmp_path, "video_id,second,x1,y1,x2,y2,action,person\n" + GOOD))
    assert header == (
        "F:1: a header row ('video_id,second,x1,y1,x2,y2,action,person')? "
        "AVA files have none; remove the line."
    )
    assert "cannot read" in _error(tmp_path / "none.csv")
    packed = _file(tmp_path, gzip.compress(GOOD.encode() * 50)[:40], "cut.csv.gz")
    assert "cannot be unpacked" in _error(packed)
    assert "cannot be unpacked" in _error(_file(tmp_path, GOOD, "no.csv.gz"))


def test_all_faults_at_once_and_the_rest_counted(tmp_path):
    bad = "vid,0902,0.1,0.2,1.5,1.7,99,x\n"
    message = _error(_file(tmp_path, GOOD + bad * 10), action_ids=[12])
    lines = message.splitlines()
    assert len(lines) == 21
    assert [line.split(" ", 1)[0] for line in lines[:4]] == ["F:2:"] * 4
    assert lines[-1] == "F: and 20 more faults of this kind or another."


def test_coordinates_just_outside_are_clipped(tmp_path):
    text = "v,0902,-0.001,0.2,1.001,0.4,12,0\n"
    row = read_annotations(_file(tmp_path, text)).rows.iloc[0]
    assert (row["x1"], row["x2"]) == (0.0, 1.0)
    row = read_proposals(_file(tmp_path, text.replace("12,0\n", "12,0.5\n"))).iloc[0]
    assert (row["x1"], row["x2"]) == (0.0, 1.0)
    with pytest.raises(DataError, match=r"x2 = 1\.0005 is not above x1 = 1"):
        read_annotations(_file(tmp_path, "v,0902,1,0.2,1.0005,0.4,12,0\n"))


def test_faults_of_person_boxes_and_lists(tmp_path):
    text = "v,0902,0.1,0.2,0.3,0.4,,1.5\nv,0902,0.1,0.2,0.3,0.4,-2,1\nv,0902,0.1,0.2,0.3,0.4,,\n"
    lines = _error(_file(tmp_path, text), read_proposals).splitlines()
    assert lines[0] == "F:1: the score 1.5 is outside [0, 1]."
    assert lines[1] == "F:2: the label is -2; it is empty, -1 or an action id."
    assert lines[2].startswith("F:3: the score is '', not a number")
    assert "F:1: the file is empty" in _error(_file(tmp_path, ""), read_proposals)
    assert "person boxes have 8 columns" in _error(
        _file(tmp_path, GOOD[:-3] + "\n"), read_proposals
    )
    assert read_exclusions(_file(tmp_path, "")).empty
    assert "keyframes have 2 columns" in _error(_file(tmp_path, GOOD), read_exclusions)
    assert "F:2: the second is 'x'" in _error(_file(tmp_path, "v,1\nv,x\n"), read_exclusions)


def test_faults_of_detections(tmp_path):
    text = "v,902,0,0,1,1,5,0.5\nv,902,0,0,1,1,5,nan\nv,902,0,0,1,1,five,0.5\nv,902,0,0\n"
    lines = _error(_file(tmp_path, text), read_detections).splitlines()
    assert lines[0] == "F:2: the score is nan; it must be a finite number."
    assert lines[1].startswith("F:3: the action id is 'five'")
    assert lines[2].startswith("F:4: the line has 4 columns")


# The fast reader and the one by lines agree


_FIELD = st.sampled_from(
    [
        "0.1",
        "0.25",
        " 0.5",
        "1",
        "+0.3",
        "\x1c0.3",
        "\xa00.3",
        ".5",
        "1e-3",
        "1.0005",
        "-0.2",
        "",
        "nan",
        "x",
        "12",
        "0",
    ]
)
_LINE = st.one_of(
    st.just(GOOD.strip()),
    st.just("v,17.5,0.1,0.2,0.5,0.6,3,1"),
    st.just("v,18"),
    st.just("v,1_8"),
    st.lists(_FIELD, min_size=1, max_size=9).map(lambda fields: ",".join(["v", *fields])),
    st.lists(_FIELD, min_size=6, max_size=6).map(lambda fields: ",".join(["w", "902", *fields])),
)


@settings(max_examples=250, deadline=None)
@given(
    lines=st.lists(_LINE, max_size=5),
    end=st.sampled_from(["\n", "\r\n"]),
    strict=st.booleans(),
    form=st.sampled_from(["annotations", "detections", "proposals"]),
)
def test_fast_and_slow_reading_agree(tmp_path_factory, lines, end, strict, form):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes("".join(line + end for line in lines).encode())
    reader, strict = {
        "annotations": (lambda p: read_annotations(p, strict=strict), strict),
        "detections": (read_detections, False),
        "proposals": (read_proposals, True),
    }[form]
    row_form = getattr(ava_rows, form.upper())
    try:
        slow = read_line_by_line(path, row_form, strict=strict)
    except DataError as error:
        with pytest.raises(DataError, match=f"^{re.escape(str(error))}$"):
            reader(path)
        return
    rows = reader(path)
    if form == "proposals":
        assert len(rows) <= len(slow)
        return
    rows = rows if form == "detections" else rows.rows
    assert rows["line"].tolist() == slow.lines.tolist()
    assert rows["action_id"].tolist() == slow.labels.tolist()
    for name, corner in zip(("x1", "y1", "x2", "y2"), slow.boxes, strict=True):
        assert rows[name].tolist() == corner.tolist()


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, 4 * len(GOOD) - 1), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_byte_is_an_error_or_harmless(tmp_path_factory, place, byte, cut):
    # Reliability: never a traceback, never a row that the line-by-line reader reads otherwise.
    good = "".join(GOOD.replace("0902", f"090{n}") for n in range(4)).encode()
    bad = good[:place] if cut else good[:place] + bytes([byte]) + good[place + 1 :]
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(bad)
    for strict in (True, False):
        try:
            slow = read_line_by_line(path, ava_rows.ANNOTATIONS, strict=strict)
        except DataError:
            with pytest.raises(DataError, match=f"^{re.escape(str(path))}:[1-5]: "):
                read_annotations(path, strict=strict)
            continue
        rows = read_annotations(path, strict=strict).rows
        names = [slow.video_names[code] for code in slow.video_codes]
        assert rows["video_id"].tolist() == names
        assert rows["timestamp"].tolist() == slow.timestamps.tolist()
        assert rows["line"].tolist() == slow.lines.tolist()


# Writing


def _detections(number=50, seed=0):
    rng = np.random.default_rng(seed)
    low = rng.random((number, 2)) / 2
    return pd.DataFrame(
        {
            "video_id": rng.choice(["-abc", "_b", "ü"], number),
            "timestamp": rng.choice([902.0, 1798.0, 17.5], number),
            "x1": low[:, 0],
            "y1": low[:, 1],
            "x2": low[:, 0] + rng.random(number) / 2,
            "y2": low[:, 1] + rng.random(number) / 2,
            "action_id": rng.integers(1, 81, number),
            "score": rng.random(number) ** 9,
        }
    )


@pytest.mark.parametrize("name", ["d.csv", "d.csv.gz"])
def test_detections_read_back_to_the_last_bit(tmp_path, name):
    rows = _detections()
    write_detections(rows, tmp_path / name)
    back = read_detections(tmp_path / name)
    for column in rows.columns:
        assert back[column].tolist() == rows[column].tolist()
    first = (tmp_path / name).read_bytes()
    write_detections(rows.astype({"video_id": "category"}), tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


def test_empty_tables_are_written(tmp_path):
    write_detections(_detections(0), tmp_path / "d.csv")
    assert (tmp_path / "d.csv").read_bytes() == b""


def test_annotations_read_back(tmp_path):
    path = _file(tmp_path, GOOD + "vid,0905\n" + GOOD.replace("12,0", "80,11"))
    annotations = read_annotations(path)
    write_annotations(annotations, tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_text()
    assert text == (
        "vid,0902,0.100,0.200,0.300,0.400,12,0\nvid,0902,0.100,0.200,0.300,0.400,80,11\nvid,0905\n"
    )
    write_annotations(annotations.rows.assign(person_id=-1), tmp_path / "out.csv", decimals=1)
    assert (tmp_path / "out.csv").read_text().startswith("vid,0902,0.1,0.2,0.3,0.4,12\n")


def test_proposals_and_exclusions_read_back(tmp_path):
    path = _file(tmp_path, "v,0902,0.1,0.2,0.3,0.4,,0.912345678\nv,17.5,0.1,0.2,0.3,0.4,7,1\n")
    rows = read_proposals(path)
    write_proposals(rows, tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text().splitlines() == [
        "v,0902,0.100,0.200,0.300,0.400,,0.912345678",
        "v,17.500000,0.100,0.200,0.300,0.400,,1.0",
    ]
    pd.testing.assert_frame_equal(read_proposals(tmp_path / "p.csv"), rows)
    write_exclusions(rows, tmp_path / "e.csv")
    assert read_exclusions(tmp_path / "e.csv")["timestamp"].tolist() == [902.0, 17.5]


def test_unwritable_tables_are_named(tmp_path):
    path = tmp_path / "d.csv"
    rows = _detections(3)
    cases = [
        (rows.drop(columns="score"), "the table to write has no column score; it has video_id"),
        (rows.assign(score=[0.1, np.nan, 0.2]), "score of row 1 is nan"),
        (rows.assign(x1=np.inf), "x1 of row 0 is inf"),
        (rows.assign(action_id=1.0), "action_id is of type float64"),
        (rows.assign(video_id="a,b"), "the video id 'a,b' cannot be written"),
        (rows.assign(video_id=None), "row 0 has no video id"),
    ]
    for table, text in cases:
        assert text in _error(path, lambda p, table=table: write_detections(table, p))
    assert not path.exists()
