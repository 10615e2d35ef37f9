"""Runs that were killed, cut or shared out go on to the same bytes, or are refused."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from detect_runs import LENGTHS, ONE, csv_of, detect, expected_csv, journal_lines, plan_of
from lit_films import LitDetector, LitSource

from x3d_det.data.clips import VideoFolder
from x3d_det.errors import DataError, X3DDetError
from x3d_det.persons.journal import journal_path
from x3d_det.persons.keyframe_plan import KeyframePlan, Shard, find_videos, plan_every
from x3d_det.persons.summary import summarize

# Kills, resuming, shards


def test_kill_9_at_random_moments_changes_no_byte(film, tmp_path):
    """A child a kill; each goes on where the last one died."""
    plan = plan_every(find_videos([film]))
    output_dir = tmp_path / "out"
    output_dir.mkdir()
    moments = random.Random(3)
    lines_at_kill: list[int] = []
    for attempt in range(60):
        child = os.fork()
        if child == 0:
            _work_and_exit(output_dir, plan, film)
        # Longer and longer, so that a machine under load gets to the end too.
        time.sleep(moments.uniform(0.02, 0.16) * (1 + attempt / 10))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            break
        lines_at_kill.append(len(journal_path(output_dir, ONE).read_bytes().splitlines()))
    else:
        pytest.fail(f"40 keyframes were not done after the last kill: {lines_at_kill}")
    assert os.WEXITSTATUS(status) == 0
    assert len({num for num in lines_at_kill if 1 < num < 41}) >= 2, lines_at_kill
    idle = LitDetector()
    run = detect(output_dir, plan, VideoFolder(film, video_start_seconds=0), idle, resume=True)
    assert idle.num_frames == 0
    assert csv_of(run, tmp_path / "boxes.csv") == expected_csv({"film": 40})
    keyframes = [line["timestamp"] for line in journal_lines(output_dir) if "timestamp" in line]
    assert sorted(keyframes) == [float(second) for second in range(40)]  # none twice


def _work_and_exit(output_dir: Path, plan: KeyframePlan, film: Path) -> None:
    """The child's work; it must never return into pytest."""
    try:
        source = VideoFolder(film, video_start_seconds=0.0)
        detect(
            output_dir,
            plan,
            source,
            LitDetector(seconds_per_frame=0.02),
            batch_size=3,
            resume=True,
        )
    except BaseException:
        os._exit(1)
    os._exit(0)


def test_cut_anywhere_the_journal_goes_on_to_the_same_bytes(tmp_path):
    """Every byte a kill may end at: also inside the header, a line, a batch."""
    lengths = {"a": 5, "b": 3}
    plan, source = plan_of(lengths), LitSource(lengths)
    whole = tmp_path / "whole"
    expected = csv_of(detect(whole, plan, source, batch_size=2), tmp_path / "whole.csv")
    assert expected == expected_csv(lengths)
    content = journal_path(whole, ONE).read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    for size in range(0, len(content) + 1, 5):
        journal_path(cut, ONE).write_bytes(content[:size])
        run = detect(cut, plan, source, batch_size=2, resume=True)
        assert csv_of(run, tmp_path / "cut.csv") == expected, size
        assert len(journal_lines(cut)) == 10, (
            size
        )  # header, 8 keyframes, end: none twice, none missing
    assert source.reads


def test_a_batch_is_the_same_after_a_kill(tmp_path):
    """A detector's last bits depend on the batch, so a batch in part done is looked at whole."""
    plan, source = plan_of({"a": 16}), LitSource({"a": 16})
    first = LitDetector()
    detect(tmp_path / "out", plan, source, first)
    lines = journal_path(tmp_path / "out", ONE).read_bytes().splitlines(keepends=True)
    journal_path(tmp_path / "out", ONE).write_bytes(b"".join(lines[: 1 + 7]))  # 5 + 2 keyframes
    again = LitDetector()
    detect(tmp_path / "out", plan, source, again, resume=True)
    assert again.batches == first.batches[1:]
    assert source.reads[-1] == ("a", tuple(map(float, range(5, 16))))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_give_the_same_bytes(tmp_path, count):
    plan, source = plan_of(LENGTHS, start=900), LitSource(LENGTHS, start=900)
    order = random.Random(count).sample(range(1, count + 1), count)
    for place, index in enumerate(order):
        run = detect(tmp_path / "out", plan, source, shard=Shard(index, count), start=900)
        assert run.unfinished == sorted(order[place + 1 :])
    assert csv_of(run, tmp_path / "boxes.csv") == expected_csv(LENGTHS, start=900)
    found = summarize(run, threshold=0.5)
    assert (found.num_videos, found.num_keyframes) == (3, 74)


def test_a_finished_run_is_not_done_again(tmp_path):
    plan, source = plan_of(LENGTHS), LitSource(LENGTHS)
    detect(tmp_path, plan, source)
    before = journal_path(tmp_path, ONE).read_bytes()
    detector = LitDetector()
    run = detect(tmp_path, plan, source, detector, resume=True)
    assert detector.num_frames == 0
    assert journal_path(tmp_path, ONE).read_bytes() == before
    assert run.unfinished == []


# Refusals


def test_an_earlier_run_is_refused_without_resume(tmp_path):
    plan, source = plan_of({"a": 2}), LitSource({"a": 2})
    detect(tmp_path, plan, source)
    with pytest.raises(DataError, match=r"shard-1-of-1\.jsonl: an earlier run has begun here; go "):
        detect(tmp_path, plan, source)


def test_other_settings_are_refused_and_named(tmp_path):
    plan, source = plan_of({"a": 2}), LitSource({"a": 2})
    detect(tmp_path, plan, source)
    other = LitDetector(settings={"backend": "lit", "min_score": 0.1, "short_side": 400})
    with pytest.raises(DataError) as caught:
        detect(tmp_path, plan, source, other, resume=True, start=900.0)
    assert str(caught.value) == (
        f"{journal_path(tmp_path, ONE)}: was made with other settings: detector.min_score was "
        "0.05, is 0.1; detector.short_side was None, is 400; video_start_seconds was 0.0, is "
        "900.0. Give the same ones to go on, or choose another --output-dir."
    )
    keyframes = KeyframePlan(timestamps=plan.timestamps, identity="another")
    with pytest.raises(DataError, match="keyframes was 'a test', is 'another'"):
        detect(tmp_path, keyframes, source, resume=True)
    assert len(journal_lines(tmp_path)) == 4  # the refused ones wrote nothing


def test_another_number_of_shards_is_refused(tmp_path):
    plan, source = plan_of({"a": 2}), LitSource({"a": 2})
    detect(tmp_path, plan, source, shard=Shard(2, 4))
    with pytest.raises(DataError, match=r"shard-2-of-4.*run of 4 shards, this one is of 2; go on "):
        detect(tmp_path, plan, source, shard=Shard(2, 2), resume=True)


def test_two_processes_on_one_shard_are_refused(tmp_path):
    plan, source = plan_of({"a": 2}), LitSource({"a": 2})

    class Greedy(LitDetector):
        def detect(self, frames_HWC):
            with pytest.raises(X3DDetError, match="another process is at work on this shard; wait"):
                detect(tmp_path, plan, source, resume=True)
            return super().detect(frames_HWC)

    detector = Greedy()
    detect(tmp_path, plan, source, detector)
    assert detector.num_frames == 2


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda lines: lines[:2] + [lines[2][:20] + "\n"] + lines[3:], ":3: is no whole line of a"),
        (lambda lines: lines[:3] + [lines[1]], ":4: the keyframe a,0000 stands here twice"),
        (
            lambda lines: [*lines, '{"video_id": "z", "timestamp": 1, "boxes": []}\n'],
            ":6: the keyframe z,0001 is none of this shard's; the videos have changed",
        ),
        (lambda lines: ['{"journal": "else"}\n'], "is no journal of this version (kind 'else', "),
    ],
    ids=["half a line", "twice", "of no plan", "another file"],
)
def test_a_spoilt_journal_is_refused(tmp_path, spoil, text):
    plan, source = plan_of({"a": 3}), LitSource({"a": 3})
    detect(tmp_path, plan, source)
    path = journal_path(tmp_path, ONE)
    path.write_text("".join(spoil(path.read_text().splitlines(keepends=True))))
    with pytest.raises(DataError) as caught:
        detect(tmp_path, plan, source, resume=True)
    assert f"{path}{text}" in str(caught.value) or f"{path}: {text}" in str(caught.value)


def test_a_gap_in_another_shard_is_an_error(tmp_path):
    plan, source = plan_of({"a": 40}), LitSource({"a": 40})
    detect(tmp_path, plan, source, shard=Shard(1, 2))
    path = journal_path(tmp_path, Shard(1, 2))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4] + lines[6:]))
    with pytest.raises(
        DataError, match="holds no line for 2 keyframes: a,0003, a,0004; go on with "
    ):
        detect(tmp_path, plan, source, shard=Shard(2, 2))


def test_another_shard_of_other_settings_is_refused(tmp_path):
    plan, source = plan_of({"a": 40}), LitSource({"a": 40})
    detect(tmp_path, plan, source, LitDetector(settings={"min_score": 0.2}), shard=Shard(1, 2))
    with pytest.raises(DataError, match=r"shard-1-of-2.*min_score was 0\.2, is 0\.05"):
        detect(tmp_path, plan, source, shard=Shard(2, 2))
