"""AVA's csv files read: annotations, person boxes, detections and lists, in every form."""

import gzip

import numpy as np
import pandas as pd
import pytest
from ava_csv_files import GOOD, csv_file

from x3d_det.errors import DataError
from x3d_det.io.ava_csv import read_annotations, read_detections, read_exclusions, read_proposals


def test_annotations_of_v2(tmp_path):
    path = csv_file(tmp_path, GOOD + "-x_Y,1798,0.000,0,1,0.999,80,3\n")
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
    annotations = read_annotations(csv_file(tmp_path, text))
    assert annotations.rows["timestamp"].tolist() == [17.0, 13.5]
    assert annotations.rows["person_id"].tolist() == [-1, -1]
    assert annotations.rows["line"].tolist() == [1, 3]
    assert annotations.empty_keyframes.to_numpy().tolist() == [["k", 5.016949, 2], ["m", 13.5, 4]]


def test_first_line_of_two_columns_and_blank_lines(tmp_path):
    annotations = read_annotations(csv_file(tmp_path, "k,5\n\n" + GOOD + "\n"))
    assert annotations.rows["line"].tolist() == [3]
    assert annotations.empty_keyframes["line"].tolist() == [1]


def test_old_line_ends_and_gzip(tmp_path):
    path = csv_file(tmp_path, gzip.compress(GOOD.replace("\n", "\r").encode() * 1), "a.csv.gz")
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
    path = csv_file(tmp_path, f"v,1,{texts[0]},{texts[1]},{texts[3]},{texts[3]},5,{texts[2]}\n")
    row = read_detections(path).iloc[0]
    assert [row["x1"], row["y1"], row["score"]] == [float(text) for text in texts[:3]]


def test_proposals_of_every_label_form(tmp_path):
    text = (
        "v,0902,0.1,0.2,0.3,0.4,,0.91\nv,0902,0.1,0.2,0.3,0.4,12,0.95\nv,902,0.1,0.2,0.3,0.4,-1,0.9\n"
        "v,0902,0.5,0.2,0.9,0.4,7,1.0\nw,0902,0.1,0.2,0.3,0.4,7,0\n"
    )
    rows = read_proposals(csv_file(tmp_path, text))
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
    path = csv_file(tmp_path, "v,902,-0.5,0.2,3,0.4,999,0.25\nw,0902,0.9,0.2,0.1,0.4,-3,7\n")
    rows = read_detections(path)
    assert isinstance(rows["video_id"].dtype, pd.CategoricalDtype)
    assert rows["video_id"].tolist() == ["v", "w"]
    assert rows["action_id"].tolist() == [999, -3]
    assert rows["score"].tolist() == [0.25, 7.0]
    assert rows.attrs["num_unscored"] == 0
    assert read_detections(csv_file(tmp_path, "")).empty
    assert read_annotations(csv_file(tmp_path, ""), strict=False).rows.empty


def test_detections_without_score_and_with_two_columns(tmp_path):
    rows = read_detections(csv_file(tmp_path, "v,902,0,0,1,1,5\nv,903\nv,904,0,0,1,1,5,0.5\n"))
    assert np.isnan(rows["score"].iloc[0])
    assert rows["score"].iloc[1] == 0.5
    assert rows["line"].tolist() == [1, 3]
    assert rows.attrs["num_unscored"] == 1
    assert rows.attrs["keyframe_lines"] == (2,)


def test_tolerant_reading_keeps_what_evaluators_keep(tmp_path):
    text = 'v,902,-2,0.5,0.1,0.2,0,3_\n"v,w",902,0,0,1,1,-7,1.0000\n'
    annotations = read_annotations(csv_file(tmp_path, text), strict=False)
    assert annotations.rows["video_id"].tolist() == ["v", "v,w"]
    assert annotations.rows["x1"].tolist() == [-2.0, 0.0]
    assert annotations.rows["action_id"].tolist() == [0, -7]
    assert annotations.rows["person_id"].tolist() == [-1, 1]
    assert annotations.unreadable_person_lines == (1,)
