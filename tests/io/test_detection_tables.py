"""Detections in parquet and npz: the same numbers as csv, and each fault named."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from x3d_det.errors import DataError
from x3d_det.evaluation import evaluate_files
from x3d_det.io.detection_tables import read_detection_table, write_detection_table

FORMS = [".csv", ".csv.gz", ".parquet", ".npz"]


def _rows(number=5):
    rng = np.random.default_rng(3)
    box = rng.random((number, 2))
    return pd.DataFrame(
        {
            "video_id": np.resize(np.array(["-a", "b b", "-a"], object), number),
            "timestamp": np.resize([902.0, 902.0, 1798.5], number),
            "x1": box[:, 0] / 3,
            "y1": box[:, 1] / 3,
            "x2": 0.5 + box[:, 0] / 3,
            "y2": 0.5 + box[:, 1] / 3,
            "action_id": np.arange(number) * 7 + 1,
            "score": rng.random(number),
        }
    )


def _columns(number=2):
    columns = {name: values.to_numpy() for name, values in _rows(number).items()}
    return columns | {"video_id": columns["video_id"].astype(str)}


def _npz(path, **changes):
    columns = _columns() | changes
    np.savez(path, **{name: values for name, values in columns.items() if values is not None})
    return path


def _parquet(path, **changes):
    columns = _columns() | changes
    columns = {name: values for name, values in columns.items() if values is not None}
    parquet.write_table(pa.table(columns), path)
    return path


def _error(path):
    with pytest.raises(DataError) as caught:
        read_detection_table(path)
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("number", [0, 1, 5, 700])
def test_round_trip_keeps_every_bit(tmp_path, form, number):
    path = tmp_path / f"found{form}"
    write_detection_table(_rows(number), path)
    rows = read_detection_table(path)
    wanted = _rows(number)
    assert rows["video_id"].tolist() == wanted["video_id"].tolist()
    for name in wanted.columns[1:]:
        kind = np.int64 if name == "action_id" else np.float64
        assert rows[name].dtype == kind
        assert rows[name].tolist() == wanted[name].tolist()
    assert rows.attrs == {"path": str(path), "num_unscored": 0, "keyframe_lines": ()}
    assert ("line" in rows.columns) == form.startswith(".csv")


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_the_same_from_every_form(tmp_path, form):
    truth = tmp_path / "gt.csv"
    truth.write_text("v,902,0,0,1,1,12,0\nv,903,0,0,1,1,12,0\n")
    rows = _rows(6).assign(video_id="v", timestamp=[902.0, 902, 902, 903, 903, 904], action_id=12)
    rows.loc[:2, ["x1", "y1", "x2", "y2"]] = [0.0, 0.0, 0.9, 0.9]
    write_detection_table(rows, tmp_path / f"found{form}")
    report = evaluate_files(truth, tmp_path / f"found{form}")
    write_detection_table(rows, tmp_path / "plain.csv")
    alone = evaluate_files(truth, tmp_path / "plain.csv")
    assert report.per_class[12] == alone.per_class[12] > 0
    assert report.counts == alone.counts


def test_npz_as_others_write_it(tmp_path):
    # Ids as text, ids as numbers in video_names, float32, small whole numbers, packed.
    columns = _columns()
    small = {
        "timestamp": columns["timestamp"].astype(np.uint16),
        "score": columns["score"].astype(np.float32),
        "action_id": columns["action_id"].astype(np.uint8),
    }
    plain = read_detection_table(_npz(tmp_path / "text.npz", **small))
    names = {"video_id": np.array([1, 0], np.uint8), "video_names": np.array(["b b", "-a"])}
    numbered = read_detection_table(_npz(tmp_path / "numbers.npz", **small, **names))
    np.savez_compressed(tmp_path / "packed.npz", **(columns | small | names))
    packed = read_detection_table(tmp_path / "packed.npz")
    for table in (plain, numbered, packed):
        assert table["video_id"].tolist() == ["-a", "b b"]
        assert table["score"].tolist() == columns["score"].astype(np.float32).tolist()
        assert table["timestamp"].tolist() == [902.0, 902.0]


def test_parquet_as_others_write_it(tmp_path):
    extra = {"frame": np.arange(2), "action_id": np.array([3, 4], np.int8)}
    ids = pa.array(["-a", "b b"], pa.large_string())
    rows = read_detection_table(_parquet(tmp_path / "a.parquet", **extra, video_id=ids))
    assert rows["action_id"].tolist() == [3, 4]
    assert rows["video_id"].tolist() == ["-a", "b b"]
    assert "frame" not in rows.columns
    many = pa.table(_columns(900))
    parquet.write_table(many, tmp_path / "b.parquet", row_group_size=100)
    assert read_detection_table(tmp_path / "b.parquet")["x1"].tolist() == _rows(900)["x1"].tolist()


def test_rows_without_a_score(tmp_path):
    truth = tmp_path / "gt.csv"
    truth.write_text("v,902,0,0,1,1,12,0\n")
    absent = {"score": None}
    for path in (_npz(tmp_path / "a.npz", **absent), _parquet(tmp_path / "a.parquet", **absent)):
        rows = read_detection_table(path)
        assert rows["score"].isna().all()
        assert rows.attrs["num_unscored"] == 2
        with pytest.raises(DataError, match=r"a\.\w+, row 0: the row has no score \(2 such rows\)"):
            evaluate_files(truth, path)
    some = pa.array([0.5, None])
    rows = read_detection_table(_parquet(tmp_path / "b.parquet", score=some))
    assert rows["score"].tolist()[0] == 0.5
    assert rows.attrs["num_unscored"] == 1


def test_rows_are_named_by_number(tmp_path):
    truth = tmp_path / "gt.csv"
    truth.write_text("v,902,0,0,1,1,12,0\n")
    path = _npz(tmp_path / "a.npz", timestamp=np.array([902, 902.5]))
    with pytest.raises(DataError, match=r"a\.npz, row 1: the second 902\.5 has a fraction"):
        evaluate_files(truth, path)


@pytest.mark.parametrize("form", ["npz", "parquet"])
def test_faults_of_columns(tmp_path, form):
    def error(**changes):
        write = _npz if form == "npz" else _parquet
        return _error(write(tmp_path / f"a.{form}", **changes))

    assert error(y2=None) == (
        f"a.{form} has no column y2; it has video_id, timestamp, x1, y1, x2, action_id, score."
    )
    assert "the column x1 holds" in error(x1=np.array(["0", "1"]))
    assert "the column action_id holds" in error(action_id=np.array([1.0, 2.0]))
    assert error(score=np.array([0.5, np.nan])) == (
        f"a.{form}: score must be a finite number; 1 rows are not (1: nan; rows count from 0)."
    )
    assert "x2 must be a finite number; 2 rows are not (0: inf, 1: -inf" in error(
        x2=np.array([np.inf, -np.inf])
    )
    assert "the column video_id holds" in error(video_id=np.array([0.5, 1.0]))


def test_faults_of_npz(tmp_path):
    path = tmp_path / "a.npz"
    short = _npz(path, x1=np.zeros(3))
    assert _error(short) == (
        "a.npz: the column x1 is shaped (3,), video_id (2,); all must be (N,)."
    )
    numbers = np.array([0, 5])
    assert _error(_npz(path, video_id=numbers)) == (
        "a.npz: video_id holds numbers, so video_names must hold their texts."
    )
    names = np.array(["a", "b"])
    assert "video_id has 5; video_names has 2 texts, so 0 to 1 are" in _error(
        _npz(path, video_id=numbers, video_names=names)
    )
    assert "video_id has -1;" in _error(_npz(path, video_id=np.array([0, -1]), video_names=names))
    assert "video_names repeats a text" in _error(
        _npz(path, video_id=np.array([0, 1]), video_names=np.array(["a", "a"]))
    )
    assert "video_id is shaped (2, 1)" in _error(_npz(path, video_id=np.array([["a"], ["b"]])))
    assert "cannot read a.npz as npz" in _error(_npz(path, video_id=np.array(["a", 1], object)))
    path.write_bytes(b"")
    assert "cannot read a.npz as npz" in _error(path)
    whole = _npz(tmp_path / "whole.npz").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "it is damaged, cut short or holds objects" in _error(path)
    assert _error(tmp_path / "none.npz") == "cannot read none.npz: No such file or directory."
    with (tmp_path / "bare.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    assert "cannot read bare.npz as npz: File is not a zip file" in _error(tmp_path / "bare.npz")


def test_faults_of_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and no more")
    assert _error(path).startswith("cannot read a.parquet as parquet: ")
    assert "No such file" in _error(tmp_path / "none.parquet")
    assert _error(_parquet(path, video_id=pa.array(["a", None]))) == (
        "a.parquet, row 1: there is no video id (1 such rows)."
    )
    assert _error(_parquet(path, x1=pa.array([None, 0.5]))) == (
        "a.parquet, row 0: x1 is null (1 such rows); only a score may be."
    )
    assert "score must be a finite number" in _error(
        _parquet(path, score=pa.array([None, float("inf")]))
    )


@pytest.mark.parametrize("form", FORMS)
def test_what_cannot_be_written(tmp_path, form):
    path = tmp_path / f"a{form}"
    with pytest.raises(DataError, match="has no column score"):
        write_detection_table(_rows().drop(columns="score"), path)
    with pytest.raises(DataError, match="x1"):
        write_detection_table(_rows().assign(x1=np.nan), path)
    with pytest.raises(DataError, match="action_id"):
        write_detection_table(_rows().assign(action_id=0.5), path)
    with pytest.raises(DataError, match="row 1 has no video id"):
        write_detection_table(_rows().assign(video_id=["a", None, "a", "a", "a"]), path)
    assert not path.exists()
