"""Folders of images, as PySlowFast and MMAction2 keep them."""

import numpy as np
import pytest
from PIL import Image
from video_files import frame_number, numbered_frame

from x3d_det.errors import VideoError
from x3d_det.io.frame_folder import FrameFolderReader


def make_folder(root, video_id, *, num_frames, name, first_index=1):
    (root / video_id).mkdir(parents=True)
    for number in range(num_frames):
        image = Image.fromarray(numbered_frame(number))
        image.save(root / video_id / name.format(video_id=video_id, index=first_index + number))


LAYOUTS = {
    "pyslowfast": ("{video_id}_{index:06d}.jpg", 1),
    "mmaction2": ("img_{index:05d}.jpg", 1),
    "from zero": ("{index}.png", 0),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_at_seconds(tmp_path, layout):
    template, first_index = LAYOUTS[layout]
    make_folder(tmp_path, "-a_1", num_frames=30, name=template, first_index=first_index)
    reader = FrameFolderReader(tmp_path, template=template, fps=10, first_index=first_index)
    # 10 a second: second 0.35 shows frame 3; 2.9 to 3.0 the last, number 29
    clip = reader.read_frames_at("-a_1", [0.35, -0.2, 0.0, 2.95, 3.5, 0.35])
    assert [frame_number(frame) for frame in clip.frames_THWC] == [3, 0, 0, 29, 29, 3]
    assert clip.clamped_T.tolist() == [False, True, False, False, True, False]
    np.testing.assert_allclose(clip.pts_seconds_T, [0.3, 0.0, 0.0, 2.9, 2.9, 0.3])
    assert clip.num_decoded == 3


def test_thirtieths_meet_their_frames(tmp_path):
    make_folder(tmp_path, "a", num_frames=60, name="img_{index:05d}.jpg")
    reader = FrameFolderReader(tmp_path, template="img_{index:05d}.jpg", fps=30)
    clip = reader.read_frames_at("a", 900 + np.arange(60) / 30 - 900)  # rounding errors included
    assert [frame_number(frame) for frame in clip.frames_THWC] == list(range(60))


def test_errors_name_the_file(tmp_path):
    make_folder(tmp_path, "a", num_frames=20, name="img_{index:05d}.jpg")
    reader = FrameFolderReader(tmp_path, template="img_{index:05d}.jpg", fps=10)
    (tmp_path / "a" / "img_00006.jpg").unlink()
    with pytest.raises(VideoError, match=r"a/img_00006\.jpg: this frame is missing"):
        reader.read_frames_at("a", [0.5])
    (tmp_path / "a" / "img_00007.jpg").write_bytes(b"no image")
    with pytest.raises(VideoError, match=r"a/img_00007\.jpg: is no readable image"):
        reader.read_frames_at("a", [0.6])
    whole = (tmp_path / "a" / "img_00009.jpg").read_bytes()
    (tmp_path / "a" / "img_00008.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match=r"a/img_00008\.jpg: is no readable image"):
        reader.read_frames_at("a", [0.7])
    Image.new("RGB", (10, 10)).save(tmp_path / "a" / "img_00010.jpg")
    with pytest.raises(VideoError, match=r"img_00010\.jpg: is 10x10, other frames of the clip 64x"):
        reader.read_frames_at("a", [0.8, 0.9])


def test_outside_the_frames(tmp_path):
    make_folder(tmp_path, "a", num_frames=20, name="img_{index:05d}.jpg")
    reader = FrameFolderReader(tmp_path, template="img_{index:05d}.jpg", fps=10)
    with pytest.raises(VideoError, match=r"second 5\.000 is outside the frames, which last 2\.000"):
        reader.read_frames_at("a", [1.0, 5.0], required_seconds=[5.0])
    with pytest.raises(VideoError, match=r"second -3\.000 is outside"):
        reader.read_frames_at("a", [-3.0])
    assert reader.read_frames_at("a", [1.0, 5.0], required_seconds=[1.0]).num_clamped == 1


def test_no_folder_no_frames_no_template(tmp_path):
    reader = FrameFolderReader(tmp_path)
    with pytest.raises(VideoError, match=r"/b: there is no such folder of frames"):
        reader.read_frames_at("b", [0.0])
    (tmp_path / "c").mkdir()
    with pytest.raises(VideoError, match=r"/c: holds no frame named like c_000001\.jpg"):
        reader.read_frames_at("c", [0.0])
    assert not reader.has_video("../" + tmp_path.name)
    with pytest.raises(VideoError, match=r"must hold \{index\}"):
        FrameFolderReader(tmp_path, template="img_%05d.jpg")


def test_too_large_an_image(tmp_path):
    make_folder(tmp_path, "a", num_frames=1, name="img_{index:05d}.jpg")
    reader = FrameFolderReader(tmp_path, template="img_{index:05d}.jpg", max_pixels=1000)
    with pytest.raises(VideoError, match="64x48 is more than the 1000 pixels"):
        reader.read_frames_at("a", [0.0])
