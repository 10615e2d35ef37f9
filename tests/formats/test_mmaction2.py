"""Dense proposals of MMAction2: read without trust, written for every NumPy, faults by key."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError
from x3d_det.formats.mmaction2 import read_dense_proposals, write_dense_proposals

BOX = [0.1, 0.2, 0.3, 0.4, 0.9]


def _pickle(tmp_path, content, protocol=4):
    path = tmp_path / "proposals.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_rows_in_the_order_of_the_file(tmp_path, protocol):
    content = {
        "b,0902": np.array([BOX, [0.5, 0.5, 1, 1, 0.25]]),
        "a,0904": np.empty((0, 5)),
        "a-,1": np.array([BOX], np.float32),
    }
    boxes = read_dense_proposals(_pickle(tmp_path, content, protocol))
    assert boxes.rows["video_id"].tolist() == ["b", "b", "a-"]
    assert boxes.rows["timestamp"].tolist() == [902.0, 902.0, 1.0]
    assert boxes.rows["score"].tolist() == [0.9, 0.25, float(np.float32(0.9))]
    assert boxes.rows["label"].isna().all()
    assert boxes.empty_keyframes[["video_id", "timestamp"]].to_numpy().tolist() == [["a", 904.0]]
    assert boxes.notes == ()


def test_four_columns_have_score_one_and_a_note(tmp_path):
    path = _pickle(tmp_path, {"v,0902": np.array([BOX[:4]]), "v,0903": np.array([BOX])})
    boxes = read_dense_proposals(path)
    assert boxes.rows["score"].tolist() == [1.0, 0.9]
    assert boxes.notes == ("1 boxes have no score; 1 is taken",)


def test_the_real_sample_is_read_and_written_for_plain_pickle(shared_dir, tmp_path):
    source = shared_dir / "ava" / "formats" / "mmaction2_proposals_sample.pkl"
    boxes = read_dense_proposals(source)
    assert len(boxes.rows) == 5
    path = tmp_path / "out.pkl"
    write_dense_proposals(boxes.rows, path)
    found, expected = (pickle.loads(file.read_bytes()) for file in (path, source))
    assert list(found) == list(expected)
    for key, array in expected.items():
        assert found[key].dtype == np.float64
        np.testing.assert_array_equal(found[key], array)


def test_old_numpy_can_read_what_is_written(tmp_path):
    rows = read_dense_proposals(_pickle(tmp_path, {"v,0902": np.array([BOX])})).rows
    write_dense_proposals(rows, tmp_path / "out.pkl")
    content = (tmp_path / "out.pkl").read_bytes()
    assert b"numpy._core" not in content  # a name that NumPy 1 does not have
    assert b"numpy.core.multiarray" in content
    array = pickle.loads(content)["v,0902"]
    array[0, 0] = 0.5  # MMAction2 scales boxes in place
    assert array[0, 0] == 0.5


def _with(*rows):
    return {"v,0902": np.array(rows)}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([1, 2], "holds a list; MMAction2's proposals are a dict of arrays"),
        ({}, "holds an empty dict"),
        ({"v": np.array([BOX])}, "'v': is no key of the form 'video,0902'"),
        ({"v,x": np.array([BOX])}, "'v,x': is no key of the form"),
        ({"v,-1": np.array([BOX])}, "'v,-1': is no key of the form"),
        ({12: np.array([BOX])}, "12: is no key of the form"),
        ({"../v,0902": np.array([BOX])}, "'../v,0902': the video id must be a bare file name"),
        (_with(BOX) | {"v,902": np.array([BOX])}, "'v,902': is the keyframe of 'v,0902' again"),
        ({"v,0902": [BOX]}, "'v,0902': holds a list, not an array of N x 5"),
        (_with(*BOX), "'v,0902': has the shape (5,) of float64; it must be N x 5"),
        ({"v,0902": np.ones((2, 6))}, "has the shape (2, 6) of float64"),
        ({"v,0902": np.array([["a"] * 5])}, "has the shape (1, 5) of <U1"),
        (_with(BOX, [0.1, np.nan, 0.3, 0.4, 0.9]), "box 1 (0.1, nan, 0.3, 0.4, 0.9) must be fini"),
        (_with([1, 2, 30, 40, 0.9]), "box 0 (1, 2, 30, 40, 0.9) has corners outside [0, 1]; div"),
        (_with([0.3, 0.2, 0.1, 0.4, 0.9]), "box 0 (0.3, 0.2, 0.1, 0.4, 0.9) is upside down"),
        (_with([0.1, 0.2, 0.3, 0.4, 1.5]), "has a score outside [0, 1]"),
        (_with(BOX, BOX), "box 1 (0.1, 0.2, 0.3, 0.4, 0.9) is there twice"),
    ],
)
def test_faults_are_named_with_their_key(tmp_path, content, text):
    path = _pickle(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_dense_proposals(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert text in str(caught.value)


def test_all_faults_at_once(tmp_path):
    content = {"v,x": np.array([BOX]), "v,0902": np.array(BOX), "w,1": np.array([[2, 0, 3, 1, 1]])}
    with pytest.raises(DataError) as caught:
        read_dense_proposals(_pickle(tmp_path, content))
    assert len(str(caught.value).splitlines()) == 3


class _Evil:
    def __reduce__(self):
        return eval, ("1 / 0",)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    with pytest.raises(DataError, match=r"builtins\.eval"):
        read_dense_proposals(_pickle(tmp_path, {"v,0902": _Evil()}))


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.text("ab-_,9 é", min_size=1, max_size=4).map(str.strip), st.integers(0, 9999)),
        st.lists(
            st.tuples(st.integers(0, 98), st.integers(0, 98), st.floats(0, 1)),
            max_size=4,
            unique_by=lambda row: row[:2],
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read(tmp_path_factory, drawn):
    drawn = {key: rows for key, rows in drawn.items() if key[0] and "," not in key[0]}
    if not drawn:
        return
    content = {
        f"{video},{second:04d}": np.array(
            [[x / 99, y / 99, (x + 1) / 99, 1, score] for x, y, score in rows], np.float64
        ).reshape(-1, 5)
        for (video, second), rows in drawn.items()
    }
    folder = tmp_path_factory.mktemp("pickles")
    boxes = read_dense_proposals(_pickle(folder, content))
    write_dense_proposals(boxes.rows, folder / "out.pkl")
    found = pickle.loads((folder / "out.pkl").read_bytes())
    # MMAction2 takes the maximum of the scores: an array without rows would stop it
    assert set(found) == {key for key, array in content.items() if len(array)}
    for key, array in found.items():
        np.testing.assert_array_equal(array, content[key])
    if not found:
        return
    again = read_dense_proposals(folder / "out.pkl")
    pd.testing.assert_frame_equal(again.rows, boxes.rows)
