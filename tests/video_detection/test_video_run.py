"""A video to its files: what is drawn and written, and what cannot be."""

import json
import os
import signal

import av
import pytest
from action_checkpoints import BrightPersons, NoPersons
from http_server import Answer, serving
from video_files import cut_file, make_video
from video_runs import FILES, ONE_BOX, calm_frame, contents, detect, loaded, streams_of

from x3d_det.errors import ConfigError, VideoError, X3DDetError
from x3d_det.video_detection import PipelineOptions
from x3d_det.video_detection.run import RunOptions

pytestmark = pytest.mark.usefixtures("calm_films")


# what is written


def test_a_video_becomes_its_files(film, detector, tmp_path):
    said = []
    result = detect(detector, film, tmp_path, progress=lambda *told: said.append(told))
    assert [path.name for path in result.files] == [FILES[0], FILES[1], FILES[3], FILES[2]]
    assert sorted(contents(tmp_path)) == [*FILES[:2], "journal.jsonl", *FILES[2:]]
    frames, seconds, sound = streams_of(tmp_path / "actions.mp4")
    assert (frames, seconds) == (48, pytest.approx(4.0))
    assert sound == pytest.approx(4.0, abs=0.15)
    assert result.finished
    assert (result.damage, result.notes, result.num_from_journal) == (None, (), 0)
    assert result.done_seconds == pytest.approx(4.0)
    assert result.summary.startswith("2 persons, seen 8 times at 4 keyframes; most often ")
    assert said[-1] == (3.0, pytest.approx(4.0), 2)
    about = json.loads((tmp_path / "tracks.json").read_text())
    assert [track["track_id"] for track in about["tracks"]] == [1, 2]
    assert about["video"] == {
        "name": str(film),
        "height": 48,
        "width": 64,
        "fps": 12.0,
        "duration_seconds": pytest.approx(4.0),
    }
    assert (about["done_seconds"], about["tracker"]) == (pytest.approx(4.0), "iou")
    lines = result.speed_lines()
    assert "x real time" in lines[0]
    assert all(stage in lines[1] for stage in ("decoding", "X3D", "drawing", "encoding"))
    rows = (tmp_path / "detections.csv").read_text().splitlines()
    assert len(rows) == 4 * 2 * 3, "every class of every person at every keyframe"
    assert rows[0].startswith("film,0000,")


@pytest.mark.parametrize("kind", ["one frame", "odd", "variable", "rotated"])
def test_videos_of_every_kind_just_work(kind, detector, tmp_path, shared_dir):
    times = [0.0, 0.1, 0.5, 0.55, 1.3, 1.4, 2.0]
    path = {
        "one frame": lambda: make_video(tmp_path / "v.mp4", num_frames=1),
        "odd": lambda: make_video(
            tmp_path / "v.mkv", num_frames=20, height=45, width=61, pix_fmt="yuv444p"
        ),
        "variable": lambda: make_video(tmp_path / "v.mp4", num_frames=7, seconds=times),
        "rotated": lambda: shared_dir / "clips" / "rotated_90.mov",
    }[kind]()
    result = detect(detector, path, tmp_path / "out")
    assert result.finished
    assert result.damage is None
    drawn = tmp_path / "out" / "actions.mp4"
    with av.open(str(path)) as source, av.open(str(drawn)) as container:
        first = next(source.decode(video=0))
        height, width = first.height, first.width
        if first.rotation % 180:
            height, width = width, height
        frames = list(container.decode(video=0))
        assert len(frames) == 1 + sum(1 for _ in source.decode(video=0))
        assert (frames[0].height, frames[0].width) == (height + height % 2, width + width % 2)
        if kind == "variable":
            assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-3)


def test_nobody_is_said_with_the_reason(film, checkpoint, tmp_path):
    nobody = detect(loaded(checkpoint, NoPersons()), film, tmp_path / "none")
    assert nobody.summary == (
        "nobody found at 4 keyframes: the person detector saw none. Do its weights know persons?"
    )
    assert len(nobody.files) == 4
    assert (tmp_path / "none" / "detections.csv").read_text() == ""
    strict = loaded(checkpoint, person_threshold=0.99)
    assert detect(strict, film, tmp_path / "below").summary == (
        "nobody found at 4 keyframes: 12 persons, none above 0.99; highest 0.95: "
        "try --person-threshold 0.9."
    )


def test_a_part_with_its_sound_and_the_seconds_of_the_film(film, detector, tmp_path):
    options = RunOptions(video_start_seconds=900)
    result = detect(detector, film, tmp_path, start_seconds=1.0, end_seconds=3.0, options=options)
    frames, seconds, sound = streams_of(tmp_path / "actions.mp4")
    assert (frames, seconds, sound) == (24, pytest.approx(2.0), pytest.approx(2.0, abs=0.15))
    stamps = {row.split(",")[1] for row in (tmp_path / "detections.csv").read_text().splitlines()}
    assert stamps == {"0901", "0902"}
    assert result.done_seconds == pytest.approx(3.0)
    silent = detect(detector, film, tmp_path / "b", options=RunOptions(keeps_sound=False))
    assert silent.finished
    assert streams_of(tmp_path / "b" / "actions.mp4")[2] is None


def test_data_alone(film, detector, tmp_path, whole):
    options = RunOptions(draws_video=False)
    result = detect(detector, film, tmp_path, interval_seconds=0.5, options=options)
    assert [path.name for path in result.files] == ["detections.csv", "tracks.json", "timeline.png"]
    assert (tmp_path / "detections.csv").read_bytes() == whole["detections.csv"]
    assert result.draw_seconds == 0


# what cannot be


def test_what_is_no_video_leaves_nothing(detector, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 50)
    with pytest.raises(VideoError, match=r"text\.mp4"):
        detect(detector, text, tmp_path / "out")
    assert contents(tmp_path / "out") == {}
    with pytest.raises(X3DDetError, match="cannot be read: Is a directory"):
        detect(detector, tmp_path, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_a_damaged_end_keeps_what_came_before(detector, tmp_path, shared_dir):
    result = detect(detector, shared_dir / "clips" / "corrupted.mp4", tmp_path)
    assert "is damaged at about second 2.700" in result.damage
    assert result.finished
    assert streams_of(tmp_path / "actions.mp4")[0] == 28
    assert result.summary.startswith("2 persons, seen 6 times at 3 keyframes")


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_cut_file_with_sound_keeps_what_came_before(ending, detector, tmp_path):
    film = make_video(
        tmp_path / f"film.{ending}",
        num_frames=60,
        fps=12,
        with_audio=True,
        container_options={"movflags": "faststart"} if ending == "mp4" else None,
    )
    cut = cut_file(film, share=0.6)
    result = detect(detector, cut, tmp_path / "out")
    frames, seconds, _ = streams_of(tmp_path / "out" / "actions.mp4")
    assert 10 < frames < 60
    assert seconds == pytest.approx(result.done_seconds, abs=0.1)
    if ending == "mp4":  # a cut mkv does not say how long it was
        assert "cut_film.mp4: is " in result.damage


def test_two_runs_in_one_folder_do_not_mix(film, detector, tmp_path):
    def second(*_):
        with pytest.raises(X3DDetError, match="another process works in this folder"):
            detect(detector, film, tmp_path)
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        detect(detector, film, tmp_path, progress=second)


def test_the_video_itself_is_not_replaced(film, detector, tmp_path):
    video = tmp_path / "actions.mp4"
    video.write_bytes(film.read_bytes())
    with pytest.raises(X3DDetError, match="the drawn video would replace this one"):
        detect(detector, video, tmp_path)
    assert video.read_bytes() == film.read_bytes()


def test_a_range_without_a_keyframe(film, detector, tmp_path):
    result = detect(detector, film, tmp_path, start_seconds=0.2, end_seconds=0.8)
    assert result.summary == "nothing found: the video has no keyframe in the range asked for."
    assert streams_of(tmp_path / "actions.mp4")[0] == 7
    with pytest.raises(ConfigError, match="no second with boxes lies from"):
        detect(detector, film, tmp_path, boxes={1.0: ONE_BOX}, start_seconds=2)


# a stream


def test_a_stream_is_watched_for_some_seconds(detector, tmp_path):
    path = make_video(tmp_path / "live.ts", num_frames=120, container_format="mpegts")
    with serving() as server:
        url = server.add("/live.ts", path.read_bytes())
        result = detect(
            detector,
            url,
            tmp_path / "some",
            options=RunOptions(most_seconds=1.5),
            queues=PipelineOptions(live_frames=500),
        )
        assert result.finished
        assert result.done_seconds == pytest.approx(1.5, abs=0.04)
        assert streams_of(tmp_path / "some" / "actions.mp4")[0] == 45
        calls = []

        def stop(*told):
            calls.append(told)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGINT)

        stopped = detect(detector, url, tmp_path / "stopped", progress=stop)
    assert stopped.finished, "Ctrl-C is how one stops watching"
    assert stopped.signal_number is None
    assert stopped.info.is_live


def test_a_stream_that_breaks_off_keeps_what_came_before(detector, tmp_path):
    path = make_video(tmp_path / "live.ts", num_frames=120, container_format="mpegts")
    size = path.stat().st_size
    with serving() as server:
        url = server.add("/live.ts", path.read_bytes(), *[Answer(drop_after=size // 2)] * 4)
        result = detect(detector, url, tmp_path / "out")
    assert 0.5 < result.done_seconds < 4
    assert streams_of(tmp_path / "out" / "actions.mp4")[0] > 5


def test_frames_that_come_too_fast_are_counted(checkpoint, tmp_path):
    class SlowPersons(BrightPersons):
        def detect(self, frames_HWC):
            import time

            time.sleep(0.2)
            return super().detect(frames_HWC)

    path = make_video(tmp_path / "live.ts", num_frames=240, container_format="mpegts")
    with serving() as server:
        url = server.add("/live.ts", path.read_bytes())
        result = detect(loaded(checkpoint, SlowPersons()), url, tmp_path / "out")
    assert result.num_dropped > 0
    assert (
        f"{result.num_dropped:,} frames came faster than they could be looked at"
        in (result.notes[-1])
    )
    assert streams_of(tmp_path / "out" / "actions.mp4")[0] == 240 - result.num_dropped


def test_a_streams_password_is_written_nowhere(detector, tmp_path, monkeypatch):
    from x3d_det.video_detection.frames import ArraySource

    class Secret(ArraySource):
        def __init__(self, address, **_):
            super().__init__([calm_frame(0)] * 12, fps=12)
            from dataclasses import replace

            self.info = replace(self.info, name=address, is_live=True)

    monkeypatch.setattr("x3d_det.video_detection.request.LiveSource", Secret)
    detect(detector, "rtsp://anna:hunter2@host/cam", tmp_path)
    written = contents(tmp_path)
    assert (tmp_path / "detections.csv").read_text().startswith("rtsp_host_cam,0000,")
    assert all(b"hunter2" not in content for content in written.values())
