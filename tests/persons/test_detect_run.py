"""A run over films of bright rectangles: known boxes, kills, shards, broken videos."""

import json
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from lit_films import HALF, HEIGHT, WIDTH, LitDetector, LitSource, drawn_boxes, lit_film, lit_frame
from PIL import Image
from video_files import cut_file

from x3d_det.data.clips import FrameFolder, FrameSource, VideoFolder
from x3d_det.errors import DataError, X3DDetError
from x3d_det.io.ava_csv import read_proposals
from x3d_det.io.frame_folder import FrameFolderReader
from x3d_det.keyframes import Keyframe, format_timestamp
from x3d_det.persons.journal import journal_path
from x3d_det.persons.keyframe_plan import KeyframePlan, Shard, find_videos, plan_every
from x3d_det.persons.run import normalised_rows, run_shard
from x3d_det.persons.summary import PersonSummary, ShardedRun, summarize, write_person_boxes

ONE = Shard()
LENGTHS = {"-a": 40, "b": 1, "c": 33}  # pieces of 16: 3, 1 and 3


def _plan(lengths: dict[str, int], start: int = 0) -> KeyframePlan:
    return KeyframePlan(
        timestamps={v: tuple(float(start + s) for s in range(n)) for v, n in lengths.items()},
        identity="a test",
    )


def _run(
    output_dir: Path,
    plan: KeyframePlan,
    source: FrameSource,
    detector: LitDetector | None = None,
    *,
    shard: Shard = ONE,
    start: float = 0.0,
    batch_size: int = 5,
    resume: bool = False,
) -> ShardedRun:
    output_dir.mkdir(exist_ok=True)
    return run_shard(
        plan,
        source,
        detector or LitDetector(),
        output_dir=output_dir,
        shard=shard,
        video_start_seconds=start,
        batch_size=batch_size,
        resume=resume,
    )


def _csv(run: ShardedRun, path: Path) -> str:
    write_person_boxes(run, path)
    return path.read_text()


def _expected_csv(lengths: dict[str, int], start: int = 0) -> str:
    """The csv of drawn films, in slow loops."""
    lines = []
    for video_id, num_seconds in sorted(lengths.items()):
        for second in range(num_seconds):
            rows = [((x2 - x1) / HALF, (x1, y1, x2, y2)) for x1, y1, x2, y2 in drawn_boxes(second)]
            for score, box in sorted(rows, key=lambda row: (-row[0], row[1])):
                corners = [f"{v / (HEIGHT if i % 2 else WIDTH):.5f}" for i, v in enumerate(box)]
                stamp = format_timestamp(start + second)
                lines.append(",".join([video_id, stamp, *corners, "", repr(score)]))
    return "".join(f"{line}\n" for line in lines)


def _lines(output_dir: Path, shard: Shard = ONE) -> list[dict]:
    return [json.loads(line) for line in journal_path(output_dir, shard).read_text().splitlines()]


# Known answers


def test_boxes_of_a_video_worked_by_hand(tmp_path):
    # 64 x 48 pixels: 8 / 64 = 0.125, 24 / 64 = 0.375, 6 / 48 = 0.125, 30 / 48 = 0.625; the score
    # is the width over 32. At second 2 the wider, on the right, comes first.
    seconds = [[(8, 6, 24, 30)], [], [(0, 0, 8, 48), (32, 12, 64, 36)]]
    film = lit_film(tmp_path / "film.mp4", seconds)
    videos = find_videos([film])
    source = VideoFolder(tmp_path, paths=videos, video_start_seconds=900.0)
    plan = plan_every(videos, video_start_seconds=900.0)
    run = _run(tmp_path / "out", plan, source, start=900.0)
    assert _csv(run, tmp_path / "boxes.csv") == (
        "film,0900,0.12500,0.12500,0.37500,0.62500,,0.5\n"
        "film,0902,0.50000,0.25000,1.00000,0.75000,,1.0\n"
        "film,0902,0.00000,0.00000,0.12500,1.00000,,0.25\n"
    )
    assert len(read_proposals(tmp_path / "boxes.csv")) == 3
    assert _lines(tmp_path / "out") == [
        {
            "journal": "x3d_det persons",
            "version": 1,
            "shard": "1/1",
            "settings": {
                "keyframes": plan.identity,
                "video_start_seconds": 900.0,
                "detector": {"backend": "lit", "min_score": 0.05},
            },
        },
        {"video_id": "film", "timestamp": 900.0, "boxes": [[0.125, 0.125, 0.375, 0.625, 0.5]]},
        {"video_id": "film", "timestamp": 901.0, "boxes": []},
        {
            "video_id": "film",
            "timestamp": 902.0,
            "boxes": [[0.5, 0.25, 1.0, 0.75, 1.0], [0.0, 0.0, 0.125, 1.0, 0.25]],
        },
        {"end": True, "unreadable": {}},
    ]


def test_frames_of_a_folder_and_broken_seconds(tmp_path):
    folder = tmp_path / "frames" / "film"
    folder.mkdir(parents=True)
    for index in range(6):  # two a second
        Image.fromarray(lit_frame(drawn_boxes(index))).save(folder / f"img_{index:05d}.png")
    reader = FrameFolderReader(
        tmp_path / "frames", template="img_{index:05d}.png", fps=2, first_index=0
    )
    plan = KeyframePlan(timestamps={"film": tuple(i / 2 for i in range(6))}, identity="")
    run = _run(tmp_path / "out", plan, FrameFolder(reader, video_start_seconds=0.0))
    halves = _csv(run, tmp_path / "boxes.csv")
    assert halves.startswith("film,0.500000,0.03125,")
    assert [line.split(",")[2:] for line in halves.splitlines()] == [
        line.split(",")[2:] for line in _expected_csv({"film": 6}).splitlines()
    ]


def test_rows_are_rounded_ordered_and_clipped():
    boxes_px = np.array(
        [
            [10, 10, 20, 20, 0.5],
            [5, 10, 20, 20, 0.5],  # as sure as the first, and further left: before it
            [-3, -2, 200, 100, 0.9000001],
            [7, 7, 7.0001, 30, 0.99],  # 0.0001 of 100 pixels: nothing at five decimals
            [1 / 3, 0, 2 / 3, 50, 0.1234567],
        ],
        np.float32,
    )
    assert normalised_rows(boxes_px, (50, 100), Keyframe("v", 1)) == (
        (0.0, 0.0, 1.0, 1.0, 0.9),
        (0.05, 0.2, 0.2, 0.4, 0.5),
        (0.1, 0.2, 0.2, 0.4, 0.5),
        (0.00333, 0.0, 0.00667, 1.0, 0.123457),
    )
    shuffled = boxes_px[[4, 2, 0, 3, 1]]
    assert normalised_rows(shuffled, (50, 100), Keyframe("v", 1)) == normalised_rows(
        boxes_px, (50, 100), Keyframe("v", 1)
    )


def test_boxes_that_are_no_numbers_are_refused():
    boxes_px = np.array([[1, 2, np.nan, 4, 0.5]], np.float32)
    with pytest.raises(DataError, match="film,0902: the detector gives boxes that are not finite"):
        normalised_rows(boxes_px, (50, 100), Keyframe("film", 902))


def test_far_apart_keyframes_are_sought_one_by_one(tmp_path):
    plan = KeyframePlan(timestamps={"v": (0.0, 10.0, 40.0, 100.0, 101.0)}, identity="")
    source = LitSource({"v": 200})
    _run(tmp_path, plan, source)
    assert source.reads == [("v", (0.0, 10.0)), ("v", (40.0,)), ("v", (100.0, 101.0))]


def test_batches_never_mix_videos_nor_pieces(tmp_path):
    detector = LitDetector()
    _run(tmp_path, _plan(LENGTHS), LitSource(LENGTHS), detector)
    assert [len(batch) for batch in detector.batches] == [
        *(5, 5, 5, 1, 5, 5, 5, 1, 5, 3),  # -a: 16 + 16 + 8 keyframes
        1,
        *(5, 5, 5, 1, 5, 5, 5, 1, 1),  # c: 16 + 16 + 1
    ]


# Seconds outside, nothing found


def test_seconds_outside_a_video_are_skipped_and_said(tmp_path):
    lit_film(tmp_path / "film.mp4", [[(0, 0, 32, 48)]] * 3)
    source = VideoFolder(tmp_path, video_start_seconds=10.0)
    # 8 and 9 come before the file, 13.5 and the far 300, alone in its read, after it.
    plan = KeyframePlan(timestamps={"film": (8.0, 9.0, 10.0, 12.0, 13.5, 300.0)}, identity="")
    run = _run(tmp_path / "out", plan, source, start=10.0, batch_size=2)
    assert [line.get("outside", False) for line in _lines(tmp_path / "out")[1:-1]] == [
        *(True, True, False, False, True, True)
    ]
    assert summarize(run, threshold=0.8).lines() == [
        "2 keyframes of 1 video: 2 boxes, 2 of them above 0.8",
        "each keyframe has a person above 0.8",
        "4 keyframes lie outside their videos and were skipped: film,0008, film,0009, "
        "film,13.500000 and 1 more",
    ]
    run.require_keyframes()


def test_keyframes_that_are_all_outside_are_an_error(tmp_path):
    lit_film(tmp_path / "film.mp4", [[]] * 2)
    plan = _plan({"film": 3}, start=902)
    run = _run(tmp_path / "out", plan, VideoFolder(tmp_path, video_start_seconds=0.0))
    with pytest.raises(
        DataError, match="none of 3 keyframes lies inside its video; the files are "
    ):
        run.require_keyframes()


def test_nobody_anywhere_gives_an_empty_file(tmp_path):
    lit_film(tmp_path / "film.mp4", [[]] * 2)
    run = _run(tmp_path / "out", _plan({"film": 2}), VideoFolder(tmp_path, video_start_seconds=0))
    run.require_keyframes()
    assert _csv(run, tmp_path / "boxes.csv") == ""
    assert summarize(run, threshold=0.8).lines() == [
        "2 keyframes of 1 video: 0 boxes, 0 of them above 0.8",
        "0 persons above 0.8 in 2 of 2 keyframes; not one box there",
        "  more persons: a larger --short-side, or another --model",
    ]


# What is said


def _summary(highest_without: Sequence[float], *, num_keyframes: int) -> list[str]:
    return PersonSummary(
        threshold=0.8,
        num_videos=2,
        num_keyframes=num_keyframes,
        num_boxes=37,
        num_persons=1,
        highest_without=tuple(highest_without),
        outside=(),
    ).lines()


def test_the_summary_names_keyframes_without_persons_and_the_way_on():
    found = _summary([0.63, 0.5, 0.499, 0.3, 0.2, 0.1, 0.0, 0.0, 0.0], num_keyframes=10)
    assert found == [
        "10 keyframes of 2 videos: 37 boxes, 1 of them above 0.8",
        "0 persons above 0.8 in 9 of 10 keyframes; highest score 0.63",
        "  a lower boxes.score_threshold keeps more (above 0.5: 0 persons in 7 of 10 keyframes); "
        "more persons: a larger --short-side, or another --model",
    ]


def test_the_summary_has_no_hint_where_most_keyframes_have_persons():
    # 0.7999 is cut to 0.79: a rounded 0.80 would contradict the line.
    assert _summary([0.7999, 0.2], num_keyframes=10)[1:] == [
        "0 persons above 0.8 in 2 of 10 keyframes; highest score 0.79"
    ]


def test_counts_at_the_threshold(tmp_path):
    # Widths 32, 24 and 16 of 32: scores 1, 0.75 and 0.5.
    seconds = [[(0, 0, 32, 8), (32, 0, 48, 8)], [(0, 0, 24, 8)], [(0, 0, 16, 8)], []]
    lit_film(tmp_path / "film.mp4", seconds)
    run = _run(tmp_path / "out", _plan({"film": 4}), VideoFolder(tmp_path, video_start_seconds=0))
    found = summarize(run, threshold=0.75)
    assert (found.num_keyframes, found.num_boxes, found.num_persons) == (4, 4, 2)
    assert found.highest_without == (0.5, 0.0)


# Kills, resuming, shards


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one film of 40 seconds."""
    folder = tmp_path_factory.mktemp("film")
    lit_film(folder / "film.mp4", [drawn_boxes(second) for second in range(40)])
    return folder


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
    run = _run(output_dir, plan, VideoFolder(film, video_start_seconds=0), idle, resume=True)
    assert idle.num_frames == 0
    assert _csv(run, tmp_path / "boxes.csv") == _expected_csv({"film": 40})
    keyframes = [line["timestamp"] for line in _lines(output_dir) if "timestamp" in line]
    assert sorted(keyframes) == [float(second) for second in range(40)]  # none twice


def _work_and_exit(output_dir: Path, plan: KeyframePlan, film: Path) -> None:
    """The child's work; it must never return into pytest."""
    try:
        source = VideoFolder(film, video_start_seconds=0.0)
        _run(
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
    plan, source = _plan(lengths), LitSource(lengths)
    whole = tmp_path / "whole"
    expected = _csv(_run(whole, plan, source, batch_size=2), tmp_path / "whole.csv")
    assert expected == _expected_csv(lengths)
    content = journal_path(whole, ONE).read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    for size in range(0, len(content) + 1, 5):
        journal_path(cut, ONE).write_bytes(content[:size])
        run = _run(cut, plan, source, batch_size=2, resume=True)
        assert _csv(run, tmp_path / "cut.csv") == expected, size
        assert len(_lines(cut)) == 10, size  # header, 8 keyframes, end: none twice, none missing
    assert source.reads


def test_a_batch_is_the_same_after_a_kill(tmp_path):
    """A detector's last bits depend on the batch, so a batch in part done is looked at whole."""
    plan, source = _plan({"a": 16}), LitSource({"a": 16})
    first = LitDetector()
    _run(tmp_path / "out", plan, source, first)
    lines = journal_path(tmp_path / "out", ONE).read_bytes().splitlines(keepends=True)
    journal_path(tmp_path / "out", ONE).write_bytes(b"".join(lines[: 1 + 7]))  # 5 + 2 keyframes
    again = LitDetector()
    _run(tmp_path / "out", plan, source, again, resume=True)
    assert again.batches == first.batches[1:]
    assert source.reads[-1] == ("a", tuple(map(float, range(5, 16))))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_give_the_same_bytes(tmp_path, count):
    plan, source = _plan(LENGTHS, start=900), LitSource(LENGTHS, start=900)
    order = random.Random(count).sample(range(1, count + 1), count)
    for place, index in enumerate(order):
        run = _run(tmp_path / "out", plan, source, shard=Shard(index, count), start=900)
        assert run.unfinished == sorted(order[place + 1 :])
    assert _csv(run, tmp_path / "boxes.csv") == _expected_csv(LENGTHS, start=900)
    found = summarize(run, threshold=0.5)
    assert (found.num_videos, found.num_keyframes) == (3, 74)


def test_a_finished_run_is_not_done_again(tmp_path):
    plan, source = _plan(LENGTHS), LitSource(LENGTHS)
    _run(tmp_path, plan, source)
    before = journal_path(tmp_path, ONE).read_bytes()
    detector = LitDetector()
    run = _run(tmp_path, plan, source, detector, resume=True)
    assert detector.num_frames == 0
    assert journal_path(tmp_path, ONE).read_bytes() == before
    assert run.unfinished == []


# Refusals


def test_an_earlier_run_is_refused_without_resume(tmp_path):
    plan, source = _plan({"a": 2}), LitSource({"a": 2})
    _run(tmp_path, plan, source)
    with pytest.raises(DataError, match=r"shard-1-of-1\.jsonl: an earlier run has begun here; go "):
        _run(tmp_path, plan, source)


def test_other_settings_are_refused_and_named(tmp_path):
    plan, source = _plan({"a": 2}), LitSource({"a": 2})
    _run(tmp_path, plan, source)
    other = LitDetector(settings={"backend": "lit", "min_score": 0.1, "short_side": 400})
    with pytest.raises(DataError) as caught:
        _run(tmp_path, plan, source, other, resume=True, start=900.0)
    assert str(caught.value) == (
        f"{journal_path(tmp_path, ONE)}: was made with other settings: detector.min_score was "
        "0.05, is 0.1; detector.short_side was None, is 400; video_start_seconds was 0.0, is "
        "900.0. Give the same ones to go on, or choose another --output-dir."
    )
    keyframes = KeyframePlan(timestamps=plan.timestamps, identity="another")
    with pytest.raises(DataError, match="keyframes was 'a test', is 'another'"):
        _run(tmp_path, keyframes, source, resume=True)
    assert len(_lines(tmp_path)) == 4  # the refused ones wrote nothing


def test_another_number_of_shards_is_refused(tmp_path):
    plan, source = _plan({"a": 2}), LitSource({"a": 2})
    _run(tmp_path, plan, source, shard=Shard(2, 4))
    with pytest.raises(DataError, match=r"shard-2-of-4.*run of 4 shards, this one is of 2; go on "):
        _run(tmp_path, plan, source, shard=Shard(2, 2), resume=True)


def test_two_processes_on_one_shard_are_refused(tmp_path):
    plan, source = _plan({"a": 2}), LitSource({"a": 2})

    class Greedy(LitDetector):
        def detect(self, frames_HWC):
            with pytest.raises(X3DDetError, match="another process is at work on this shard; wait"):
                _run(tmp_path, plan, source, resume=True)
            return super().detect(frames_HWC)

    detector = Greedy()
    _run(tmp_path, plan, source, detector)
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
    plan, source = _plan({"a": 3}), LitSource({"a": 3})
    _run(tmp_path, plan, source)
    path = journal_path(tmp_path, ONE)
    path.write_text("".join(spoil(path.read_text().splitlines(keepends=True))))
    with pytest.raises(DataError) as caught:
        _run(tmp_path, plan, source, resume=True)
    assert f"{path}{text}" in str(caught.value) or f"{path}: {text}" in str(caught.value)


def test_a_gap_in_another_shard_is_an_error(tmp_path):
    plan, source = _plan({"a": 40}), LitSource({"a": 40})
    _run(tmp_path, plan, source, shard=Shard(1, 2))
    path = journal_path(tmp_path, Shard(1, 2))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4] + lines[6:]))
    with pytest.raises(
        DataError, match="holds no line for 2 keyframes: a,0003, a,0004; go on with "
    ):
        _run(tmp_path, plan, source, shard=Shard(2, 2))


def test_another_shard_of_other_settings_is_refused(tmp_path):
    plan, source = _plan({"a": 40}), LitSource({"a": 40})
    _run(tmp_path, plan, source, LitDetector(settings={"min_score": 0.2}), shard=Shard(1, 2))
    with pytest.raises(DataError, match=r"shard-1-of-2.*min_score was 0\.2, is 0\.05"):
        _run(tmp_path, plan, source, shard=Shard(2, 2))


# Broken videos


def test_a_broken_video_is_named_and_the_others_go_on(film, tmp_path, caplog):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "c.mp4"):
        os.link(film / "film.mp4", folder / name)
    os.link(cut_file(film / "film.mp4", share=0.6), folder / "b.mp4")
    plan = _plan({"a": 20, "b": 20, "c": 20, "d": 20})  # there is no d at all
    out = tmp_path / "out"
    run = _run(out, plan, VideoFolder(folder, video_start_seconds=0))
    assert list(run.unreadable) == ["b", "d"]
    assert "video b is given up: " in caplog.text
    with pytest.raises(DataError) as caught:
        run.require_readable()
    assert str(caught.value) == (
        "2 of 4 videos could not be read:\n"
        f"  {run.unreadable['b']}\n"
        f"  {folder}/d.{{mp4,mkv,webm,avi,mov}}: there is no such video file.\n"
        "mend them and run again with --resume, or add --skip-unreadable to write the file "
        "without them"
    )
    assert f"{folder}/b.mp4: " in run.unreadable["b"]
    assert _csv(run, tmp_path / "boxes.csv") == _expected_csv({"a": 20, "c": 20})

    # Mended, what is left of them alone is looked at: b's first 16 keyframes were readable.
    (folder / "b.mp4").unlink()
    for name in ("b.mp4", "d.mp4"):
        os.link(film / "film.mp4", folder / name)
    detector = LitDetector()
    run = _run(out, plan, VideoFolder(folder, video_start_seconds=0), detector, resume=True)
    run.require_readable()
    assert detector.num_frames == 4 + 20
    assert _csv(run, tmp_path / "boxes.csv") == _expected_csv(dict.fromkeys("abcd", 20))


def test_a_video_broken_in_its_middle_leaves_no_rows(tmp_path):
    folder = tmp_path / "frames" / "film"
    folder.mkdir(parents=True)
    for second in range(40):
        Image.fromarray(lit_frame(drawn_boxes(second))).save(folder / f"{second:03d}.png")
    (folder / "020.png").write_bytes(b"no picture")
    reader = FrameFolderReader(
        tmp_path / "frames", template="{index:03d}.png", fps=1, first_index=0
    )
    plan, detector = _plan({"film": 40}), LitDetector()
    source = FrameFolder(reader, video_start_seconds=0)
    run = _run(tmp_path / "out", plan, source, detector)
    assert detector.num_frames == 16  # the first piece; the third is not tried any more
    assert "020.png" in run.unreadable["film"]
    assert _csv(run, tmp_path / "boxes.csv") == ""
    with pytest.raises(DataError, match=r"no keyframe could be looked at\n1 of 1 videos could not"):
        run.require_keyframes()


def test_the_shards_that_met_a_broken_video_are_named(tmp_path):
    plan = _plan({"a": 1, "b": 1})
    (tmp_path / "videos").mkdir()
    lit_film(tmp_path / "videos" / "a.mp4", [drawn_boxes(0)])
    source = VideoFolder(tmp_path / "videos", video_start_seconds=0)
    for index in (1, 2, 3):
        run = _run(tmp_path / "out", plan, source, shard=Shard(index, 3))
    with pytest.raises(
        DataError, match=r"run again with --resume \(--shard i/n for i = 2\), or add"
    ):
        run.require_readable()


# Other ends


@pytest.mark.parametrize("missing_bytes", [1000, 5])
def test_a_full_disk_is_one_clear_line_and_the_run_goes_on(tmp_path, missing_bytes):
    """Full in the middle, and with half of the last line on the disk."""
    plan, source = _plan({"a": 30}), LitSource({"a": 30})
    _run(tmp_path / "whole", plan, source)
    limit = journal_path(tmp_path / "whole", ONE).stat().st_size - missing_bytes
    child = os.fork()
    if child == 0:  # the limit cannot be taken back in this process
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            _run(tmp_path / "out", plan, source)
        except X3DDetError as error:
            (tmp_path / "message").write_text(str(error))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert journal_path(tmp_path / "out", ONE).stat().st_size == limit
    assert (tmp_path / "message").read_text() == (
        f"cannot write {journal_path(tmp_path / 'out', ONE)}: File too large. What was found "
        "before is kept; free some space and go on with --resume."
    )
    run = _run(tmp_path / "out", plan, source, resume=True)
    assert _csv(run, tmp_path / "boxes.csv") == _expected_csv({"a": 30})


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a mistake of ours")])
def test_what_ends_a_run_ends_its_thread_and_lock(tmp_path, error):
    plan, source = _plan({"a": 100}), LitSource({"a": 100})
    with pytest.raises(type(error)):
        _run(tmp_path, plan, source, LitDetector(fail_after=2, error=error))
    assert "decode" not in {thread.name for thread in threading.enumerate()}
    run = _run(tmp_path, plan, source, resume=True)
    assert _csv(run, tmp_path / "boxes.csv") == _expected_csv({"a": 100})


def test_too_large_a_batch_names_the_way_on(tmp_path):
    error = RuntimeError("CUDA out of memory. Tried to allocate 20 MiB")
    detector = LitDetector(fail_after=0, error=error)
    text = (
        "not enough memory for a batch of 5 frames of 64x48; .* --resume and a smaller --batch-size"
    )
    with pytest.raises(X3DDetError, match=text):
        _run(tmp_path, _plan({"a": 9}), LitSource({"a": 9}), detector)


def test_a_mistake_in_the_decoding_thread_is_not_swallowed(tmp_path):
    with pytest.raises(KeyError):  # LitSource knows no such video
        _run(tmp_path, _plan({"unknown": 3}), LitSource({"a": 3}))
