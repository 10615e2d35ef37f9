"""A run over films of bright rectangles: known boxes, seconds outside, what is said."""

from collections.abc import Sequence

import numpy as np
import pytest
from detect_runs import LENGTHS, csv_of, detect, expected_csv, journal_lines, plan_of
from lit_films import LitDetector, LitSource, drawn_boxes, lit_film, lit_frame
from PIL import Image

from x3d_det.data.clips import FrameFolder, VideoFolder
from x3d_det.errors import DataError
from x3d_det.io.ava_csv import read_proposals
from x3d_det.io.frame_folder import FrameFolderReader
from x3d_det.keyframes import Keyframe
from x3d_det.persons.keyframe_plan import KeyframePlan, find_videos, plan_every
from x3d_det.persons.run import normalised_rows
from x3d_det.persons.summary import PersonSummary, summarize

# Known answers


def test_boxes_of_a_video_worked_by_hand(tmp_path):
    # 64 x 48 pixels: 8 / 64 = 0.125, 24 / 64 = 0.375, 6 / 48 = 0.125, 30 / 48 = 0.625; the score
    # is the width over 32. At second 2 the wider, on the right, comes first.
    seconds = [[(8, 6, 24, 30)], [], [(0, 0, 8, 48), (32, 12, 64, 36)]]
    film = lit_film(tmp_path / "film.mp4", seconds)
    videos = find_videos([film])
    source = VideoFolder(tmp_path, paths=videos, video_start_seconds=900.0)
    plan = plan_every(videos, video_start_seconds=900.0)
    run = detect(tmp_path / "out", plan, source, start=900.0)
    assert csv_of(run, tmp_path / "boxes.csv") == (
        "film,0900,0.12500,0.12500,0.37500,0.62500,,0.5\n"
        "film,0902,0.50000,0.25000,1.00000,0.75000,,1.0\n"
        "film,0902,0.00000,0.00000,0.12500,1.00000,,0.25\n"
    )
    assert len(read_proposals(tmp_path / "boxes.csv")) == 3
    assert journal_lines(tmp_path / "out") == [
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
    run = detect(tmp_path / "out", plan, FrameFolder(reader, video_start_seconds=0.0))
    halves = csv_of(run, tmp_path / "boxes.csv")
    assert halves.startswith("film,0.500000,0.03125,")
    assert [line.split(",")[2:] for line in halves.splitlines()] == [
        line.split(",")[2:] for line in expected_csv({"film": 6}).splitlines()
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
    detect(tmp_path, plan, source)
    assert source.reads == [("v", (0.0, 10.0)), ("v", (40.0,)), ("v", (100.0, 101.0))]


def test_batches_never_mix_videos_nor_pieces(tmp_path):
    detector = LitDetector()
    detect(tmp_path, plan_of(LENGTHS), LitSource(LENGTHS), detector)
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
    run = detect(tmp_path / "out", plan, source, start=10.0, batch_size=2)
    assert [line.get("outside", False) for line in journal_lines(tmp_path / "out")[1:-1]] == [
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
    plan = plan_of({"film": 3}, start=902)
    run = detect(tmp_path / "out", plan, VideoFolder(tmp_path, video_start_seconds=0.0))
    with pytest.raises(
        DataError, match="none of 3 keyframes lies inside its video; the files are "
    ):
        run.require_keyframes()


def test_nobody_anywhere_gives_an_empty_file(tmp_path):
    lit_film(tmp_path / "film.mp4", [[]] * 2)
    run = detect(
        tmp_path / "out", plan_of({"film": 2}), VideoFolder(tmp_path, video_start_seconds=0)
    )
    run.require_keyframes()
    assert csv_of(run, tmp_path / "boxes.csv") == ""
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
    run = detect(
        tmp_path / "out", plan_of({"film": 4}), VideoFolder(tmp_path, video_start_seconds=0)
    )
    found = summarize(run, threshold=0.75)
    assert (found.num_keyframes, found.num_boxes, found.num_persons) == (4, 4, 2)
    assert found.highest_without == (0.5, 0.0)
