"""Annotations as csv: every form written, read, and what each cannot hold."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError
from x3d_det.formats.ava import read_result_ground_truth, write_annotation_rows
from x3d_det.formats.rows import needed_decimals, rounding_notes
from x3d_det.io.ava_csv import AvaAnnotations, read_annotations

TEXT = "b,0902,0.100,0.200,0.300,0.400,12,0\na,0903\nb,0904,0.500,0.250,0.750,0.875,80,1\n"


def _read(tmp_path, text):
    path = tmp_path / "in.csv"
    path.write_text(text)
    return read_annotations(path)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("ava", TEXT),
        ("ava-v1.0", TEXT.replace(",12,0", ",12").replace(",80,1", ",80")),
        (
            "ava-kinetics",
            "b,902.000000,0.100000,0.200000,0.300000,0.400000,12\na,903.000000\n"
            "b,904.000000,0.500000,0.250000,0.750000,0.875000,80\n",
        ),
        (
            "result-ground-truth",
            "b,0902,0.100,0.200,0.300,0.400,12,1.0000\nb,0904,0.500,0.250,0.750,0.875,80,1.0000\n",
        ),
    ],
)
def test_each_form_has_its_own_lines(tmp_path, form, expected):
    write_annotation_rows(_read(tmp_path, TEXT), tmp_path / "out.csv", form=form)
    assert (tmp_path / "out.csv").read_text() == expected


def test_as_many_decimals_as_the_boxes_have(tmp_path):
    annotations = _read(tmp_path, "v,0902,0.1,0.25,0.9982302083333333,1,12\n")
    assert needed_decimals(annotations.rows) == 17
    write_annotation_rows(annotations, tmp_path / "out.csv")
    assert read_annotations(tmp_path / "out.csv").rows.equals(annotations.rows)
    assert needed_decimals(_read(tmp_path, "v,0902,0.1,0.25,0.3,1,12\n").rows) == 3
    assert needed_decimals(_read(tmp_path, "v,0902,0.1,0.2501,0.3,1,12\n").rows) == 4


def test_rounding_is_told_and_never_flattens_a_box(tmp_path):
    rows = _read(tmp_path, "v,0902,0.1,0.2,0.3004,0.4,12\nw,0902,0.1,0.2,0.3,0.4,12\n").rows
    assert rounding_notes(rows, 3) == ("1 of 2 boxes are rounded to 3 decimals",)
    assert rounding_notes(rows, 4) == ()
    flat = _read(tmp_path, "v,0902,0.1,0.2,0.1004,0.4,12\n").rows
    with pytest.raises(
        DataError, match=r"3 decimals leave 1 boxes .* 0\.1, 0\.2, 0\.1004, 0\.4 of"
    ):
        rounding_notes(flat, 3)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("ava_val_v2.2_excerpt.csv", "ava"),
        ("ava_train_v2.2_excerpt.csv", "ava"),
        ("ava_test_v1.0.csv", "ava-v1.0"),
        ("ava_kinetics_val_v1.0_first_12000_rows.csv", "ava-kinetics"),
    ],
)
def test_real_files_come_back_byte_for_byte(shared_dir, tmp_path, name, form):
    source = shared_dir / "ava" / "annotations" / name
    write_annotation_rows(read_annotations(source), tmp_path / "out.csv", form=form)
    assert (tmp_path / "out.csv").read_bytes() == source.read_bytes()


def test_real_files_without_trailing_zeros_come_back_in_value(shared_dir, tmp_path):
    source = shared_dir / "ava" / "annotations" / "ava_val_v2.1_pose_only_16_videos.csv"
    annotations = read_annotations(source)
    write_annotation_rows(annotations, tmp_path / "out.csv.gz", form="ava")
    assert read_annotations(tmp_path / "out.csv.gz").rows.equals(annotations.rows)


def test_ground_truth_of_pyslowfast_comes_back_byte_for_byte(shared_dir, tmp_path):
    source = shared_dir / "ava" / "eval_cases" / "real" / "r01_slowfast_ava22_one_video" / "gt.csv"
    annotations = read_result_ground_truth(source)
    assert len(annotations.rows) == 555
    assert (annotations.rows["person_id"] == -1).all()
    write_annotation_rows(annotations, tmp_path / "out.csv", form="result-ground-truth")
    assert (tmp_path / "out.csv").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("v,0902,0.1,0.2,0.3,0.4,12,0.5", ":2: the score is 0.5; a ground truth"),
        ("v,0902,0.1,0.2,1.3,0.4,12,1.0", ":2: the box is outside the frame or upside down"),
        ("v,0902,0.3,0.2,0.1,0.4,12,1.0", ":2: the box is outside the frame or upside down"),
        ("v,0902,0.1,0.2,0.3,0.4,0,1.0", ":2: the action id is below 1"),
    ],
)
def test_faults_of_a_ground_truth_in_result_form(tmp_path, line, text):
    path = tmp_path / "gt.csv"
    path.write_text(f"v,0902,0.1,0.2,0.3,0.4,12,1.0\n{line}\n")
    with pytest.raises(DataError) as caught:
        read_result_ground_truth(path)
    assert text in str(caught.value)


def test_a_video_id_that_a_csv_cannot_hold(tmp_path):
    rows = _read(tmp_path, TEXT).rows.assign(video_id="a,b")
    empty = rows.loc[[], ["video_id", "timestamp", "line"]]
    with pytest.raises(DataError, match=r"the video id 'a,b' cannot be written"):
        write_annotation_rows(AvaAnnotations(rows, empty, "x"), tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


_IDS = st.text("abZ09-_é", min_size=1, max_size=6)
_STAMPS = st.one_of(
    st.integers(0, 9999).map(float), st.integers(0, 10**9).map(lambda n: round(n / 1e6, 6))
)


@st.composite
def annotation_tables(draw):
    """Rows with distinct keys and empty keyframes in between, as a reader returns them."""
    scale = 10 ** draw(st.integers(1, 12))
    count = draw(st.integers(0, 6))
    rows = []
    for index in range(count):
        x1, y1 = (draw(st.integers(0, scale - 1)) for _ in range(2))
        x2, y2 = (draw(st.integers(low + 1, scale)) for low in (x1, y1))
        box = [value / scale for value in (x1, y1, x2, y2)]
        rows.append([f"{draw(_IDS)}{index}", draw(_STAMPS), *box, draw(st.integers(1, 80)), index])
    names = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id"]
    table = pd.DataFrame(rows, columns=names).astype({"action_id": np.int64, "person_id": np.int64})
    table = table.astype(dict.fromkeys(names[1:6], np.float64))
    table["line"] = np.arange(1, 2 * count + 1, 2)
    empty = pd.DataFrame(
        {
            "video_id": np.array([draw(_IDS) for _ in range(count + 1)], dtype=object),
            "timestamp": np.array([draw(_STAMPS) for _ in range(count + 1)], np.float64),
            "line": np.arange(2, 2 * count + 3, 2),
        }
    )
    return AvaAnnotations(table, empty, "drawn")


@settings(max_examples=40, deadline=None)
@given(annotation_tables(), st.sampled_from(["ava", "ava-v1.0", "ava-kinetics"]))
def test_what_is_written_is_read(tmp_path_factory, annotations, form):
    path = tmp_path_factory.mktemp("forms") / "a.csv"
    write_annotation_rows(annotations, path, form=form)
    found = read_annotations(path)
    expected = annotations.rows.assign(line=found.rows["line"])
    if form != "ava":
        expected["person_id"] = np.int64(-1)
    pd.testing.assert_frame_equal(_plain(found.rows), _plain(expected))
    pairs = [_plain(t.empty_keyframes)[["video_id", "timestamp"]] for t in (found, annotations)]
    pd.testing.assert_frame_equal(*pairs)


def _plain(table):
    """The type of a column of text is pandas' own choice, and another one in an empty table."""
    return table.astype({"video_id": object})
