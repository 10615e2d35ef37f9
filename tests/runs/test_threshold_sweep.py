"""One scoring for many person-score thresholds: the same as a run at each."""

import json

import pytest
import torch
from video_files import make_video

from x3d_det.builders.ava import build_classes, build_evaluation_data, build_model
from x3d_det.config import load_config
from x3d_det.engine import World
from x3d_det.errors import ConfigError
from x3d_det.io.weights import save_model
from x3d_det.runs.ava_evaluation import score_on_ava
from x3d_det.runs.detector_file import export_metadata
from x3d_det.runs.threshold_sweep import (
    ThresholdResult,
    ThresholdSweep,
    at_lowest_threshold,
    sweep_checkpoint,
)

THRESHOLDS = (0.9, 0.3, 0.6, 1.0)


def _rows(extra):
    """Return rows of two persons on each of four keyframes, `extra(second, place)` last."""
    return "".join(
        f"v,{second},{0.1 + 0.4 * place},0.1,{0.4 + 0.4 * place},0.9,{extra(second, place)}\n"
        for second in (0.5, 1.0, 1.5, 2.0)
        for place in range(2)
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "videos").mkdir()
    make_video(folder / "videos" / "v.mp4", num_frames=30, fps=10, gop_frames=5)
    (folder / "names.json").write_text(json.dumps({"1": "walk", "2": "run"}))
    (folder / "rows.csv").write_text(_rows(lambda second, place: 1 + ((second > 1) ^ bool(place))))
    # person scores 0.5 .. 0.95 on the left, 0.2 .. 0.65 on the right
    (folder / "found.csv").write_text(
        _rows(lambda second, place: f",{0.35 + 0.3 * second - 0.3 * place:.2f}")
    )
    return folder


def _config(root, threshold, *overrides):
    return load_config(
        "x3d_xs_own",
        [
            *(f"dataset.root={root}", "dataset.label_map=names.json"),
            *("dataset.train.annotations=rows.csv", "dataset.val.annotations=rows.csv"),
            *("dataset.val.person_boxes=found.csv", f"boxes.score_threshold={threshold}"),
            *("clip.num_frames=2", "clip.sampling_stride=3", "clip.eval_short_side=48"),
            *("model.depth_factor=0.5", "evaluation.num_workers=0", "boxes.evaluate=detected"),
            *("evaluation.rules=activitynet2020", "num_threads=1", *overrides),
        ],
    )


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def swept(root):
    """The config, and what a sweep of its model found and wrote."""
    config = _config(root, 0.8, "evaluation.weight_by_person_score=true")
    metadata = export_metadata(config, build_classes(config))
    save_model(root / "model.safetensors", build_model(config).state_dict(), metadata)
    sweep, files = sweep_checkpoint(config, root / "model.safetensors", THRESHOLDS, root)
    return sweep, files


def test_a_sweep_equals_a_run_at_each_threshold(root, swept):
    sweep, _ = swept
    assert [result.threshold for result in sweep.results] == [0.3, 0.6, 0.9, 1.0]
    # left 0.5 0.65 0.8 0.95, right 0.2 0.35 0.5 0.65
    assert [result.num_boxes for result in sweep.results] == [7, 4, 1, 0]
    assert [result.num_keyframes for result in sweep.results] == [4, 3, 1, 0]
    for result in sweep.results[:-1]:
        config = _config(root, result.threshold, "evaluation.weight_by_person_score=true")
        data = build_evaluation_data(config)
        assert (data.counts.num_boxes, data.counts.num_keyframes) == (
            result.num_boxes,
            result.num_keyframes,
        )
        evaluated = score_on_ava(config, build_model(config).eval(), data, World())
        assert result.mean_ap == evaluated.report.mean_ap
    assert len({result.mean_ap for result in sweep.results}) == 4
    assert sweep.results[-1].mean_ap == 0, "nothing is found without boxes"


def test_the_file_says_what_the_table_says(swept):
    sweep, (path,) = swept
    found = json.loads(path.read_text())
    assert path.name == "threshold_sweep.json"
    assert found["rules"] == "activitynet2020"
    assert found["best_threshold"] == sweep.best.threshold
    assert [row["threshold"] for row in found["thresholds"]] == sorted(THRESHOLDS)
    assert [row["mAP"] for row in found["thresholds"]] == [r.mean_ap for r in sweep.results]
    assert set(found["thresholds"][0]) == {"threshold", "mAP", "num_boxes", "num_keyframes"}


def test_table_and_best_by_hand():
    nan = float("nan")
    sweep = ThresholdSweep(
        (
            ThresholdResult(0.5, nan, 12345, 1000),
            ThresholdResult(0.7, 0.25, 900, 800),
            ThresholdResult(0.8, 0.25, 700, 650),
            ThresholdResult(0.9, 0.125, 20, 10),
        ),
        "pyslowfast",
    )
    assert sweep.best.threshold == 0.8, "of equal ones the one with fewer boxes"
    lines = sweep.lines()
    assert lines[0].split() == ["threshold", "frame-mAP", "boxes", "keyframes"]
    assert lines[1].split() == ["0.5", "nan", "12,345", "1,000"]
    assert lines[3].split() == ["0.8", "0.2500", "700", "650"]
    assert lines[-1] == "best: boxes.score_threshold=0.8 (0.2500)"
    assert sweep.to_dict()["thresholds"][0]["mAP"] is None


@pytest.mark.parametrize(
    ("thresholds", "text"),
    [
        ((), "thresholds none: name one or more"),
        ((0.5, 0.7, 0.5), "thresholds 0.5, 0.7, 0.5: name one or more, each once"),
        ((0.5, 1.5), "threshold 1.5: person scores lie in"),
        ((0.5, float("nan")), "threshold nan: person scores lie in"),
    ],
)
def test_thresholds_that_cannot_be_are_named(root, thresholds, text):
    with pytest.raises(ConfigError) as caught:
        at_lowest_threshold(_config(root, 0.8), thresholds)
    assert text in str(caught.value)


def test_annotated_boxes_have_nothing_to_sweep(root):
    config = _config(root, 0.8, "boxes.evaluate=annotated")
    with pytest.raises(ConfigError, match=r"boxes\.evaluate = annotated"):
        at_lowest_threshold(config, [0.5])
