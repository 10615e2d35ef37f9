"""Frames into an mp4: times, sizes, sound, and nothing left behind by a failure."""

from fractions import Fraction

import av
import numpy as np
import pytest
from video_files import frame_number, make_audio, make_video, numbered_frame

from x3d_det.errors import VideoError
from x3d_det.io.video import iterate_frames, probe_video, read_frames_at
from x3d_det.io.video_writer import VideoWriter


def write_numbers(path, num_frames, *, seconds=None, **options):
    with VideoWriter(path, height=48, width=64, **{"fps": 10, **options}) as writer:
        for number in range(num_frames):
            writer.write(numbered_frame(number), None if seconds is None else seconds[number])
    return path


def test_what_is_written_is_read_back(tmp_path):
    path = write_numbers(tmp_path / "new" / "a.mp4", 20, fps=Fraction(30000, 1001))
    info = probe_video(path)
    assert (info.height, info.width, info.num_frames) == (48, 64, 20)
    assert (info.fps, info.codec, info.has_audio) == (Fraction(30000, 1001), "h264", False)
    assert [frame_number(frame) for _, frame in iterate_frames(path)] == list(range(20))


def test_explicit_times(tmp_path):
    seconds = [0.0, 0.04, 0.1, 0.5, 0.51]
    path = write_numbers(tmp_path / "a.mp4", 5, seconds=seconds)
    times = [second for second, _ in iterate_frames(path)]
    np.testing.assert_allclose(times, seconds, atol=1e-5)
    # the last frame lasts as long as the one before it: 0.51 + 0.01 - so the sum is not short
    assert probe_video(path).duration_seconds >= 0.51


def test_colours_come_back(tmp_path):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (255, 255, 255)]
    with VideoWriter(tmp_path / "a.mp4", height=32, width=32, fps=10, crf=1) as writer:
        for colour in colours:
            writer.write(np.full((32, 32, 3), colour, np.uint8))
    frames = read_frames_at(tmp_path / "a.mp4", [0.0, 0.1, 0.2, 0.3, 0.4]).frames_THWC
    found = frames[:, 16, 16].astype(int)
    np.testing.assert_allclose(found, colours, atol=6)  # limited range, rounded twice


def test_odd_sizes_are_padded_by_their_last_row_and_column(tmp_path):
    frame = np.zeros((35, 53, 3), np.uint8)
    frame[-1:] = 200
    with VideoWriter(tmp_path / "a.mp4", height=35, width=53, fps=10, crf=1) as writer:
        writer.write(frame)
    found = read_frames_at(tmp_path / "a.mp4", [0.0]).frames_THWC[0]
    assert found.shape == (36, 54, 3)
    np.testing.assert_allclose(found[-2:, :50].astype(int), 200, atol=8)


def test_it_plays_in_a_browser(tmp_path):
    path = write_numbers(tmp_path / "a.mp4", 5)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # playing starts before the end


def test_the_same_frames_give_the_same_bytes(tmp_path):
    first = write_numbers(tmp_path / "a.mp4", 12).read_bytes()
    assert write_numbers(tmp_path / "b.mp4", 12).read_bytes() == first


def test_key_frames_at_the_distance_asked_for(tmp_path):
    path = write_numbers(tmp_path / "a.mp4", 20, gop_frames=5)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert sum(packet.is_keyframe for packet in packets) >= 4


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"], ids=["copied", "encoded anew"])
def test_sound_is_carried_along_and_cut(tmp_path, codec):
    if codec == "aac":
        sound = make_audio(tmp_path / "a.m4a", seconds=3.0)
    else:
        sound = tmp_path / "a.wav"
        with av.open(str(sound), "w") as container:
            stream = container.add_stream(codec, rate=16_000, layout="mono")
            samples = np.zeros((1, 48_000), np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate = 16_000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    path = write_numbers(tmp_path / "b.mp4", 10, audio_from=sound)
    with av.open(str(path)) as container:
        audio = container.streams.audio[0]
        seconds = float(audio.duration * audio.time_base)
        assert audio.codec_context.name == "aac"
        assert sum(frame.samples for frame in container.decode(audio)) > 10_000
    assert seconds == pytest.approx(1.0, abs=0.15)  # ten frames at ten a second


def test_a_source_without_sound(tmp_path):
    silent = make_video(tmp_path / "a.mp4", num_frames=3)
    path = write_numbers(tmp_path / "b.mp4", 3, audio_from=silent)
    assert not probe_video(path).has_audio


def write_and_stop(path):
    with VideoWriter(path, height=48, width=64, fps=10) as writer:
        writer.write(numbered_frame(1))
        raise RuntimeError("stop")


def test_a_failure_leaves_the_old_file_and_no_new_one(tmp_path):
    path = write_numbers(tmp_path / "a.mp4", 3)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="stop"):
        write_and_stop(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]


def write_wrong(path, kind):
    with VideoWriter(path, height=48, width=64, fps=10) as writer:
        if kind == "size":
            writer.write(np.zeros((48, 65, 3), np.uint8))
        elif kind == "type":
            writer.write(np.zeros((48, 64, 3), np.float32))
        elif kind == "times fall":
            writer.write(numbered_frame(0), 0.5)
            writer.write(numbered_frame(1), 0.25)
        elif kind == "times mixed":
            writer.write(numbered_frame(0), 0.5)
            writer.write(numbered_frame(1))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("size", r"frame 0 has shape \(48, 65, 3\).*must be \(48, 64, 3\) and uint8"),
        ("type", "type float32; it must be"),
        ("times fall", r"frame 1 is to be shown at 0\.25 s, not after the one before \(0\.5 s\)"),
        ("times mixed", "frame 1 has no time"),
        ("nothing", "no frame was written"),
    ],
)
def test_wrong_frames(tmp_path, kind, message):
    with pytest.raises(VideoError, match=message):
        write_wrong(tmp_path / "a.mp4", kind)
    assert not list(tmp_path.iterdir())


def test_wrong_arguments(tmp_path):
    with pytest.raises(VideoError, match="fps = 0 is not above 0"):
        VideoWriter(tmp_path / "a.mp4", height=4, width=4, fps=0)
    with pytest.raises(VideoError, match="of 0x4 pixels"):
        VideoWriter(tmp_path / "a.mp4", height=4, width=0, fps=1)
    writer = VideoWriter(tmp_path / "a.mp4", height=48, width=64, fps=1)
    with pytest.raises(VideoError, match="outside its `with` block"):
        writer.write(numbered_frame(0))
    (tmp_path / "file").touch()
    blocked = VideoWriter(tmp_path / "file" / "a.mp4", height=48, width=64, fps=1)
    with pytest.raises(VideoError, match=r"a\.mp4: cannot be written"), blocked:
        pass
