"""The stages together: each frame once, the evaluation's pixels, one order."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from action_checkpoints import BrightPersons, NoPersons
from video_files import make_video, numbered_frame

from x3d_det import ActionDetector, Request
from x3d_det.data.transforms import EvalTransform
from x3d_det.errors import DataError
from x3d_det.io.video import iterate_frames, read_frames_at
from x3d_det.tracking import IouLinker
from x3d_det.video_detection import PipelineOptions
from x3d_det.video_detection.frames import FileSource
from x3d_det.video_detection.trained import TrainedDetector

pytestmark = pytest.mark.usefixtures("no_thread_is_left_over")


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


def test_a_source_of_ones_own_is_gone_through(clip_of_30, detector):
    assert list(detector.detect(FileSource(clip_of_30))) == list(detector.detect(clip_of_30))
