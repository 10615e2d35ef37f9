"""Where a film's frames come from."""

import numpy as np
import pytest
from ava_files import make_videos
from PIL import Image
from video_files import frame_number, make_video, numbered_frame

from x3d_det.data.clips import FrameFolder, VideoFolder, check_videos, missing_videos
from x3d_det.errors import DataError, VideoError
from x3d_det.io.frame_folder import FrameFolderReader


def numbers(clip):
    return [frame_number(frame) for frame in clip.frames_THWC]


def test_seconds_of_the_film(tmp_path):
    make_videos(tmp_path)
    source = VideoFolder(tmp_path, video_start_seconds=900.0)
    assert numbers(source.read("-v1", np.array([900.0, 902.5]))) == [0, 25]
    with pytest.raises(VideoError, match=r"v0\.mp4: second 10\.000 is outside the video"):
        source.read("v0", np.array([905.0, 910.0]), required_seconds=[910.0])
    assert numbers(VideoFolder(tmp_path, video_start_seconds=0).read("v0", np.array([2.5]))) == [25]


def test_endings_and_extra_paths(tmp_path):
    (tmp_path / "other").mkdir()
    make_video(tmp_path / "a.mp4", num_frames=5)
    make_video(tmp_path / "a.mkv", num_frames=9)
    make_video(tmp_path / "B.x.MKV", num_frames=3, container_format="matroska")
    far = make_video(tmp_path / "other" / "c.mp4", num_frames=3)
    source = VideoFolder(tmp_path, extensions=("mkv", "mp4"), paths={"d": far})
    assert source.describe("a") == str(tmp_path / "a.mkv")
    assert source.describe("d") == str(far)
    assert source.has_video("B.x")  # the id is the name without its last suffix
    assert not source.has_video("c")
    assert missing_videos(source, ["c", "a", "zz", "c"]) == ["c", "zz"]


def test_missing_videos_are_named_together(tmp_path):
    make_videos(tmp_path)
    source = VideoFolder(tmp_path, extensions=("mp4", "mkv"))
    check_videos(source, ["v0", "-v1"])
    ids = ["v0", *(f"x{place:02d}" for place in range(12))]
    with pytest.raises(DataError, match=r"12 of 13 videos are missing: x00, .*x09, \.\.\.; looked"):
        check_videos(source, ids)
    with pytest.raises(DataError, match=r"x00\.\{mp4,mkv\}"):
        check_videos(source, ids)
    with pytest.raises(VideoError, match=r"x00\.\{mp4,mkv\}: there is no such video file"):
        source.read("x00", np.array([902.0]))
    with pytest.raises(VideoError, match="no folder of videos"):
        VideoFolder(tmp_path / "none")


def test_a_folder_of_frames(tmp_path):
    (tmp_path / "-v").mkdir()
    for number in range(20):
        Image.fromarray(numbered_frame(number)).save(tmp_path / "-v" / f"-v_{number + 1:06d}.jpg")
    source = FrameFolder(FrameFolderReader(tmp_path, fps=10), video_start_seconds=900.0)
    assert numbers(source.read("-v", np.array([900.0, 901.25]))) == [0, 12]
    assert missing_videos(source, ["-v", "w"]) == ["w"]
    assert source.describe("w") == str(tmp_path / "w")
