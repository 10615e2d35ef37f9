"""How a run over a video ends: left early, by an error, at damage; errors arrive as themselves."""

import gc
from contextlib import nullcontext

import numpy as np
import pytest
from action_checkpoints import BrokenPersons
from video_files import cut_file, make_video, numbered_frame
from video_runs import own_threads

from x3d_det import ActionDetector, Request
from x3d_det.errors import DataError, VideoError
from x3d_det.video_detection import KeyframeActions, PipelineOptions, ShownFrame
from x3d_det.video_detection.trained import TrainedDetector

pytestmark = pytest.mark.usefixtures("no_thread_is_left_over")


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
