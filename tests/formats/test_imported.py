"""What the imports of annotation tools share: keyframes, names, one signature."""

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError
from x3d_det.formats.exports.coco_video import read_coco_video
from x3d_det.formats.exports.cvat import read_cvat
from x3d_det.formats.exports.imported import ImportReader
from x3d_det.formats.exports.keyframes import KeyframeClock, nearest_to_keyframes
from x3d_det.formats.exports.names import (
    is_person_attribute,
    parse_person,
    split_frame_name,
    video_name,
)
from x3d_det.formats.exports.via import read_via


def test_the_readers_have_one_signature():
    wanted = list(inspect.signature(ImportReader.__call__).parameters.values())[1:]
    for reader in (read_cvat, read_via, read_coco_video):
        assert list(inspect.signature(reader).parameters.values()) == wanted


@pytest.mark.parametrize("reader", [read_via, read_coco_video])
def test_absent_files(tmp_path, reader):
    with pytest.raises(DataError, match=r"cannot read .*none\.json: No such file"):
        reader(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("name", "video", "number"),
    [
        ("frame_000123", "", 123),
        ("000123.jpg", "", 123),
        ("img00001.PNG", "", 1),
        ("frame.7.png", "", 7),
        ("VIDEO/frame_000123", "VIDEO", 123),
        ("a/VIDEO/img_00001.jpg", "VIDEO", 1),
        ("images/VIDEO_000030.jpg", "VIDEO", 30),
        ("VIDEO_frame_000123.jpg", "VIDEO", 123),
        ("-5KQ66BBWC4_000001.jpg", "-5KQ66BBWC4", 1),
        ("a_b-2_0902.jpg", "a_b-2", 902),
        ("clip.v2.mp4_0007.jpeg", "clip.v2.mp4", 7),
        (r"C:\videos\v\0005.jpg", "v", 5),
        ("./images/00011384.jpg", "images", 11384),
        ("1j20qq1JyX4.jpg", "", None),
        ("VIDEO/cover.jpg", "VIDEO", None),
        ("", "", None),
    ],
)
def test_names_of_frames(name, video, number):
    assert split_frame_name(name) == (video, number)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("clip.MP4", "clip"),
        ("a/b/-5KQ66BBWC4.webm", "-5KQ66BBWC4"),
        ("https://host/x/Alioli.ogv?raw=1", "Alioli"),
        (r"C:\v\one.two.mkv", "one.two"),
        ("train/MOT17-02.FRCNN", "MOT17-02.FRCNN"),
        ("folder/v/", "v"),
        ("", ""),
    ],
)
def test_names_of_videos(text, name):
    assert video_name(text) == name


def test_names_of_persons():
    assert [parse_person(text) for text in (" 12", "Zoe ", "", "1e3", "-4")] == [
        *(12, "Zoe", None, "1e3", "-4")
    ]
    names = ["Track", "person id", "player-ID", "action", "identity", "trackid"]
    assert [is_person_attribute(name) for name in names] == [True, True, True, False, False, True]


def test_keyframes_by_hand():
    # 29.97 frames a second: seconds 0, 1, 2 are nearest to frames 0, 29.97 and 59.94.
    clock = KeyframeClock(30000 / 1001, 1.0)
    assert list(clock.keyframes(0, 60)) == [(0.0, 0), (1.0, 30), (2.0, 60)]
    assert list(clock.keyframes(1, 59)) == [(1.0, 30)]
    assert list(clock.keyframes(31, 59)) == []
    assert list(KeyframeClock(2.0, 0.0).keyframes(3, 8, step=2)) == [(1.5, 3), (2.5, 5), (3.5, 7)]


def test_nearest_by_hand():
    # The smallest gap is 0.17 s, so a keyframe reaches 0.085 s: 0.93 is second 1, 2.11 is none.
    seconds = [0.0, 0.93, 1.1, 2.11]
    assert nearest_to_keyframes(seconds, interval_seconds=1) == {0.0: 0.0, 0.93: 1.0}
    assert nearest_to_keyframes([0.9, 1.1], interval_seconds=1) == {0.9: 1.0}  # the earlier
    assert nearest_to_keyframes([1.2], interval_seconds=1) == {}
    assert nearest_to_keyframes([1.2], interval_seconds=1, frame_seconds=0.5) == {1.2: 1.0}
    assert nearest_to_keyframes([1.2, 3.3], interval_seconds=0) == {1.2: 1.2, 3.3: 3.3}
    # Neighbours 0.02 s apart: one further than half of that is not the keyframe's.
    assert nearest_to_keyframes([1.03, 1.05], interval_seconds=1) == {}


@settings(max_examples=100, deadline=None)
@given(
    fps=st.floats(1, 120),
    interval=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    first=st.integers(0, 400),
    length=st.integers(0, 400),
)
def test_keyframes_of_all_frames_are_the_nearest_of_a_search(fps, interval, first, length):
    """Law: picking from every frame, and asking the clock, give the same keyframes."""
    if interval and interval < 1 / fps:
        return
    clock = KeyframeClock(fps, interval)
    last = first + length
    found = list(clock.keyframes(first, last))
    assert all(first <= frame <= last for _, frame in found)
    picked = nearest_to_keyframes(
        [clock.seconds(frame) for frame in range(first, last + 1)],
        interval_seconds=interval,
        frame_seconds=1 / fps,
    )
    inner = {second for second, frame in found if first < frame < last}
    assert inner <= set(picked.values())
    for second, frame in found:
        assert abs(clock.seconds(frame) - second) <= 0.5 / fps + 1e-5
