"""The stages together: each frame once, the evaluation's pixels, one order, no thread left over."""

import gc
import itertools
import threading
import time
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from action_checkpoints import BrightPersons, BrokenPersons, NoPersons
from http_server import serving
from video_files import cut_file, frame_number, make_video, numbered_frame

from x3d_det import ActionDetector, Request
from x3d_det.data.transforms import EvalTransform
from x3d_det.errors import DataError, VideoError
from x3d_det.io.video import iterate_frames, read_frames_at
from x3d_det.tracking import IouLinker
from x3d_det.video_detection import KeyframeActions, PipelineOptions, ShownFrame
from x3d_det.video_detection.frames import FileSource
from x3d_det.video_detection.live import LiveSource
from x3d_det.video_detection.trained import TrainedDetector


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("x3d_det")]


@pytest.fixture(autouse=True)
def _no_thread_is_left_over():
    yield
    assert own_threads() == []


@pytest.fixture
def clip_of_30(tmp_path) -> Path:
    """Three seconds of numbered frames."""
    return make_video(tmp_path / "numbers.mp4", num_frames=90)


def clips_seen(monkeypatch, detector, path: Path) -> tuple[list[torch.Tensor], list]:
    """Return the clips that the network got, and the results."""
    clips = []
    original = TrainedDetector._normalised

    def record(self, frames):
        clips.append(original(self, frames))
        return clips[-1]

    monkeypatch.setattr(TrainedDetector, "_normalised", record)
    return clips, list(detector.detect(path, Request(end_seconds=3.0)))


def variable_rate(path: Path) -> Path:
    rng = np.random.default_rng(0)
    gaps = rng.choice([0.02, 1 / 30, 0.05, 0.4], size=100)
    return make_video(path, num_frames=100, seconds=[0.0, *np.cumsum(gaps[:-1])])


@pytest.mark.parametrize("kind", ["25", "30 mkv", "29.97", "variable", "rotated"])
def test_clips_have_the_pixels_of_the_evaluation(kind, shared_dir, tmp_path, monkeypatch, detector):
    path = {
        "25": lambda: shared_dir / "clips" / "chaplin.mp4",
        "30 mkv": lambda: shared_dir / "clips" / "asl_eat.mkv",
        "29.97": lambda: make_video(
            tmp_path / "ntsc.mp4", num_frames=100, fps=Fraction(30000, 1001), b_frames=2
        ),
        "variable": lambda: variable_rate(tmp_path / "variable.mp4"),
        "rotated": lambda: shared_dir / "clips" / "rotated_90.mov",
    }[kind]()
    clips, found = clips_seen(monkeypatch, detector, path)
    trained = detector._trained
    transform = EvalTransform(short_side_px=64, mean=trained.clip.mean, std=trained.clip.std)
    assert len(clips) == len(found) >= 1
    for clip_CTHW, keyframe in zip(clips, found, strict=True):
        second = keyframe.seconds
        read = read_frames_at(
            path, np.round(trained.clip_seconds(second), 6), required_seconds=[second]
        )
        expected = transform(read.frames_THWC, np.zeros((0, 4)), np.random.default_rng(0))
        assert torch.equal(clip_CTHW, expected.clip_CTHW)
        assert keyframe.num_clamped == read.num_clamped
        assert (keyframe.frame_height, keyframe.frame_width) == read.frames_THWC.shape[1:3]


def test_every_frame_is_decoded_once(shared_dir, detector):
    # keyframes so near that each frame is in six clips
    run = detector.detect(shared_dir / "clips" / "asl_eat.mkv", Request(interval_seconds=0.1))
    assert len(list(run)) == 16
    assert run.num_decoded == run.progress.num_frames == 47
    assert (run.notes, run.damage) == ((), None)


def test_queues_chunks_and_decoder_threads_change_nothing(shared_dir, checkpoint):
    path = shared_dir / "clips" / "asl_eat.mkv"
    detector = ActionDetector.load(checkpoint, persons=BrightPersons(), device="cpu")
    results = [
        list(
            detector.detect(path, Request(interval_seconds=0.3, options=PipelineOptions(**options)))
        )
        for options in (
            {},
            {"queue_keyframes": 5, "decode_threads": 2, "hold_seconds": 0.0},
        )
    ]
    assert results[0] == results[1]
    by_three = list(
        detector.detect(
            path, Request(interval_seconds=0.3, options=PipelineOptions(clips_per_batch=3))
        )
    )
    scores = [[a.score for p in k.persons for a in p.actions] for k in results[0]]
    others = [[a.score for p in k.persons for a in p.actions] for k in by_three]
    assert [k.seconds for k in by_three] == [k.seconds for k in results[0]]
    np.testing.assert_allclose(others, scores, atol=1e-5)  # another batch rounds otherwise


def test_a_part_has_the_results_of_the_whole(shared_dir, detector):
    path = shared_dir / "clips" / "chaplin.mp4"
    whole = {k.seconds: k for k in detector.detect(path, Request(end_seconds=4.0))}
    run = detector.detect(path, Request(start_seconds=1.5, end_seconds=3.5))
    part = list(run)
    assert [k.seconds for k in part] == [2.0, 3.0]
    assert all(k.persons == whole[k.seconds].persons for k in part)
    assert run.num_decoded < 120, "what lies behind the range is not decoded"


def test_arrays_give_what_their_file_gives(clip_of_30, detector):
    frames = [frame for _, frame in iterate_frames(clip_of_30)]
    assert list(detector.detect(iter(frames), Request(fps=30))) == list(detector.detect(clip_of_30))


def test_a_buffer_that_is_used_again_does_not_change_earlier_frames(detector):
    def one_buffer():
        buffer = np.zeros((48, 64, 3), np.uint8)
        for number in range(60):
            buffer[:] = numbered_frame(number)
            yield buffer

    apart = [numbered_frame(number) for number in range(60)]
    assert list(detector.detect(one_buffer(), Request(fps=30))) == list(
        detector.detect(apart, Request(fps=30))
    )


def items(detector, path, **options) -> list[tuple[str, float]]:
    return [
        ("keyframe" if isinstance(item, KeyframeActions) else "frame", round(item.seconds, 3))
        for item in detector.detect_with_frames(path, Request(**options))
    ]


def test_a_frame_comes_after_the_keyframe_ahead_of_it(clip_of_30, detector):
    found = items(detector, clip_of_30)
    frames = [second for kind, second in found if kind == "frame"]
    assert frames == [round(number / 30, 3) for number in range(90)]
    known = -1.0
    for kind, second in found:
        if kind == "keyframe":
            known = second
        else:
            assert second < known or known == 2.0, "the next keyframe must be known"


def test_a_frame_far_from_the_next_keyframe_does_not_wait(clip_of_30, detector):
    found = items(
        detector, clip_of_30, interval_seconds=2.0, options=PipelineOptions(hold_seconds=0.5)
    )
    place = found.index(("keyframe", 2.0))
    before = [second for kind, second in found[:place] if kind == "frame"]
    assert before[-1] < 1.5 <= before[-1] + 0.04
    assert len(found) == 92


def test_frames_carry_picture_and_shot(tmp_path, detector):
    black, white = np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8)
    film = [*[black] * 40, *[white] * 40]
    run = detector.detect_with_frames(film, Request(fps=30))
    found = list(run)
    frames = [item for item in found if isinstance(item, ShownFrame)]
    assert [frame.shot for frame in frames] == [0] * 40 + [1] * 40
    assert [k.shot for k in found if isinstance(k, KeyframeActions)] == [0, 0, 1]
    assert frames[39].rgb_HWC().max() == 0
    assert frames[40].rgb_HWC().min() == 255


def test_frames_of_a_range_are_those_of_the_range(clip_of_30, detector):
    found = items(detector, clip_of_30, start_seconds=1.0, end_seconds=2.0)
    frames = [second for kind, second in found if kind == "frame"]
    assert frames == [round(number / 30, 3) for number in range(30, 60)]
    assert [second for kind, second in found if kind == "keyframe"] == [1.0]


def test_numbered_frames_arrive_as_they_are(clip_of_30, detector):
    frames = [i for i in detector.detect_with_frames(clip_of_30) if isinstance(i, ShownFrame)]
    assert [frame_number(frame.rgb_HWC()) for frame in frames] == list(range(90))


def test_memory_does_not_grow_with_the_film(detector):
    """The decoder waits for a slow caller: frames ahead of it are bounded, not counted in films."""
    taken = 0

    def film():
        nonlocal taken
        for number in range(30 * 600):
            taken += 1
            yield numbered_frame(number % 256)

    with detector.detect_with_frames(film(), Request(fps=30)) as run:
        given = 0
        ahead = []
        for item in itertools.islice(run, 400):
            given += isinstance(item, ShownFrame)
            ahead.append(taken - given)
        time.sleep(0.3)
        ahead.append(taken - given)
    # 2 s of window, a second in each of: both queues, both stages, the caller's hands
    assert max(ahead) <= 7 * 30
    assert ahead[-1] == max(ahead[-30:])


def test_nobody_there_needs_no_network(clip_of_30, checkpoint):
    detector = ActionDetector.load(checkpoint, persons=NoPersons(), device="cpu")
    run = detector.detect(clip_of_30)
    assert [k.persons for k in run] == [(), (), ()]
    assert run.progress.num_clips == 0


def test_persons_between_keyframes_have_no_actions(clip_of_30, detector):
    found = list(
        detector.detect(clip_of_30, Request(person_looks=2, end_seconds=2.0), tracker=None)
    )
    assert [(k.seconds, k.has_actions) for k in found] == [
        (0.0, True),
        (0.5, False),
        (1.0, True),
        (1.5, False),
    ]
    assert [len(k.persons[0].actions) for k in found] == [3, 0, 3, 0]
    keyframes = [k for k in found if k.has_actions]
    assert keyframes == list(detector.detect(clip_of_30, Request(end_seconds=2.0), tracker=None))


def test_known_results_are_taken_and_their_work_is_not_done_again(clip_of_30, detector):
    request = Request(interval_seconds=0.5)
    whole = list(detector.run(clip_of_30, request, linker=IouLinker()))
    earlier = list(detector.run(clip_of_30, request))
    assert all(person.track_id is None for keyframe in earlier for person in keyframe.persons)
    detector._finder._made.num_seen = 0
    run = detector.run(
        clip_of_30, request, linker=IouLinker(), known=iter(earlier[:4]), num_known=4
    )
    assert list(run) == whole
    assert detector._finder._made.num_seen == run.progress.num_clips == 2
    for known in (earlier[1:4], earlier[:2]):
        run = detector.run(clip_of_30, request, known=iter(known), num_known=3)
        with pytest.raises(DataError, match="the known result of second"):
            list(run)


def test_persons_are_numbered_anew_behind_a_cut(detector):
    black, white = np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 40, np.uint8)
    film = [*[black] * 60, *[white] * 60]
    found = list(detector.detect(film, Request(fps=30)))
    numbers = [[person.track_id for person in keyframe.persons] for keyframe in found]
    assert numbers == [[1, 2], [1, 2], [3, 4], [3, 4]]


# how it ends


def test_closing_early_ends_the_threads(clip_of_30, detector):
    run = detector.detect_with_frames(clip_of_30)
    next(run)
    assert len(own_threads()) == 3
    run.close()
    assert own_threads() == []
    with pytest.raises(StopIteration):
        next(run)


def test_a_loop_that_is_left_ends_the_threads(clip_of_30, detector):
    for _ in detector.detect(clip_of_30):
        break
    gc.collect()
    assert own_threads() == []


def test_a_run_that_nobody_asks_anything_of_starts_nothing(clip_of_30, detector):
    run = detector.detect(clip_of_30)
    assert own_threads() == []
    run.close()


def test_an_error_of_the_person_detector_arrives_as_itself_after_what_came_before(
    clip_of_30, checkpoint
):
    detector = ActionDetector.load(checkpoint, persons=BrokenPersons(), device="cpu")
    for batch in (1, 4):
        detector._finder._made.num_seen = 0
        run = detector.detect(clip_of_30, Request(options=PipelineOptions(clips_per_batch=batch)))
        assert [next(run).seconds, next(run).seconds] == [0.0, 1.0]
        with pytest.raises(ZeroDivisionError, match="the third frame"):
            next(run)
        assert own_threads() == []


def test_an_error_of_the_frames_arrives_as_itself(detector):
    def film():
        yield from (numbered_frame(number) for number in range(50))
        raise KeyError("frame 50")

    run = detector.detect(film(), Request(fps=30))
    with pytest.raises(KeyError, match="frame 50"):
        list(run)


def test_an_error_of_the_network_arrives_as_itself(clip_of_30, detector, monkeypatch):
    def fail(*_, **__):
        raise MemoryError("no room for a clip")

    monkeypatch.setattr(TrainedDetector, "scores", fail)
    with pytest.raises(MemoryError, match="no room for a clip"):
        list(detector.detect(clip_of_30))


def test_a_damaged_end_keeps_what_came_before(shared_dir, detector, caplog):
    path = shared_dir / "clips" / "corrupted.mp4"
    run = detector.detect_with_frames(path)
    found = list(run)
    frames = [item for item in found if isinstance(item, ShownFrame)]
    assert len(frames) == 28
    assert [k.seconds for k in found if isinstance(k, KeyframeActions)] == [0.0, 1.0, 2.0]
    assert "is damaged at about second 2.700" in run.damage
    assert "corrupted.mp4: is damaged at about second 2.700" in caplog.text


def test_a_picture_that_changes_its_size_ends_the_video(tmp_path, detector):
    small = make_video(tmp_path / "a.ts", num_frames=45, container_format="mpegts")
    large = make_video(
        tmp_path / "b.ts",
        num_frames=45,
        height=96,
        width=128,
        first_seconds=1.5,
        container_format="mpegts",
    )
    film = tmp_path / "film.ts"
    film.write_bytes(small.read_bytes() + large.read_bytes())
    run = detector.detect(film)
    assert [k.seconds for k in run] == [0.0, 1.0]
    assert "the picture changes from 64x48 to 128x96 at second 1.5" in run.damage


def test_a_source_of_ones_own_is_gone_through(clip_of_30, detector):
    assert list(detector.detect(FileSource(clip_of_30))) == list(detector.detect(clip_of_30))


def test_a_file_that_ends_before_its_header_says_is_noted(tmp_path, detector):
    whole = make_video(
        tmp_path / "v.mp4", num_frames=150, container_options={"movflags": "faststart"}
    )
    cut = cut_file(whole, share=0.6)
    run = detector.detect(cut)
    found = list(run)
    assert 1 <= len(found) < 5
    assert "5.000" in run.damage or "is damaged" in run.damage


def test_nothing_to_see_is_an_error(tmp_path, detector):
    path = tmp_path / "v.mp4"
    with pytest.raises(VideoError, match=r"v\.mp4: cannot be read"):
        detector.detect(path)
    path.write_bytes(b"")
    with pytest.raises(VideoError, match=r"v\.mp4: is empty \(0 bytes\)"):
        detector.detect(path)
    with pytest.raises(VideoError, match="there is none; give at least one array"):
        detector.detect([], Request(fps=30))
    make_video(path, num_frames=30)
    with pytest.raises(VideoError, match="has no frame from second 100 on"):
        list(detector.detect(path, Request(start_seconds=100.0)))
    with pytest.raises(VideoError, match="64x48 have more than the 100 pixels allowed"):
        detector.detect(path, Request(options=PipelineOptions(max_pixels=100)))


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (np.zeros((48, 64, 3), np.float32), r"number 1 is float32 of shape \(48, 64, 3\)"),
        (np.zeros((48, 64), np.uint8), r"number 1 is uint8 of shape \(48, 64\)"),
        (np.zeros((48, 66, 3), np.uint8), r"one shape \(48, 64, 3\)"),
        ("x.jpg", "number 1 is str"),
    ],
)
def test_arrays_that_are_no_frames_are_named(frame, found, detector):
    film = [np.zeros((48, 64, 3), np.uint8), frame]
    with pytest.raises(DataError, match=found):
        list(detector.detect(film, Request(fps=10)))
    with (
        pytest.raises(DataError, match="number 0 is") if "one shape" not in found else nullcontext()
    ):
        detector.detect(film[1:], Request(fps=10)).close()


# cameras and streams


@pytest.fixture
def stream(tmp_path):
    """The address of four seconds of numbered frames, served on loopback."""
    path = make_video(tmp_path / "live.ts", num_frames=120, container_format="mpegts")
    with serving() as server:
        yield server.add("/live.ts", path.read_bytes())


def test_a_stream_is_gone_through_like_a_file(stream, detector):
    run = detector.detect(stream, Request(options=PipelineOptions(live_frames=500)))
    assert [k.seconds for k in run] == [0.0, 1.0, 2.0, 3.0]
    assert (run.info.is_live, run.num_decoded, run.num_dropped) == (True, 120, 0)


def test_who_is_late_misses_the_oldest_frames(stream):
    source = LiveSource(stream, max_frames=10)
    source._thread.join()  # all frames have come, and nobody took one
    seen = [frame_number(frame.rgb_HWC()) for frame in source.frames()]
    assert seen == list(range(110, 120))
    assert (source.num_decoded, source.num_dropped) == (120, 110)
    source.close()


def test_a_stream_that_nobody_watches_is_let_go(stream, detector):
    run = detector.detect(stream)
    del run
    gc.collect()
    assert own_threads() == []


def test_a_stream_that_is_not_there_is_named(detector):
    with pytest.raises(VideoError, match=r"http://127\.0\.0\.1:9/x: cannot be opened"):
        detector.detect("http://127.0.0.1:9/x")
    with pytest.raises(VideoError, match="camera 4321: cannot be opened"):
        detector.detect(4321)
