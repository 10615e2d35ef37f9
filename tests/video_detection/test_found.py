"""What was found, in words and in files; worked by hand."""

import json

import pytest

from x3d_det.io.ava_csv import read_detections
from x3d_det.video_detection.found import (
    FoundTracks,
    video_id_of,
    without_password,
    write_detections_of,
)
from x3d_det.video_detection.results import KeyframeActions, PersonActions, ScoredAction
from x3d_det.visualization.action_timeline import PersonRow

NAMES = {number: f"action {number}" for number in range(1, 9)}
BOX = (0.1, 0.2, 0.5, 0.9)


def person(number, scores, box=BOX):
    actions = [ScoredAction(i, NAMES[i], scores.get(i, i / 1000)) for i in NAMES]
    actions.sort(key=lambda action: -action.score)
    return PersonActions(box, 0.9, number, tuple(actions))


def keyframe(seconds, *persons, below=0, highest=None, has_actions=True):
    return KeyframeActions(
        seconds,
        48,
        64,
        persons,
        0,
        has_actions=has_actions,
        num_below_threshold=below,
        highest_below_threshold=highest,
    )


def found_of(*keyframes, threshold=0.5, person_threshold=0.8):
    found = FoundTracks(
        score_threshold=threshold, action_names=NAMES, person_threshold=person_threshold
    )
    for one in keyframes:
        found.add(one)
    return found


def test_the_most_frequent_actions_are_named():
    found = found_of(
        keyframe(0.0, person(1, {3: 0.9, 2: 0.6}), person(2, {3: 0.5})),
        keyframe(1.0, person(1, {3: 0.8, 5: 0.7, 1: 0.7})),
    )
    assert found.summary() == (
        "2 persons, seen 3 times at 2 keyframes; most often action 3 (3), action 1 (1), "
        "action 2 (1) and 1 other action."
    )
    assert (found.num_persons, found.who()) == (2, "2 persons")


def test_one_is_one():
    found = found_of(keyframe(0.0, person(1, {3: 0.9})))
    assert found.summary() == "1 person, seen 1 time at 1 keyframe; most often action 3 (1)."
    assert found.who() == "1 person"


def test_why_nobody():
    found = found_of(
        keyframe(0.0, below=30, highest=0.74), keyframe(1.0, below=1, highest=0.3), keyframe(2.0)
    )
    assert found.summary() == (
        "nobody found at 3 keyframes: 31 persons, none above 0.8; highest 0.74: "
        "try --person-threshold 0.7."
    )
    assert found.who() == "nobody"
    assert "the person detector saw none" in found_of(keyframe(0.0)).summary()
    assert "no keyframe in the range" in found_of().summary()


@pytest.mark.parametrize(
    ("score", "tried"), [(0.74, "0.7"), (0.7, "0.7"), (0.069, "0.06"), (0.05, "0.05"), (0.3, "0.3")]
)
def test_what_is_tried_would_find_somebody(score, tried):
    text = found_of(keyframe(0.0, below=1, highest=score)).summary()
    assert text.endswith(f"try --person-threshold {tried}.")
    assert float(tried) <= score


def test_why_no_action():
    found = found_of(keyframe(0.0, person(1, {4: 0.43})), keyframe(1.0, person(1, {2: 0.2})))
    assert found.summary() == (
        "1 person, seen 2 times at 2 keyframes; no action above 0.5, the highest is action 4 with "
        "0.43: try --score-threshold 0.4."
    )


def test_moments_without_actions_count_for_nothing():
    found = found_of(
        keyframe(0.0, person(1, {3: 0.9})),
        keyframe(0.5, person(2, {}), has_actions=False, below=4, highest=0.7),
    )
    assert found.summary().startswith("1 person, seen 1 time at 1 keyframe")
    assert len(found.rows()) == 1


def test_rows_of_the_timeline():
    found = found_of(
        keyframe(0.0, person(2, {3: 0.9, 2: 0.6})), keyframe(1.0, person(1, {}), person(2, {}))
    )
    assert found.rows() == [
        PersonRow(name="person 1", seconds=(1.0,), actions=((),)),
        PersonRow(name="person 2", seconds=(0.0, 1.0), actions=(("action 3", "action 2"), ())),
    ]


def test_tracks_as_json(tmp_path):
    path = tmp_path / "tracks.json"
    many = {i: 0.9 - i / 100 for i in range(1, 8)}
    found = found_of(
        keyframe(0.0, person(1, {3: 0.9})), keyframe(2.0, person(2, many), person(1, {}))
    )
    found.write_json(path, {"video": {"name": "Käse.mp4"}})
    content = json.loads(path.read_text(encoding="utf-8"))
    assert list(content) == ["video", "score_threshold", "tracks"]
    assert (content["video"], content["score_threshold"]) == ({"name": "Käse.mp4"}, 0.5)
    first, second = content["tracks"]
    assert (first["track_id"], first["start_seconds"], first["end_seconds"]) == (1, 0.0, 2.0)
    assert first["keyframes"][0] == {
        "seconds": 0.0,
        "box": list(BOX),
        "person_score": 0.9,
        "actions": [
            {"id": 3, "name": "action 3", "score": 0.9, "done": True},
            *(
                {"id": i, "name": f"action {i}", "score": i / 1000, "done": False}
                for i in (8, 7, 6, 5)
            ),
        ],
    }
    assert [action["done"] for action in second["keyframes"][0]["actions"]] == [True] * 7
    assert sum(line.count('"seconds"') for line in path.read_text().splitlines()) == 3
    found_of().write_json(path, {"tracker": "iou"})
    assert json.loads(path.read_text())["tracks"] == []


def test_detections_are_avas_csv_with_every_class(tmp_path):
    path = tmp_path / "detections.csv"
    frames = [
        keyframe(2.0, person(1, {3: 1 / 3})),
        keyframe(2.5, person(1, {}), has_actions=True),
        keyframe(3.0),
    ]
    assert write_detections_of(path, frames, video_id="-film", start_seconds=900.0) == 16
    rows = path.read_text().splitlines()
    assert rows[2] == "-film,0902,0.1,0.2,0.5,0.9,3,0.3333333333333333"
    assert rows[8].startswith("-film,902.500000,")
    read = read_detections(path)
    assert sorted(set(read["timestamp"])) == [902.0, 902.5]
    assert read["score"].max() == 1 / 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b/film.mp4", "film"),
        ("-5KQ66BBWC4.mkv", "-5KQ66BBWC4"),
        ("_145Aa_xkuE.mp4", "_145Aa_xkuE"),
        ("my film, part 2.v3.mov", "my_film__part_2.v3"),
        ("rtsp://anna:secret@host:554/cam 1/", "rtsp_host_554_cam_1"),
        ("camera 0", "camera_0"),
    ],
)
def test_the_videos_name_in_the_csv(name, expected):
    assert video_id_of(name) == expected


def test_a_password_is_left_out():
    assert without_password("rtsp://anna:secret@host/x") == "rtsp://host/x"
    assert without_password("http://host/a@b") == "http://host/a@b"
    assert without_password("a@b.mp4") == "a@b.mp4"
