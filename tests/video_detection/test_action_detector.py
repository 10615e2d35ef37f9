"""The Python interface: the evaluation's scores, given boxes, pickles, threads, and its errors."""

import json
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from action_checkpoints import ACTIONS, OVERRIDES, BrightPersons, save_action_checkpoint
from small_dataset import make_small_dataset, overrides
from video_files import make_video

from x3d_det import ActionDetector, Request
from x3d_det.errors import CheckpointError, ConfigError, DataError, VideoError, X3DDetError
from x3d_det.io.weights import load_model, save_model
from x3d_det.persons import PersonDetectorOptions
from x3d_det.video_detection import (
    KeyframeActions,
    PersonActions,
    PipelineOptions,
    boxes_by_second,
    read_given_boxes,
)

ONE_BOX = np.array([[0.1, 0.2, 0.6, 0.9, 0.9]])


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Three seconds."""
    return make_video(tmp_path_factory.mktemp("film") / "film.mp4", num_frames=90)


def scores_of(keyframe: KeyframeActions) -> np.ndarray:
    """Return (N, K), the actions by rising id."""
    return np.array(
        [[a.score for a in sorted(p.actions, key=lambda a: a.action_id)] for p in keyframe.persons]
    )


@pytest.mark.parametrize("labels", ["multi", "single"])
def test_scores_are_those_of_the_evaluation(tmp_path, labels):
    """The same boxes through `evaluate_ava`'s own path, bit for bit."""
    from x3d_det.config.load import load_config
    from x3d_det.runs.ava_evaluation import load_for_scoring, score_boxes

    root = tmp_path / "data"
    make_small_dataset(root)
    checkpoint = save_action_checkpoint(
        tmp_path / "model.safetensors", f"dataset.labels={labels}", labels=labels
    )
    config = load_config(
        "x3d_xs_ava_mini.yaml",
        [
            *overrides(root),
            *OVERRIDES,
            f"dataset.labels={labels}",
            "boxes.evaluate=detected",
            "evaluation.batch_size=1",  # another batch rounds otherwise
            "evaluation.num_workers=0",
            "device=cpu",
            "num_threads=1",
        ],
    )
    if labels == "single":
        text = (root / "annotations_val.csv").read_text().splitlines(keepends=True)
        kept = [line for line in text if not line.endswith(",2,0\n")]  # one action a box
        (root / "annotations_val.csv").write_text("".join(kept))
    model, data, world = load_for_scoring(config, checkpoint)
    expected = {item.timestamp - 900: item for item in score_boxes(config, model, data, world)}

    detector = ActionDetector.load(checkpoint, device="cpu")
    boxes = read_given_boxes(root / "person_boxes_val.csv", video_id="-v1", video_start_seconds=900)
    found = list(detector.detect(root / "videos" / "-v1.mp4", Request(boxes=boxes)))
    assert {k.seconds for k in found} == set(expected) == {2.0, 3.0, 4.0, 5.0, 6.0, 7.0}
    for keyframe in found:
        item = expected[keyframe.seconds]
        columns = [action_id - 1 for action_id in ACTIONS]
        np.testing.assert_array_equal(scores_of(keyframe), item.scores_NK[:, columns])
        np.testing.assert_array_equal([p.box_norm for p in keyframe.persons], item.boxes_norm)
    if labels == "multi":
        assert len({p.actions[0].score for k in found for p in k.persons}) > 6, "not all alike"


def test_what_is_found_is_typed_and_ordered(film, detector):
    first = next(detector.detect(film))
    assert isinstance(first, KeyframeActions)
    assert isinstance(first.persons[0], PersonActions)
    assert (first.frame_height, first.frame_width, first.seconds) == (48, 64, 0.0)
    assert [p.person_score for p in first.persons] == pytest.approx([0.95, 0.85])
    assert (first.num_below_threshold, first.highest_below_threshold) == (1, pytest.approx(0.7))
    assert [person.track_id for person in first.persons] == [1, 2]
    for person in first.persons:
        scores = [action.score for action in person.actions]
        assert scores == sorted(scores, reverse=True)
        assert {action.action_id: action.name for action in person.actions} == ACTIONS
    assert pickle.loads(pickle.dumps(first)) == first


def test_the_threshold_is_the_least_score_that_is_kept(film, checkpoint):
    for threshold, num_kept in ((0.0, 3), (0.85, 2), (1.0, 0)):
        detector = ActionDetector.load(
            checkpoint, persons=BrightPersons(), device="cpu", person_threshold=threshold
        )
        first = next(detector.detect(film))
        assert (len(first.persons), first.num_below_threshold) == (num_kept, 3 - num_kept)


def test_boxes_found_and_boxes_given_have_the_same_result(film, detector, tmp_path):
    """What `detect_persons` would write, read from its csv, gives what the detector gives."""
    found = list(detector.detect(film))
    rows = [("film", k.seconds, *p.box_norm, "", p.person_score) for k in found for p in k.persons]
    csv = tmp_path / "boxes.csv"
    pd.DataFrame(rows).to_csv(csv, header=False, index=False)
    given = list(detector.detect(film, Request(boxes=csv)))
    assert [k.persons for k in given] == [k.persons for k in found]
    table = pd.DataFrame(rows, columns=["video_id", "timestamp", *"abcd", "label", "score"])
    table = table.rename(columns=dict(zip("abcd", ["x1", "y1", "x2", "y2"], strict=True)))
    assert list(detector.detect(film, Request(boxes=table))) == given
    assert list(detector.detect(film, Request(boxes=boxes_by_second(table)))) == given


def test_the_seconds_of_given_boxes_are_the_keyframes(film, detector):
    boxes = {0.5: ONE_BOX, 2.25: np.repeat(ONE_BOX, 2, axis=0), 1.0: np.zeros((0, 5))}
    run = detector.detect(film, Request(boxes=boxes))
    assert [(k.seconds, len(k.persons)) for k in run] == [(0.5, 1), (1.0, 0), (2.25, 2)]
    part = detector.detect(film, Request(boxes=boxes, start_seconds=0.75, end_seconds=2.0))
    assert [k.seconds for k in part] == [1.0]


def test_seconds_behind_the_video_are_noted(film, detector):
    run = detector.detect(film, Request(boxes={1.0: ONE_BOX, 3.5: ONE_BOX, 9.0: ONE_BOX}))
    assert [k.seconds for k in run] == [1.0]
    assert "2 of the 3 seconds with boxes lie after its end, second 3.5 first" in run.notes[0]
    with pytest.raises(VideoError, match=r"second 900 first.* Check the second at which"):
        list(detector.detect(film, Request(boxes={900.0: ONE_BOX, 901.0: ONE_BOX})))


def test_a_detector_survives_a_pickle(film, detector):
    copy = pickle.loads(pickle.dumps(detector))
    assert list(copy.detect(film)) == list(detector.detect(film))
    assert copy.settings() == detector.settings()


@pytest.mark.slow
def test_another_process_has_the_same_result(film, detector, tmp_path):
    (tmp_path / "detector.pkl").write_bytes(pickle.dumps(detector))
    script = (
        "import pickle, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "detector = pickle.loads(Path('detector.pkl').read_bytes())\n"
        "Path('found.pkl').write_bytes(pickle.dumps(list(detector.detect(sys.argv[1]))))\n"
    )
    tests = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", script, str(film), str(tests)], cwd=tmp_path, check=True)
    found = pickle.loads((tmp_path / "found.pkl").read_bytes())
    expected = list(detector.detect(film))
    assert [k.seconds for k in found] == [k.seconds for k in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(scores_of(one), scores_of(other), atol=1e-6)


def test_threads_may_share_a_detector(film, detector):
    expected = list(detector.detect(film))
    found: list[list[KeyframeActions]] = [[], []]

    def work(place: int) -> None:
        found[place] = list(detector.detect(film))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected, expected]


def test_two_runs_of_one_thread_do_not_mix(film, detector):
    first = detector.detect(film, tracker=None)
    second = detector.detect(film, Request(start_seconds=1.0), tracker=None)
    pairs = list(zip(first, second, strict=False))
    assert [(a.seconds, b.seconds) for a, b in pairs] == [(0.0, 1.0), (1.0, 2.0)]
    assert pairs[1][0].persons == pairs[0][1].persons
    first.close()


def test_the_person_detector_is_made_when_it_is_needed(film, checkpoint, tmp_path):
    missing = PersonDetectorOptions(weights=tmp_path / "none.pth", backend="torchvision")
    detector = ActionDetector.load(checkpoint, persons=missing, device="cpu")
    assert len(list(detector.detect(film, Request(boxes={1.0: ONE_BOX})))) == 1
    assert detector.settings(boxes_given=True)["persons"] is None
    with pytest.raises(X3DDetError, match=r"none\.pth"):
        list(detector.detect(film))


def test_settings_tell_what_changes_a_result(detector, checkpoint):
    settings = detector.settings()
    assert json.loads(json.dumps(settings)) == settings
    assert settings["persons"] == {"backend": "bright"}
    assert (settings["short_side"], settings["precision"]) == (64, "float32")
    larger = ActionDetector.load(checkpoint, device="cpu", short_side=96, precision="bfloat16")
    assert larger.settings(boxes_given=True)["short_side"] == 96
    assert larger.settings(boxes_given=True)["precision"] == "bfloat16"
    assert detector.action_names == ACTIONS
    assert detector.clip_span_seconds == pytest.approx(0.6)


def test_a_training_checkpoint_of_another_kind_is_refused(tmp_path, checkpoint):
    with pytest.raises(CheckpointError, match=r"none\.safetensors"):
        ActionDetector.load(tmp_path / "none.safetensors")
    state, metadata = load_model(checkpoint)
    path = tmp_path / "model.safetensors"
    for change, found in (
        ({"format": "x3d_det classifier"}, "is 'x3d_det classifier'; a video needs an"),
        ({"config": "{}"}, "its config cannot be read"),
        ({"output_ids": "[1, 2, 3]"}, "no output for action id 4"),
        ({"classes": "{}"}, "no named action"),
    ):
        save_model(path, state, {**metadata, **change})
        with pytest.raises(CheckpointError, match=found):
            ActionDetector.load(path)
    save_model(path, state, {key: metadata[key] for key in ("config", "classes")})
    with pytest.raises(CheckpointError, match="'without a format'"):
        ActionDetector.load(path)


def test_a_checkpoint_without_output_ids_has_an_output_for_each_id(tmp_path, checkpoint, film):
    state, metadata = load_model(checkpoint)
    del metadata["output_ids"]  # as the first runs exported it; its config has 4 classes
    path = tmp_path / "model.safetensors"
    save_model(path, state, metadata)
    boxes = {1.0: ONE_BOX}
    found = [
        [
            scores_of(k)
            for k in ActionDetector.load(p, device="cpu").detect(film, Request(boxes=boxes))
        ]
        for p in (path, checkpoint)
    ]
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"precision": "bfloat"}, "precision is 'bfloat'; did you mean bfloat16"),
        ({"person_threshold": 1.5}, r"person_threshold is 1\.5"),
        ({"short_side": 0}, "short_side is 0"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_loading_checks_its_options(checkpoint, options, found):
    with pytest.raises((X3DDetError, RuntimeError), match=found):
        ActionDetector.load(checkpoint, **options)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"interval_seconds": 0}, "interval_seconds is 0"),
        ({"interval_seconds": float("nan")}, "interval_seconds is nan"),
        ({"person_looks": 0}, "person_looks is 0"),
        ({"person_looks": 2, "boxes": {1.0: ONE_BOX}}, "person_looks is 2, but with boxes"),
        ({"start_seconds": -1}, "start_seconds is -1"),
        ({"start_seconds": 3, "end_seconds": 3}, "end_seconds is 3; it must be above"),
        ({"fps": 25}, "fps is 25, but .* has a rate of its own"),
        ({"boxes": {1.0: ONE_BOX}, "start_seconds": 2}, "no second with boxes lies from 2 to inf"),
    ],
)
def test_asking_checks_its_options(film, detector, options, found):
    with pytest.raises(ConfigError, match=found):
        detector.detect(film, Request(**options))


@pytest.mark.parametrize(
    ("boxes", "found"),
    [
        ({}, "there is not one second with boxes"),
        ({-1.0: ONE_BOX}, "second -1 is before the video"),
        ({1.0: ONE_BOX[:, :4]}, r"second 1: the shape is \(1, 4\)"),
        ({1.0: ONE_BOX * 2}, r"boxes of second 1: \[\[0\.2"),
        ({1.0: np.array([[0.5, 0.2, 0.5, 0.9, 0.9]])}, "must be x1 < x2"),
        ({1.0: ONE_BOX * np.nan}, "boxes of second 1"),
    ],
)
def test_given_boxes_are_checked(film, detector, boxes, found):
    with pytest.raises(DataError, match=found):
        detector.detect(film, Request(boxes=boxes))


def test_boxes_of_another_video_are_named(film, detector, tmp_path):
    csv = tmp_path / "boxes.csv"
    csv.write_text("other,1,0.1,0.2,0.6,0.9,,0.9\n")
    with pytest.raises(DataError, match="no boxes of video film, but of other"):
        detector.detect(film, Request(boxes=csv))
    with pytest.raises(ConfigError, match="chosen by the name of the video's file"):
        detector.detect([np.zeros((48, 64, 3), np.uint8)], Request(fps=30, boxes=csv))


@pytest.mark.parametrize(("video", "found"), [(True, "video is True"), (None, "video is None")])
def test_what_is_no_video_is_named(video, found, detector):
    with pytest.raises(ConfigError, match=found):
        detector.detect(video)
    with pytest.raises(ConfigError, match="arrays of frames are iterable"):
        detector.detect(object(), Request(fps=3))
    with pytest.raises(ConfigError, match="fps is None; for arrays of frames it must be given"):
        detector.detect([np.zeros((48, 64, 3), np.uint8)])


def test_pipeline_options_are_checked():
    for name, value in (
        ("clips_per_batch", 0),
        ("queue_keyframes", 0),
        ("decode_threads", -1),
        ("max_pixels", 0),
        ("live_frames", 0),
        ("hold_seconds", -0.5),
        ("hold_seconds", float("inf")),
    ):
        with pytest.raises(ConfigError, match=f"{name} is {value}"):
            PipelineOptions(**{name: value})


def test_the_package_names_the_detector_without_importing_torch():
    script = (
        "import sys, x3d_det; assert 'ActionDetector' in dir(x3d_det); "
        "assert 'torch' not in sys.modules; x3d_det.Nothing"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "AttributeError: module 'x3d_det' has no attribute 'Nothing'" in run.stderr
