"""A run over a video, stopped or killed anywhere, resumed to the same files."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from action_checkpoints import save_action_checkpoint
from video_files import make_video
from video_runs import (
    FILES,
    ONE_BOX,
    assert_same,
    contents,
    detect,
    loaded,
    pictures_of,
    streams_of,
)

from x3d_det.errors import DataError
from x3d_det.video_detection.run import RunOptions

pytestmark = pytest.mark.usefixtures("calm_films")


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
    with pytest.raises(DataError, match="was not finished"):
        detect(detector, film, tmp_path, interval_seconds=0.5)
    assert contents(tmp_path) == left
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
