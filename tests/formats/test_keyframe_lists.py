"""Lists of keyframes, seconds, video ids and file names."""

import numpy as np
import pandas as pd
import pytest

from x3d_det.errors import DataError
from x3d_det.formats.keyframe_lists import (
    keyframes_at,
    read_included_seconds,
    read_keyframes,
    read_video_list,
    write_file_names,
    write_included_seconds,
    write_keyframes,
    write_video_ids,
)


def _file(tmp_path, text, name="list.txt"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_official_exclusions_come_back_byte_for_byte(shared_dir, tmp_path, split):
    source = shared_dir / "ava" / "annotations" / f"ava_{split}_excluded_timestamps_v2.2.csv"
    write_keyframes(read_keyframes(source), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == source.read_bytes()


def test_official_seconds_come_back_byte_for_byte(shared_dir, tmp_path):
    source = shared_dir / "ava" / "annotations" / "ava_included_timestamps_v2.2.txt"
    seconds = read_included_seconds(source)
    assert (len(seconds), seconds[0], seconds[-1]) == (897, 902.0, 1798.0)
    write_included_seconds(keyframes_at(["b", "a"], seconds), tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == source.read_bytes()


def test_official_video_lists_come_back_byte_for_byte(shared_dir, tmp_path):
    folder = shared_dir / "ava" / "annotations"
    ids = read_video_list(folder / "ava_test_v2.2.txt")
    write_video_ids(ids, tmp_path / "ids.txt")
    assert (tmp_path / "ids.txt").read_bytes() == (folder / "ava_test_v2.2.txt").read_bytes()
    for name in ("ava_file_names_trainval_v2.1.txt", "ava_file_names_test_v2.1.txt"):
        files = read_video_list(folder / name)
        write_file_names(files, tmp_path / "names.txt")
        assert (tmp_path / "names.txt").read_bytes() == (folder / name).read_bytes()
    assert sorted(files["video_id"]) == sorted(ids["video_id"])


def test_fractional_seconds_come_back(tmp_path):
    path = _file(tmp_path, "-5K,0902\nb,17.016949\n", "k.csv")
    rows = read_keyframes(path)
    assert rows["timestamp"].tolist() == [902.0, 17.016949]
    write_keyframes(rows, tmp_path / "out.csv.gz")
    pd.testing.assert_frame_equal(read_keyframes(tmp_path / "out.csv.gz"), rows)


def test_every_second_of_every_video():
    rows = keyframes_at(["b", "a"], [902.0, 903.0])
    assert list(zip(rows["video_id"], rows["timestamp"], strict=True)) == [
        ("b", 902.0),
        ("b", 903.0),
        ("a", 902.0),
        ("a", 903.0),
    ]


def test_videos_that_differ_have_no_common_seconds(tmp_path):
    rows = keyframes_at(["a", "b"], [902.0, 903.0]).iloc[:3]
    with pytest.raises(DataError, match=r"holds for all videos, but a and b differ at second 0903"):
        write_included_seconds(rows, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


def test_file_names_need_their_suffix(tmp_path):
    rows = read_video_list(_file(tmp_path, "-5K.mkv\nabc\n"))
    assert rows["video_id"].tolist() == ["-5K", "abc"]
    assert rows["file_name"].tolist() == ["-5K.mkv", ""]
    with pytest.raises(DataError, match=r"has the id abc but not its file's suffix; give --videos"):
        write_file_names(rows, tmp_path / "out.txt")
    write_file_names(rows, tmp_path / "out.txt", find_name=lambda video_id: f"{video_id}.webm")
    assert (tmp_path / "out.txt").read_text() == "-5K.mkv\nabc.webm\n"


def test_an_id_that_looks_like_a_file_name_is_refused(tmp_path):
    rows = pd.DataFrame({"video_id": ["film.mp4"], "file_name": [""], "line": np.array([1])})
    with pytest.raises(DataError, match=r"'film\.mp4' looks like a file name"):
        write_video_ids(rows, tmp_path / "out.txt")


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (read_keyframes, "v,0902\nv,902\n", ":2: v,0902 is there twice"),
        (read_keyframes, "v,0902\nv\n", ":2: the line has 1 columns"),
        (read_included_seconds, "0902\nx\n", ":2: found 'x'; a line is one second, as in 0902"),
        (read_included_seconds, "0902\n-1\n", ":2: found '-1'"),
        (read_included_seconds, "0902\n902\n", ":2: the second 902 repeats line 1"),
        (read_included_seconds, "", ":1: the file is empty; it must hold seconds, one a line"),
        (read_included_seconds, b"0902\n\xff\n", ":2: byte 0xff is not UTF-8"),
        (read_included_seconds, b"\xef\xbb\xbf0902\n", ":1: the file begins with a byte order"),
        (read_video_list, "a\nb,0902\n", ":2: found 'b,0902'; a line is one video id or one file"),
        (read_video_list, "a\n../b\n", ":2: found '../b'"),
        (read_video_list, "a.mp4\na.mkv\n", ":2: a is there already, in line 1"),
        (read_video_list, "\n", ":1: the file is empty; it must hold video ids or file names"),
    ],
)
def test_faults_name_their_line(tmp_path, read, text, expected):
    path = _file(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}{expected}")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*none\.txt: No such file"):
        read_video_list(tmp_path / "none.txt")
