"""AVA's csv files written: what is written reads back, what cannot be written is named."""

import numpy as np
import pandas as pd
import pytest
from ava_csv_files import GOOD, csv_file, error_of

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
    path = csv_file(tmp_path, GOOD + "vid,0905\n" + GOOD.replace("12,0", "80,11"))
    annotations = read_annotations(path)
    write_annotations(annotations, tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_text()
    assert text == (
        "vid,0902,0.100,0.200,0.300,0.400,12,0\nvid,0902,0.100,0.200,0.300,0.400,80,11\nvid,0905\n"
    )
    write_annotations(annotations.rows.assign(person_id=-1), tmp_path / "out.csv", decimals=1)
    assert (tmp_path / "out.csv").read_text().startswith("vid,0902,0.1,0.2,0.3,0.4,12\n")


def test_proposals_and_exclusions_read_back(tmp_path):
    path = csv_file(tmp_path, "v,0902,0.1,0.2,0.3,0.4,,0.912345678\nv,17.5,0.1,0.2,0.3,0.4,7,1\n")
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
        assert text in error_of(path, lambda p, table=table: write_detections(table, p))
    assert not path.exists()
