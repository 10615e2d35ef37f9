"""Person boxes as csv, every row and label kept, and the one reader for all suffixes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError
from x3d_det.formats.coco_persons import write_coco_persons
from x3d_det.formats.mmaction2 import write_dense_proposals
from x3d_det.formats.person_boxes import (
    read_labelled_person_boxes,
    read_person_boxes,
    write_labelled_person_boxes,
)
from x3d_det.io.ava_csv import read_proposals


def _file(tmp_path, text, name="boxes.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def test_empty_minus_one_and_matched_labels_stay_apart(tmp_path):
    text = (
        "v,0902,0.100,0.200,0.300,0.400,,0.9\nv,0902,0.500,0.200,0.700,0.400,-1,0.95\n"
        "v,0903,0.100,0.200,0.300,0.400,12,0.5\nv,0903,0.100,0.200,0.300,0.400,80,0.5\n"
    )
    path = _file(tmp_path, text)
    boxes = read_labelled_person_boxes(path)
    assert boxes.rows["label"].isna().tolist() == [True, False, False, False]
    assert boxes.rows["label"].tolist()[1:] == [-1, 12, 80]
    assert boxes.rows["line"].tolist() == [1, 2, 3, 4]
    write_labelled_person_boxes(boxes.rows, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == text


def test_lines_are_right_behind_blank_lines_and_crlf(tmp_path):
    path = _file(tmp_path, "v,0902,0.1,0.2,0.3,0.4,,0.9\r\n\r\nv,0903,0.1,0.2,0.3,0.4,-1,0.9\r\n")
    rows = read_labelled_person_boxes(path).rows
    assert rows["line"].tolist() == [1, 3]
    assert rows["label"].isna().tolist() == [True, False]


def test_a_real_file_keeps_its_repeated_rows(shared_dir, tmp_path):
    source = shared_dir / "ava" / "formats" / "custom_predicted_boxes_empty_label.csv"
    boxes = read_labelled_person_boxes(source)
    assert len(boxes.rows) == len(source.read_text().splitlines())
    assert boxes.rows["label"].isna().all()
    write_labelled_person_boxes(boxes.rows, tmp_path / "out.csv")
    again = read_labelled_person_boxes(tmp_path / "out.csv").rows
    pd.testing.assert_frame_equal(again, boxes.rows)
    # one row a box is what training sees
    pd.testing.assert_frame_equal(read_person_boxes(source), read_proposals(source))
    assert len(read_person_boxes(source)) < len(boxes.rows)


def test_a_real_file_spoilt_by_a_spreadsheet_is_named(shared_dir):
    source = shared_dir / "ava" / "formats" / "custom_train_boxes_with_labels_crlf.csv"
    with pytest.raises(DataError, match=r"crlf\.csv:1: the line is separated by tabs, as spreads"):
        read_labelled_person_boxes(source)


def test_tabs_replaced_the_real_file_is_read(shared_dir, tmp_path):
    source = shared_dir / "ava" / "formats" / "custom_train_boxes_with_labels_crlf.csv"
    text = source.read_bytes().decode().replace("\t", ",")
    with pytest.raises(DataError) as caught:  # two of its boxes begin above the frame
        read_labelled_person_boxes(_file(tmp_path, text))
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        f"{tmp_path / 'boxes.csv'}:{line}" for line in (149, 150)
    ]
    path = _file(tmp_path, text.replace(",-0.001941748,", ",0,"))
    rows = read_labelled_person_boxes(path).rows
    assert set(rows["label"]) <= set(range(1, 81))
    write_labelled_person_boxes(rows, tmp_path / "out.csv")
    pd.testing.assert_frame_equal(read_labelled_person_boxes(tmp_path / "out.csv").rows, rows)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("v,0902,0.1,0.2,0.3,0.4,-2,0.9", "the label is -2; it is empty, -1 or an action id."),
        ("v,0902,0.1,0.2,0.3,0.4,x,0.9", "the label is 'x'; it must be a whole number"),
        ("v,0902,0.1,0.2,0.3,0.4,,1.5", "the score 1.5 is outside [0, 1]"),
        ("v,0902,0.1,0.2,0.3,0.4,,", "the score is '', not a number"),
        ("v,0902,0.1,0.2,0.3,0.4,12", "has 7 columns"),
        ("v,0902,0.1,0.2,300,0.4,,0.9", "x2 = 300 is outside [0, 1]"),
        ("v,0902,0.3,0.2,0.1,0.4,,0.9", "x2 = 0.1 is not above x1 = 0.3"),
        ("v,-1,0.1,0.2,0.3,0.4,,0.9", "the second -1 is negative"),
        ("../v,0902,0.1,0.2,0.3,0.4,,0.9", "the video id '../v' holds a slash"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, line, text):
    path = _file(tmp_path, f"v,0902,0.1,0.2,0.3,0.4,,0.9\n{line}\n")
    with pytest.raises(DataError) as caught:
        read_labelled_person_boxes(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert text in str(caught.value)


def test_one_reader_for_csv_pickle_and_coco(tmp_path):
    text = (
        "v,0902,0.125,0.25,0.5,0.75,12,0.5\nv,0902,0.125,0.25,0.5,0.75,14,0.625\n"
        "v,0903,0.25,0.25,0.5,1,-1,0.875\n"
    )
    boxes = read_labelled_person_boxes(_file(tmp_path, text))
    merged = read_person_boxes(tmp_path / "boxes.csv")
    assert merged["score"].tolist() == [0.625, 0.875]
    write_dense_proposals(merged, tmp_path / "b.pkl")
    write_coco_persons(boxes, tmp_path / "b.json", frame_size=lambda _video: (64, 128))
    write_labelled_person_boxes(boxes.rows, tmp_path / "b.csv.gz")
    expected = merged.drop(columns="line")
    for name in ("b.pkl", "b.json", "b.csv.gz"):
        found = read_person_boxes(tmp_path / name).drop(columns="line")
        pd.testing.assert_frame_equal(found, expected)


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"read from \.csv.*; this is \.npy: rename or convert"):
        read_person_boxes(tmp_path / "boxes.npy")
    with pytest.raises(DataError, match="this is a file without suffix"):
        read_person_boxes(tmp_path / "boxes")


_ROWS = st.lists(
    st.tuples(
        st.text("ab-_9", min_size=1, max_size=4),
        st.integers(0, 2000),
        st.tuples(st.integers(0, 998), st.integers(0, 998)),
        st.one_of(st.none(), st.integers(-1, 80)),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(_ROWS, st.booleans())
def test_what_is_written_is_read(tmp_path_factory, drawn, packed):
    table = pd.DataFrame(
        {
            "video_id": np.array([row[0] for row in drawn], dtype=object),
            "timestamp": np.array([row[1] for row in drawn], np.float64),
            "x1": [row[2][0] / 1000 for row in drawn],
            "y1": [row[2][1] / 1000 for row in drawn],
            "x2": [(row[2][0] + 1) / 1000 for row in drawn],
            "y2": 1.0,
            "label": pd.array([row[3] for row in drawn], dtype="Int64"),
            "score": [row[4] for row in drawn],
            "line": np.arange(1, len(drawn) + 1),
        }
    )
    path = tmp_path_factory.mktemp("boxes") / ("b.csv.gz" if packed else "b.csv")
    write_labelled_person_boxes(table, path)
    found = read_labelled_person_boxes(path).rows
    text = {"video_id": object}
    pd.testing.assert_frame_equal(found.astype(text), table.astype(text))
