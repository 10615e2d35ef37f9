"""Frames at given seconds, from every kind of video and every kind of damage."""

import os
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_files import cut_file, frame_number, make_audio, make_video, numbered_frame

from x3d_det.errors import VideoError
from x3d_det.io.video import iterate_frames, probe_video, read_frames_at


def numbers_at(path: Path, seconds: list[float], **options: object) -> list[int]:
    frames_THWC = read_frames_at(path, seconds, **options).frames_THWC
    return [frame_number(frame) for frame in frames_THWC]


# By hand: 10 frames a second, frame k is shown over [k / 10, (k + 1) / 10).
@pytest.mark.parametrize(
    ("second", "number"),
    [(0.0, 0), (0.05, 0), (0.0999, 1), (0.1, 1), (0.15, 1), (1.0, 10), (1.95, 19), (2.0, 19)],
)
def test_the_frame_shown_is_the_last_that_began(tmp_path, second, number):
    path = make_video(tmp_path / "a.mp4", num_frames=20, fps=10)
    assert numbers_at(path, [second, 0.5]) == [number, 5]


def test_order_and_repeats_are_kept(tmp_path):
    path = make_video(tmp_path / "a.mp4", num_frames=30, fps=10)
    clip = read_frames_at(path, [2.0, 0.3, 2.0, 1.1])
    assert [frame_number(frame) for frame in clip.frames_THWC] == [20, 3, 20, 11]
    np.testing.assert_allclose(clip.pts_seconds_T, [2.0, 0.3, 2.0, 1.1])
    assert clip.frames_THWC.dtype == np.uint8
    assert clip.frames_THWC.shape == (4, 48, 64, 3)


def test_ends_are_clamped_and_counted(tmp_path):
    path = make_video(tmp_path / "a.mp4", num_frames=20, fps=10)
    clip = read_frames_at(path, [-1.0, -0.01, 0.0, 1.99, 2.1, 3.0], required_seconds=[1.0])
    assert [frame_number(frame) for frame in clip.frames_THWC] == [0, 0, 0, 19, 19, 19]
    # 1.99 is within the last frame's own tenth of a second
    assert clip.clamped_T.tolist() == [True, True, False, False, True, True]
    assert clip.num_clamped == 4


KINDS = {
    "h264_mp4": {"file": "a.mp4"},
    "h264_b_frames": {"file": "a.mp4", "b_frames": 3, "gop_frames": 30},
    "h264_open_gop": {
        "file": "a.mkv",
        "b_frames": 3,
        "options": {"preset": "medium", "x264-params": "open-gop=1:bframes=3:keyint=12"},
    },
    "h264_29_97": {"file": "a.mp4", "fps": Fraction(30000, 1001), "b_frames": 2},
    "h264_23_976_mkv": {"file": "a.mkv", "fps": Fraction(24000, 1001)},
    "h264_1000_fps": {"file": "a.mp4", "fps": 1000},
    "h264_10_bit": {"file": "a.mkv", "pix_fmt": "yuv420p10le"},
    "h264_444": {"file": "a.mkv", "pix_fmt": "yuv444p"},
    "h264_full_range": {"file": "a.mp4", "pix_fmt": "yuvj420p"},
    "h264_interlaced": {"file": "a.mp4", "options": {"x264-params": "tff=1"}},
    "h264_flv": {"file": "a.flv"},
    "h264_transport_stream": {"file": "a.ts", "b_frames": 2, "first_seconds": 7.5},
    "h264_late_start": {"file": "a.mkv", "first_seconds": 2.5},
    "h264_raw_stream_named_mp4": {"file": "a.mp4", "container_format": "h264", "fps": 25},
    "h264_wrong_extension": {"file": "a.avi", "container_format": "matroska"},
    "h264_fragmented": {"file": "a.mp4", "container_options": {"movflags": "frag_keyframe"}},
    "h264_with_sound": {"file": "a.mp4", "with_audio": True},
    "mpeg4_avi": {"file": "a.avi", "codec": "mpeg4"},
    "mpeg4_avi_b_frames": {"file": "a.avi", "codec": "mpeg4", "b_frames": 2},
    "mpeg2": {"file": "a.mpg", "codec": "mpeg2video", "fps": 25, "b_frames": 2},
    "mjpeg": {"file": "a.avi", "codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "grey": {"file": "a.mkv", "codec": "ffv1", "pix_fmt": "gray"},
    "alpha": {"file": "a.mkv", "codec": "ffv1", "pix_fmt": "yuva420p"},
    "odd_size": {"file": "a.mkv", "codec": "ffv1", "pix_fmt": "yuv444p", "height": 37, "width": 75},
    "vp9": {"file": "a.webm", "codec": "libvpx-vp9"},
    "hevc": {"file": "a.mp4", "codec": "libx265", "options": {"x265-params": "log-level=none"}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_frame_of_its_time(tmp_path, kind):
    options = {"num_frames": 60, "fps": 30, **KINDS[kind]}
    path = make_video(tmp_path / options.pop("file"), **options)
    fps = float(options["fps"])
    rng = np.random.default_rng(0)
    for first in [0, 1, 11, 12, 13, 30, 47, 54]:
        places = np.minimum(first + np.sort(rng.integers(0, 40, size=4)), 59)
        # a third into the frame: no rounding of the container reaches its edges
        seconds = (places + 1 / 3) / fps
        assert numbers_at(path, seconds.tolist()) == places.tolist(), (kind, first)


@pytest.mark.parametrize("kind", ["h264_mp4", "h264_b_frames", "h264_open_gop", "vp9", "hevc"])
def test_a_seek_gives_the_bits_of_a_full_decode(tmp_path, kind):
    options = {"num_frames": 60, "fps": 30, **KINDS[kind]}
    path = make_video(tmp_path / options.pop("file"), **options)
    every = [frame for _, frame in iterate_frames(path)]
    assert len(every) == 60
    for place in range(60):
        found = read_frames_at(path, [(place + 0.4) / 30]).frames_THWC[0]
        np.testing.assert_array_equal(found, every[place])


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_uneven_times_and_gaps(tmp_path, extension):
    seconds = [0.0, 0.04, 0.1, 0.5, 0.51, 0.6, 2.5, 2.54]  # nothing new for almost two seconds
    path = make_video(tmp_path / f"a.{extension}", num_frames=8, seconds=seconds, gop_frames=3)
    asked = [0.03, 0.0995, 0.3, 0.505, 0.55, 0.61, 1.5, 2.49, 2.51, 2.54]
    assert numbers_at(path, asked) == [0, 2, 2, 3, 4, 5, 5, 5, 6, 7]
    times = [second for second, _ in iterate_frames(path)]
    np.testing.assert_allclose(times, seconds, atol=1e-3)


def test_matroska_milliseconds_do_not_cost_a_frame(tmp_path):
    path = make_video(tmp_path / "a.mkv", num_frames=30, fps=30)
    # frame 2 is stored at 0.067, later than 2 / 30
    assert numbers_at(path, [k / 30 for k in range(30)]) == list(range(30))


def test_only_what_is_needed_is_decoded(tmp_path):
    path = make_video(tmp_path / "a.mp4", num_frames=120, fps=30, gop_frames=12)
    clip = read_frames_at(path, [2.0, 2.1])  # frames 60 to 63; 60 is a key frame
    assert frame_number(clip.frames_THWC[0]) == 60
    assert clip.num_decoded <= 6


@pytest.mark.parametrize(
    ("degrees", "turns"), [(90, 1), (180, 2), (-90, -1)], ids=["90", "180", "270"]
)
def test_rotation_is_applied(tmp_path, degrees, turns):
    if not hasattr(av.video.stream.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write a rotation; the real rotated clip is read all the same")
    path = make_video(
        tmp_path / "a.mp4", num_frames=3, rotation_degrees=degrees, options={"crf": "0"}
    )
    upright = make_video(tmp_path / "b.mp4", num_frames=3, options={"crf": "0"})
    # the display matrix turns counter-clockwise, as numpy.rot90
    plain = read_frames_at(upright, [0.05]).frames_THWC[0]
    turned = read_frames_at(path, [0.05]).frames_THWC[0]
    np.testing.assert_array_equal(turned, np.rot90(plain, turns))
    info = probe_video(path)
    assert (info.height, info.width) == turned.shape[:2]
    assert info.rotation_degrees == degrees % 360


def test_probe(tmp_path):
    path = make_video(tmp_path / "a.mp4", num_frames=60, fps=Fraction(30000, 1001), with_audio=True)
    info = probe_video(path)
    assert (info.width, info.height, info.fps) == (64, 48, Fraction(30000, 1001))
    assert info.duration_seconds == pytest.approx(60 * 1001 / 30000, abs=1e-3)
    assert (info.num_frames, info.codec, info.has_audio) == (60, "h264", True)


def test_iterate_frames_in_a_half_open_range(tmp_path):
    path = make_video(tmp_path / "a.mp4", num_frames=40, fps=10)
    found = [
        (round(second, 6), frame_number(frame))
        for second, frame in iterate_frames(path, start_seconds=1.5, end_seconds=1.8)
    ]
    assert found == [(1.5, 15), (1.6, 16), (1.7, 17)]
    assert len(list(iterate_frames(path))) == 40


def test_one_frame_video(tmp_path):
    path = make_video(tmp_path / "a.mp4", num_frames=1, fps=10)
    clip = read_frames_at(path, [-1.0, 0.0, 0.05, 4.0])
    assert [frame_number(frame) for frame in clip.frames_THWC] == [0] * 4
    assert clip.clamped_T.tolist() == [True, False, False, True]


def test_an_edit_list_starts_the_clock(tmp_path):
    # B-frames make the muxer write an edit list that skips the decoder's delay
    path = make_video(tmp_path / "a.mp4", num_frames=20, fps=10, b_frames=3)
    assert b"elst" in path.read_bytes()
    assert numbers_at(path, [0.0, 0.1, 0.2, 1.9]) == [0, 1, 2, 19]


def test_times_that_run_back_are_an_error(tmp_path):
    seconds = [k / 10 for k in range(20)]
    first = make_video(tmp_path / "a.ts", num_frames=20, seconds=seconds)
    second = make_video(tmp_path / "b.ts", num_frames=20, seconds=seconds)
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(VideoError, match=r"joined\.ts: times run back from second 1\.900"):
        list(iterate_frames(path))


# --- refused, each in one line that names the file ---


def make_text(path: Path) -> Path:
    path.write_text("this is not a video\n" * 50)
    return path


BAD_FILES = {
    "missing": (lambda tmp: tmp / "no.mp4", r"no\.mp4: cannot be read: No such file"),
    "folder": (lambda tmp: tmp, r": is a folder, not a video file"),
    "text": (lambda tmp: make_text(tmp / "a.mp4"), r"a\.mp4: is no readable video: Invalid data"),
    "text as txt": (lambda tmp: make_text(tmp / "a.txt"), r"a\.txt: has no video stream"),
    "sound alone": (lambda tmp: make_audio(tmp / "a.m4a"), r"a\.m4a: has no video stream"),
}


@pytest.mark.parametrize("read", [probe_video, lambda path: read_frames_at(path, [0.0])])
@pytest.mark.parametrize("kind", BAD_FILES)
def test_what_is_no_video(tmp_path, kind, read):
    make, message = BAD_FILES[kind]
    with pytest.raises(VideoError, match=message) as caught:
        read(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_empty_file(tmp_path):
    path = tmp_path / "a.mp4"
    path.touch()
    with pytest.raises(VideoError, match=r"a\.mp4: is empty \(0 bytes\)"):
        read_frames_at(path, [0.0])


def test_a_pipe_does_not_block(tmp_path):
    path = tmp_path / "a.mp4"
    os.mkfifo(path)
    caught: list[str] = []

    def read() -> None:
        try:
            read_frames_at(path, [0.0])
        except VideoError as error:
            caught.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert "is no regular file" in caught[0]


def test_a_loop_of_links(tmp_path):
    (tmp_path / "a.mp4").symlink_to(tmp_path / "b.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match=r"a\.mp4: cannot be read"):
        read_frames_at(tmp_path / "a.mp4", [0.0])


def test_too_large_a_picture_is_refused_unseen(tmp_path):
    path = make_video(tmp_path / "a.mp4", num_frames=2, height=480, width=640)
    with pytest.raises(VideoError, match=r"pictures of 640x480 have more than the 100000 pixels"):
        read_frames_at(path, [0.0], max_pixels=100_000)
    assert read_frames_at(path, [0.0], max_pixels=640 * 480).frames_THWC.shape[1:3] == (480, 640)


def test_truncated_mp4(tmp_path):
    path = cut_file(make_video(tmp_path / "a.mp4", num_frames=60), share=0.6)
    with pytest.raises(VideoError, match=r"cut_a\.mp4: is no readable video"):
        read_frames_at(path, [0.0])


def test_truncated_mp4_with_its_index_in_front(tmp_path):
    whole = make_video(
        tmp_path / "a.mp4", num_frames=90, container_options={"movflags": "+faststart"}
    )
    path = cut_file(whole, share=0.6)
    assert numbers_at(path, [0.0, 0.5]) == [0, 15]
    with pytest.raises(VideoError, match=r"cut_a\.mp4: is (damaged|truncated)"):
        read_frames_at(path, [2.9])


def test_truncated_matroska(tmp_path):
    path = cut_file(make_video(tmp_path / "a.mkv", num_frames=90), share=0.5)
    last = [second for second, _ in _frames_before_the_end(path)][-1]
    assert 0.5 < last < 2.0
    assert numbers_at(path, [0.0, 0.3]) == [0, 9]
    with pytest.raises(VideoError, match=r"truncated: its last frame is at second \d\.\d+, but"):
        read_frames_at(path, [0.2, 2.9])
    with pytest.raises(VideoError, match=r"promises 3\.0\d* s and second 2\.900 is needed"):
        read_frames_at(path, [0.2, 2.9])
    with pytest.raises(VideoError, match="truncated"):
        list(iterate_frames(path))
    # half a second and a frame beyond the last picture may be what a header rounds away
    assert read_frames_at(path, [last - 0.2, last + 0.4]).num_clamped == 1


def _frames_before_the_end(path: Path) -> list[tuple[float, np.ndarray]]:
    frames = []
    try:
        for found in iterate_frames(path):
            frames.append(found)
    except VideoError:
        return frames
    raise AssertionError("a truncated file was read to its end without an error")


def test_damage_in_the_middle_names_the_second(tmp_path):
    path = make_video(tmp_path / "a.mkv", num_frames=90, codec="ffv1", gop_frames=1)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = os.urandom(3000)
    path.write_bytes(content)
    assert numbers_at(path, [0.0, 0.5]) == [0, 15]
    with pytest.raises(VideoError, match=r"a\.mkv: is damaged at about second 1\.\d+"):
        list(iterate_frames(path))


@pytest.mark.parametrize("second", [-0.5, 2.5])
def test_a_keyframe_outside_the_video(tmp_path, second):
    path = make_video(tmp_path / "a.mp4", num_frames=20, fps=10)
    with pytest.raises(VideoError, match=rf"second {second:.3f} is outside the video \(it lasts 2"):
        read_frames_at(path, [second - 0.1, 1.0, second], required_seconds=[second])


def test_a_clip_wholly_outside_the_video(tmp_path):
    path = make_video(tmp_path / "a.mp4", num_frames=20, fps=10)
    with pytest.raises(VideoError, match=r"second 7\.000 is outside the video"):
        read_frames_at(path, [7.0, 8.0])


@pytest.mark.parametrize("seconds", [[], [float("nan")], [[0.0]]])
def test_seconds_that_are_none(tmp_path, seconds):
    with pytest.raises(ValueError, match="seconds_T must be finite numbers"):
        read_frames_at(tmp_path / "a.mp4", seconds)


def test_a_change_of_size_is_named(tmp_path):
    parts = [
        make_video(tmp_path / "a.ts", num_frames=10, fps=10),
        make_video(tmp_path / "b.ts", num_frames=10, fps=10, width=96, first_seconds=1.0),
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(
        VideoError, match=r"the picture changes from 64x48 to 96x48 at second 1\.500"
    ):
        read_frames_at(path, [0.5, 1.5])


# --- real clips ---

# seconds of the last frame and number of frames: shared/clips/SOURCES.md
REAL = [
    ("chaplin.mp4", 241, 25, (360, 640)),
    ("bedroom.mp4", 200, 30, (540, 960)),
    ("asl_eat.mkv", 47, 30, (480, 640)),
    ("rotated_90.mov", 3, 30, (568, 320)),
]


@pytest.mark.parametrize(("name", "num_frames", "fps", "size"), REAL)
def test_real_clips_against_a_plain_decode(shared_dir, name, num_frames, fps, size):
    path = shared_dir / "clips" / name
    rng = np.random.default_rng(0)
    reads = [np.sort(rng.integers(0, num_frames, size=5)) for _ in range(3)]
    wanted = {int(place) for places in reads for place in places}
    with av.open(str(path)) as container:
        plain = {
            place: frame.to_ndarray(format="rgb24") if place in wanted else None
            for place, frame in enumerate(container.decode(video=0))
        }
    assert len(plain) == num_frames
    info = probe_video(path)
    assert (info.height, info.width) == size
    assert info.fps == fps
    for places in reads:
        clip = read_frames_at(path, (places + 0.5) / fps)
        for place, frame in zip(places, clip.frames_THWC, strict=True):
            expected = plain[place]
            if name == "rotated_90.mov":
                expected = np.rot90(expected, -1)  # SOURCES.md: rotation -90
            np.testing.assert_array_equal(frame, expected)


def test_real_clip_with_many_key_frames(shared_dir):
    path = shared_dir / "clips" / "one-by-one-person-detection.mp4"
    clip = read_frames_at(path, 90 + np.arange(-40, 40, 5) / 30, required_seconds=[90.0])
    assert clip.num_clamped == 0
    assert clip.num_decoded < 60  # of 1394
    assert (clip.pts_seconds_T <= 90 + np.arange(-40, 40, 5) / 30 + 1e-3).all()


def test_real_damaged_clip(shared_dir):
    path = shared_dir / "clips" / "corrupted.mp4"
    assert read_frames_at(path, [0.0, 1.0, 2.6]).num_clamped == 0
    with pytest.raises(VideoError, match=r"corrupted\.mp4: is damaged at about second 2\.700"):
        read_frames_at(path, [2.0, 4.0])


def test_numbers_survive(tmp_path):
    assert [frame_number(numbered_frame(number)) for number in range(256)] == list(range(256))
