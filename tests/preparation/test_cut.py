"""preparation/cut.py: a cut shows at s - A what its film shows at s, frame for frame."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_files import cut_file, frame_number, make_audio, make_video

from x3d_det.errors import VideoError
from x3d_det.io.video import iterate_frames, probe_video, read_frames_at
from x3d_det.preparation import cut
from x3d_det.preparation.cut import CutSettings, cut_film

ONE_TO_THREE = CutSettings(start_seconds=1.0, end_seconds=3.0)


def decoded(path: Path) -> list[tuple[float, int]]:
    """Return (second, number painted on the frame) of every frame, with PyAV alone."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [(frame.time, frame_number(frame.to_ndarray(format="rgb24"))) for frame in frames]


def test_two_seconds_at_25_a_second_are_frames_25_to_74(tmp_path):
    film = make_video(tmp_path / "film.mp4", num_frames=100, fps=25)
    shares = []
    made = cut_film(film, tmp_path / "out" / "a.mp4", ONE_TO_THREE, progress=shares.append)
    found = decoded(made.path)
    assert [number for _, number in found] == list(range(25, 75))
    assert [second for second, _ in found] == pytest.approx([n / 25 for n in range(50)], abs=1e-9)
    assert (made.num_frames, made.last_seconds, made.ends_early) == (50, 49 / 25, False)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert [path.name for path in made.path.parent.iterdir()] == ["a.mp4"]
    info = probe_video(made.path)
    assert (info.codec, info.fps, info.duration_seconds, info.num_frames) == ("h264", 25, 2.0, 50)


def test_a_start_between_two_frames_takes_the_one_that_is_shown(tmp_path):
    """At 10 a second, second 1.05 shows frame 10, which began at 1.0; frame 11 comes 0.05 later."""
    film = make_video(tmp_path / "film.mp4", num_frames=30, fps=10)
    settings = CutSettings(start_seconds=1.05, end_seconds=1.45)
    made = cut_film(film, tmp_path / "a.mp4", settings)
    found = decoded(made.path)
    assert [number for _, number in found] == [10, 11, 12, 13, 14]
    assert [s for s, _ in found] == pytest.approx([0.0, 0.05, 0.15, 0.25, 0.35], abs=1e-5)
    assert probe_video(made.path).duration_seconds == pytest.approx(0.4, abs=1e-3)


VARYING = list(itertools.accumulate([0.0] + [0.02, 0.08, 0.033, 0.11, 0.041] * 15))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"fps": Fraction(30000, 1001), "b_frames": 2}),
        ("a.mkv", {"fps": Fraction(24000, 1001), "b_frames": 2}),
        ("a.webm", {"fps": 25, "codec": "libvpx-vp9"}),
        ("a.avi", {"fps": 25, "codec": "mpeg4"}),
        ("a.mkv", {"seconds": VARYING}),
        ("late.mp4", {"fps": 25, "first_seconds": 0.4}),
        ("full.mp4", {"fps": 25, "pix_fmt": "yuvj420p"}),
        ("ten.mp4", {"fps": 25, "pix_fmt": "yuv420p10le"}),
        ("odd.mp4", {"fps": 25, "pix_fmt": "yuv444p", "height": 47, "width": 63}),
        ("turned.mov", {"fps": 25, "rotation_degrees": 90, "height": 48, "width": 48}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_film_and_cut_show_the_same_at_every_second(tmp_path, name, options):
    film = make_video(tmp_path / name, num_frames=76, **options)
    settings = CutSettings(start_seconds=1.0, end_seconds=2.5, crf=10)
    made = cut_film(film, tmp_path / "cut.mp4", settings)
    seconds = np.arange(1.0, 2.49, 0.0137)
    of_film, of_cut = read_frames_at(film, seconds), read_frames_at(made.path, seconds - 1.0)
    begins = np.maximum(of_film.pts_seconds_T - 1.0, 0.0)
    # A millisecond: Matroska's clock.
    np.testing.assert_allclose(of_cut.pts_seconds_T, begins, atol=1.1e-3)
    assert of_film.frames_THWC.shape == of_cut.frames_THWC.shape
    difference = np.abs(of_film.frames_THWC.astype(int) - of_cut.frames_THWC)
    assert difference.mean() < 1.5
    in_range = [s for s, _ in iterate_frames(film, start_seconds=1.0, end_seconds=2.5)]
    begins_at_one = abs(in_range[0] - 1.0) < 1e-3
    assert made.num_frames == len(in_range) + (not begins_at_one)


def test_key_frames_come_every_gop_and_the_films_own_are_not_forced_again(tmp_path):
    film = make_video(tmp_path / "film.mp4", num_frames=60, fps=20, gop_frames=5)
    settings = CutSettings(start_seconds=0.0, end_seconds=3.0, gop_frames=12)
    made = cut_film(film, tmp_path / "a.mp4", settings)
    with av.open(str(made.path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    gaps = np.diff([*keys, 60])
    assert gaps.max() == 12  # a change of scene may bring one earlier
    assert not {5, 10, 15, 20} & set(keys)


def test_scaling_happens_only_where_it_is_asked_for(tmp_path):
    film = make_video(tmp_path / "film.mp4", num_frames=50, fps=25, height=96, width=128)
    small = CutSettings(start_seconds=0, end_seconds=1, short_side=48)
    assert probe_video(cut_film(film, tmp_path / "a.mp4", small).path).height == 48
    assert probe_video(cut_film(film, tmp_path / "b.mp4", ONE_TO_THREE).path).height == 96


def test_sound_is_kept_in_step_or_left_out(tmp_path):
    film = make_video(tmp_path / "film.mp4", num_frames=100, fps=25, with_audio=True)
    made = cut_film(film, tmp_path / "a.mp4", ONE_TO_THREE)
    with av.open(str(made.path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples / 16_000 == pytest.approx(2.0, abs=0.2)
    silent = CutSettings(start_seconds=1, end_seconds=3, keep_sound=False)
    assert not probe_video(cut_film(film, tmp_path / "b.mp4", silent).path).has_audio


def test_a_film_that_ends_in_the_stretch_is_cut_to_its_end_and_told(tmp_path):
    film = make_video(tmp_path / "film.mp4", num_frames=50, fps=25)
    made = cut_film(film, tmp_path / "a.mp4", ONE_TO_THREE)
    assert (made.num_frames, made.ends_early) == (25, True)
    assert [number for _, number in decoded(made.path)] == list(range(25, 50))


def refused(film: Path, tmp_path: Path, text: str, settings: CutSettings = ONE_TO_THREE) -> None:
    with pytest.raises(VideoError, match=text):
        cut_film(film, tmp_path / "out" / "a.mp4", settings)
    assert not list((tmp_path / "out").glob("*"))


def test_a_film_that_ends_before_the_stretch_is_named(tmp_path):
    film = make_video(tmp_path / "film.mp4", num_frames=20, fps=25)
    refused(film, tmp_path, r"film\.mp4: ends before second 1, .*It lasts 0\.800 s\. Get the film")


def test_a_truncated_film_is_named(tmp_path):
    film = make_video(tmp_path / "film.mkv", num_frames=100, fps=25)
    refused(cut_file(film, share=0.55), tmp_path, r"cut_film\.mkv: is truncated: its last frame is")


def test_no_video_no_picture_and_no_file_are_named(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("<html>404</html>")
    refused(text, tmp_path, r"text\.mp4: is no readable video")
    refused(make_audio(tmp_path / "sound.m4a"), tmp_path, "has no video stream")
    refused(tmp_path / "none.mp4", tmp_path, "No such file")


def test_lost_frames_and_moved_times_are_found_and_nothing_is_kept(tmp_path, monkeypatch):
    film = make_video(tmp_path / "film.mp4", num_frames=100, fps=25)
    original = cut.frames_from

    def lossy(video, start):
        frames = list(original(video, start))
        is_result = video.path.name.endswith(".tmp")
        return iter(frames[1:] if is_result else frames)

    monkeypatch.setattr(cut, "frames_from", lossy)
    refused(film, tmp_path, "50 frames went into the cut and 49 come out")

    def late(video, start):
        shift = 0.01 if video.path.name.endswith(".tmp") else 0.0
        return ((second + shift, frame) for second, frame in original(video, start))

    monkeypatch.setattr(cut, "frames_from", late)
    refused(film, tmp_path, r"frame 0 of the cut is at second 0\.010000 in place of 0\.000000")


def test_a_picture_that_changes_its_size_is_named(tmp_path):
    """Two MPEG transport streams of different sizes, one after the other."""
    first = make_video(tmp_path / "a.ts", num_frames=40, fps=25)
    second = make_video(
        tmp_path / "b.ts", num_frames=40, fps=25, height=64, width=96, first_seconds=1.6
    )
    film = tmp_path / "film.ts"
    film.write_bytes(first.read_bytes() + second.read_bytes())
    settings = CutSettings(start_seconds=0, end_seconds=3)
    refused(film, tmp_path, r"film\.ts: the picture changes from 64x48 to 96x64", settings)


def test_an_earlier_file_stays_when_a_cut_fails(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    film = make_video(tmp_path / "film.mp4", num_frames=20, fps=25)
    with pytest.raises(VideoError):
        cut_film(film, path, ONE_TO_THREE)
    assert path.read_bytes() == b"old"
