"""A video to its files: what is drawn and written; stopped anywhere, resumed to the same files."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from action_checkpoints import BrightPersons, NoPersons, save_action_checkpoint
from http_server import Answer, serving
from video_files import HEIGHT, WIDTH, cut_file, make_video

from x3d_det import ActionDetector
from x3d_det.errors import ConfigError, DataError, VideoError, X3DDetError
from x3d_det.tracking import make_linker
from x3d_det.video_detection import PipelineOptions
from x3d_det.video_detection import run as run_module
from x3d_det.video_detection.request import Request
from x3d_det.video_detection.run import RunOptions, RunResult, detect_in_video

FILES = ["actions.mp4", "detections.csv", "timeline.png", "tracks.json"]
ONE_BOX = np.array([[0.1, 0.2, 0.6, 0.9, 0.9]])


def detect(
    detector, video, folder: Path, *, options=None, queues=None, progress=None, **request
) -> RunResult:
    """Run as the command does."""
    folder.mkdir(exist_ok=True)
    resume = request.pop("resume", False)
    request["options"] = queues or PipelineOptions()
    return detect_in_video(
        detector,
        video,
        folder,
        request=Request(**request),
        linker=make_linker("iou", spacing_seconds=4.0),
        linker_name="iou",
        options=options or RunOptions(),
        resume=resume,
        progress=progress,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Return all that a run leaves, hidden files too."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def pictures_of(video: bytes) -> tuple[list[tuple[int, bool]], list[int]]:
    """Return time and kind of all pictures, and the times of the sound.

    The bytes of the pictures are no test: beside other threads x264 has been seen to code the
    very same frames otherwise, in about 3 of 100 runs (PyAV 18.1).
    """
    with av.open(io.BytesIO(video)) as container:
        found = [(p.stream.type, p.pts, p.is_keyframe) for p in container.demux() if p.size]
    pictures = [(pts, is_key) for kind, pts, is_key in found if kind == "video"]
    return pictures, [pts for kind, pts, _ in found if kind == "audio"]


def assert_same(found: dict[str, bytes], whole: dict[str, bytes]) -> None:
    """Compare what two runs leave: all bytes but for those of the drawn video."""
    assert found.keys() == whole.keys()
    for name, content in found.items():
        if name == "actions.mp4":
            assert pictures_of(content) == pictures_of(whole[name])
        else:
            assert content == whole[name], name


def streams_of(path: Path) -> tuple[int, float, float | None]:
    """Return frames, seconds of the picture, seconds of the sound."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        sound = container.streams.audio[0] if container.streams.audio else None
        assert video.codec_context.name == "h264"
        return (
            sum(1 for _ in container.decode(video=0)),
            float(video.duration * video.time_base),
            None if sound is None else float(sound.duration * sound.time_base),
        )


def calm_frame(number: int, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a picture that grows a little brighter, so that nobody leaps and nothing is a cut."""
    ramp = np.linspace(20, 60, width)[None, :, None] + number
    return np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _calm_films():
    """Let `make_video` show calm frames in this file; one thread, as the killed processes have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("video_files.numbered_frame", calm_frame)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def film(tmp_path_factory, _calm_films) -> Path:
    """Four seconds with sound."""
    folder = tmp_path_factory.mktemp("film")
    return make_video(folder / "film.mp4", num_frames=48, fps=12, with_audio=True)


@pytest.fixture(scope="module")
def whole(film, tmp_path_factory, checkpoint) -> dict[str, bytes]:
    """What a run that nobody disturbs leaves."""
    folder = tmp_path_factory.mktemp("whole")
    detect(loaded(checkpoint), film, folder, interval_seconds=0.5)
    return contents(folder)


def loaded(checkpoint: Path, persons=None, **options) -> ActionDetector:
    persons = BrightPersons() if persons is None else persons
    return ActionDetector.load(checkpoint, persons=persons, device="cpu", **options)


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
    assert all(stage in lines[1] for stage in ("decoding", "X3D", "drawing and encoding"))
    rows = (tmp_path / "detections.csv").read_text().splitlines()
    assert len(rows) == 4 * 2 * 3, "every class of every person at every keyframe"
    assert rows[0].startswith("film,0000,")


def test_boxes_move_between_keyframes_and_carry_number_actions_and_scores(
    film, detector, tmp_path, monkeypatch
):
    drawn = []
    original = run_module.draw_persons

    def record(frame_HWC, persons, **options):
        drawn.append((options["caption"].text, list(persons)))
        return original(frame_HWC, persons, **options)

    monkeypatch.setattr(run_module, "draw_persons", record)
    boxes = {
        0.0: np.array([[0.1, 0.2, 0.5, 0.9, 0.9]]),
        1.0: np.array([[0.3, 0.2, 0.7, 0.9, 0.9]]),
    }
    detect(detector, film, tmp_path, boxes=boxes)
    assert len(drawn) == 48
    at = dict(drawn)
    # half a second on, half of the way: 0.2 * 64 to 0.6 * 64 pixels
    assert at["0.50 s"][0].box_xyxy_px == pytest.approx((12.8, 9.6, 38.4, 43.2))
    assert at["0.75 s"][0].box_xyxy_px == pytest.approx((16, 9.6, 41.6, 43.2))
    assert (at["0.50 s"][0].tag, at["0.50 s"][0].person_id) == ("1", 1)
    keyframe = json.loads((tmp_path / "tracks.json").read_text())["tracks"][0]["keyframes"][0]
    assert dict(at["0.25 s"][0].labels) == {a["name"]: a["score"] for a in keyframe["actions"]}
    # held for half an interval behind the last keyframe
    assert len(at["1.50 s"]) == 1
    assert at["1.58 s"] == []


def test_keyframes_far_apart_are_joined_up_to_four_seconds(detector, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        run_module,
        "draw_persons",
        lambda frame, persons, *, caption, **_: drawn.update({caption.text: persons}) or frame,
    )
    film = make_video(tmp_path / "film.mp4", num_frames=26, fps=2)
    options = RunOptions(keeps_sound=False)
    near = {0.0: ONE_BOX, 4.0: ONE_BOX + [[0.2, 0, 0.2, 0, 0]], 8.0: ONE_BOX}
    detect(detector, film, tmp_path / "near", boxes=near, options=options)
    assert [person.box_xyxy_px[0] for person in drawn["1.00 s"]] == [pytest.approx(0.15 * 64)]
    drawn.clear()
    detect(detector, film, tmp_path / "far", boxes={0.0: ONE_BOX, 5.0: ONE_BOX}, options=options)
    shown = [text for text, persons in drawn.items() if persons]
    assert shown == [
        f"{second:.2f} s" for second in (0, 0.5, 1, 1.5, 2, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7)
    ]


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


# stopped and resumed


@pytest.mark.parametrize(
    ("number", "keyframe"), [(signal.SIGINT, 1), (signal.SIGTERM, 3), (signal.SIGINT, 6)]
)
def test_a_stopped_run_is_playable_and_resumes_to_the_same_files(
    number, keyframe, film, detector, tmp_path, whole
):
    calls = []

    def stop(*told):
        calls.append(told)
        if len(calls) == keyframe:
            os.kill(os.getpid(), number)

    stopped = detect(detector, film, tmp_path, interval_seconds=0.5, progress=stop)
    assert not stopped.finished
    assert stopped.signal_number == number
    assert stopped.done_seconds < 4
    left = contents(tmp_path)
    assert not [name for name in left if name.startswith(".")]
    if "actions.mp4" in left:  # the first keyframe comes before any frame
        frames, _, sound = streams_of(tmp_path / "actions.mp4")
        assert 0 < frames < 48
        assert sound is not None
    else:
        assert keyframe == 1
    tracks = json.loads(left["tracks.json"])
    assert len(tracks["tracks"][0]["keyframes"]) == keyframe
    resumed = detect(detector, film, tmp_path, interval_seconds=0.5, resume=True)
    assert resumed.finished
    assert resumed.num_from_journal == keyframe
    assert_same(contents(tmp_path), whole)


def test_a_finished_run_may_be_drawn_again_in_another_way(film, detector, tmp_path, whole):
    for name in FILES + ["journal.jsonl"]:
        (tmp_path / name).write_bytes(whole[name])
    persons = detector._finder._made
    persons.num_seen = 0
    options = RunOptions(score_threshold=0.99)
    again = detect(detector, film, tmp_path, interval_seconds=0.5, resume=True, options=options)
    assert persons.num_seen == 0
    assert "no action above 0.99, the highest is" in again.summary
    assert (tmp_path / "detections.csv").read_bytes() == whole["detections.csv"]
    assert (tmp_path / "actions.mp4").read_bytes() != whole["actions.mp4"]


def test_a_journal_cut_at_any_byte_resumes_to_the_same_files(film, detector, tmp_path, whole):
    """What a kill leaves: some lines, and a part of one."""
    journal = whole["journal.jsonl"]
    for size in (0, 50, journal.index(b"\n") + 1, len(journal) // 2, len(journal) - 1):
        (tmp_path / "journal.jsonl").write_bytes(journal[:size])
        (tmp_path / ".actions.mp4.killed.tmp").write_bytes(b"half a video")
        detect(detector, film, tmp_path, interval_seconds=0.5, resume=True)
        assert_same(contents(tmp_path), whole)


@pytest.mark.slow
def test_runs_killed_at_many_moments_resume_to_the_same_files(film, checkpoint, tmp_path, whole):
    script = Path(__file__).with_name("kill_video_run.py")
    tests = script.parents[1]
    done = subprocess.run(
        [sys.executable, script, film, checkpoint, tmp_path, "11"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{tests}:{tests.parent}"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["killed"] == {"SIGINT": 4, "SIGTERM": 4, "SIGKILL": 4}
    for name in told["finished"]:
        assert_same(contents(tmp_path / name), whole)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"interval_seconds": 0.25}, "was begun with interval_seconds = 0.5, now it is 0.25"),
        ({"end_seconds": 2.0}, "was begun with end_seconds = None, now it is 2.0"),
        ({"boxes": {1.0: ONE_BOX}}, "was begun with boxes_sha256 = None, now it is"),
        ({"person_looks": 2}, "was begun with person_looks = 1, now it is 2"),
    ],
)
def test_a_resumed_run_of_other_options_is_refused(change, found, film, detector, tmp_path, whole):
    (tmp_path / "journal.jsonl").write_bytes(whole["journal.jsonl"])
    with pytest.raises(DataError, match=found):
        detect(detector, film, tmp_path, resume=True, **{"interval_seconds": 0.5, **change})
    assert contents(tmp_path) == {"journal.jsonl": whole["journal.jsonl"]}


def test_a_resumed_run_of_another_checkpoint_or_video_is_refused(
    film, detector, checkpoint, tmp_path, whole
):
    (tmp_path / "journal.jsonl").write_bytes(whole["journal.jsonl"])
    other = save_action_checkpoint(tmp_path.parent / "other.safetensors", torch="another")
    for changed, found in (
        (loaded(other), "checkpoint_sha256 = .*, now it is"),
        (loaded(checkpoint, person_threshold=0.5), "person_threshold = 0.8, now it is 0.5"),
        (loaded(checkpoint, short_side=96), "short_side = 64, now it is 96"),
    ):
        with pytest.raises(DataError, match=f"journal.jsonl: was begun with {found}"):
            detect(changed, film, tmp_path, resume=True, interval_seconds=0.5)
    video = make_video(tmp_path.parent / "film.mp4", num_frames=30)
    with pytest.raises(DataError, match=r"was begun with video = .*'bytes'"):
        detect(detector, video, tmp_path, resume=True, interval_seconds=0.5)


def test_a_copy_under_another_name_is_the_same_video(film, detector, tmp_path, whole):
    out = tmp_path / "out"
    out.mkdir()
    (out / "journal.jsonl").write_bytes(whole["journal.jsonl"])
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(film.read_bytes())
    result = detect(detector, copy, out, resume=True, interval_seconds=0.5)
    assert result.num_from_journal == 8
    drawn = (out / "actions.mp4").read_bytes()
    assert pictures_of(drawn) == pictures_of(whole["actions.mp4"])


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


def test_an_error_in_the_middle_leaves_no_video_and_the_earlier_one_as_it_was(
    film, detector, tmp_path, monkeypatch
):
    (tmp_path / "actions.mp4").write_bytes(b"of an earlier run")
    count = []

    def fail(self, frame_HWC, seconds=None):
        count.append(seconds)
        if len(count) == 20:
            raise VideoError("actions.mp4: frame 20 could not be written: No space left on device.")
        return original(self, frame_HWC, seconds)

    original = run_module.VideoWriter.write
    monkeypatch.setattr(run_module.VideoWriter, "write", fail)
    with pytest.raises(VideoError, match="No space left on device"):
        detect(detector, film, tmp_path)
    left = contents(tmp_path)
    assert sorted(left) == ["actions.mp4", "journal.jsonl"]
    assert left["actions.mp4"] == b"of an earlier run"


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
