"""Own data sets' tables and clips: starts of single videos, frame numbers, classes, one label."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ava_files import annotation_rows, proposal_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from video_files import frame_number, make_video

from x3d_det.builders.ava import (
    build_classes,
    build_evaluation_data,
    build_model,
    build_source,
    build_training_data,
)
from x3d_det.config import load_config
from x3d_det.data import AvaBatch, FrameFolder, VideoFolder, evaluation_boxes, training_boxes
from x3d_det.data.proposals import NO_ACTION
from x3d_det.dataset_tables import ActionClasses, DatasetTables, chosen_ids
from x3d_det.engine import World
from x3d_det.errors import CheckpointError, DataError, VideoError
from x3d_det.io.film_time import FilmTime, read_video_starts
from x3d_det.io.frame_folder import FrameFolderReader
from x3d_det.io.label_map import LabelMap
from x3d_det.io.weights import save_model
from x3d_det.persons.keyframe_plan import plan_annotated_range
from x3d_det.runs.ava import _LOSSES
from x3d_det.runs.ava_evaluation import evaluate_checkpoint, score_on_ava
from x3d_det.runs.detector_file import export_metadata

BOX, OTHER = "0.1,0.1,0.4,0.9", "0.5,0.1,0.9,0.9"
NAMES = {1: "walk", 2: "run", 3: "sit", 12: "wave"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two videos of 3 s at 10 a second, `late` beginning at second 100 of its film."""
    (tmp_path / "videos").mkdir()
    for name in ("early", "late"):
        make_video(tmp_path / "videos" / f"{name}.mp4", num_frames=30, fps=10, gop_frames=5)
    (tmp_path / "starts.csv").write_text("late,100\n")
    (tmp_path / "names.json").write_text(json.dumps({str(i): name for i, name in NAMES.items()}))
    return tmp_path


def _config(root: Path, rows: str, *overrides: str):
    (root / "rows.csv").write_text(rows)
    return load_config(
        "x3d_xs_own",
        [
            *(f"dataset.root={root}", "dataset.label_map=names.json"),
            *("dataset.train.annotations=rows.csv", "dataset.val.annotations=rows.csv"),
            *("clip.num_frames=2", "clip.sampling_stride=3", "clip.eval_short_side=32"),
            *overrides,
        ],
    )


def _error(config) -> str:
    with pytest.raises(DataError) as caught:
        build_evaluation_data(config)
    return str(caught.value)


# Where videos start


def test_each_video_is_read_from_its_own_start(root):
    rows = f"early,2,{BOX},1,0\nlate,101,{BOX},2,0\n"
    config = _config(root, rows, "dataset.video_starts=starts.csv", "clip.still_keyframe=true")
    data = build_evaluation_data(config).dataset
    seen = []
    for index in range(2):
        pixels = data[0, index].clip_CTHW[:, 0].permute(1, 2, 0).numpy() * 0.225 + 0.45
        seen.append(frame_number((pixels * 255).clip(0, 255).astype(np.uint8)))
    assert seen == [20, 10]


def test_without_the_list_the_late_video_is_outside(root):
    config = _config(root, f"late,101,{BOX},2,0\n")
    with pytest.raises(VideoError, match=r"second 101\.000 is outside.*keyframe late,0101"):
        build_evaluation_data(config).dataset[0, 0]


def test_a_source_knows_its_starts(root):
    source = build_source(_config(root, "", "dataset.video_starts=starts.csv"))
    assert isinstance(source, VideoFolder)
    assert (source.time.start_of("early"), source.time.start_of("late")) == (0, 100)
    folder = FrameFolder(
        FrameFolderReader(root, template="{index}.jpg", fps=10, first_index=0),
        video_start_seconds=900,
        video_starts={"a": 3.5},
    )
    assert (folder.time.start_of("a"), folder.time.start_of("b")) == (3.5, 900)


def test_a_video_has_one_start(tmp_path):
    path = tmp_path / "starts.csv"
    path.write_text("a,1.5\n-b,0\na,2\n")
    with pytest.raises(DataError, match=r"starts\.csv:3: video a has a start already"):
        read_video_starts(path)
    path.write_text("a,1.5\n-b,0\n")
    assert read_video_starts(path) == {"a": 1.5, "-b": 0.0}


# Frame numbers


def _table(*rows):
    return pd.DataFrame(rows, columns=["video_id", "timestamp"]).assign(
        line=range(1, len(rows) + 1)
    )


def test_frames_become_seconds_by_hand():
    time = FilmTime(start_seconds=10, starts={"b": 0.5}, frames_per_second=25, first_frame=1)
    table = time.in_seconds(_table(("a", 1.0), ("b", 26.0), ("a", 8.0)), "f.csv")
    # (1 - 1) / 25 + 10; (26 - 1) / 25 + 0.5; 7 / 25 + 10
    assert table["timestamp"].tolist() == [10.0, 1.5, 10.28]
    assert time.as_written(table)["timestamp"].tolist() == [1, 26, 8]


def test_seconds_stay_the_very_table():
    table = _table(("a", 0.1))
    assert FilmTime().in_seconds(table, "f.csv") is table
    assert FilmTime().as_written(table) is table


@given(
    frames=st.lists(st.integers(1, 10_000_000), min_size=1, max_size=20),
    fps=st.floats(1, 240),
    start=st.floats(0, 20_000),
)
@settings(max_examples=40, deadline=None)
def test_frames_survive_the_way_to_seconds_and_back(frames, fps, start):
    time = FilmTime(start_seconds=start, frames_per_second=fps, first_frame=1)
    table = _table(*(("v", float(frame)) for frame in frames))
    assert time.as_written(time.in_seconds(table, "f"))["timestamp"].tolist() == frames


def test_what_numbers_no_frame_is_named():
    time = FilmTime(frames_per_second=25, first_frame=1)
    with pytest.raises(DataError) as caught:
        time.in_seconds(_table(("a", 1.0), ("a", 2.5), ("b", 0.0)), "f.csv")
    first, second = str(caught.value).splitlines()
    assert first.startswith("f.csv:2: 2.5 numbers no frame")
    assert second.startswith("f.csv:3: 0 numbers no frame")
    assert "whole and from 1 (dataset.first_frame)" in second


def test_every_file_of_a_data_set_counts_frames(root):
    (root / "boxes.csv").write_text(f"early,5,{BOX},,0.9\nearly,9,{OTHER},,0.9\n")
    (root / "excluded.csv").write_text("early,9\n")
    config = _config(
        root,
        f"early,5,{BOX},1,0\nearly,25\n",
        *("dataset.timestamps=frames", "dataset.fps=10"),
        *("dataset.val.person_boxes=boxes.csv", "boxes.evaluate=detected"),
        "dataset.val.exclusions=excluded.csv",
    )
    data = build_evaluation_data(config)
    assert data.annotations.rows["timestamp"].tolist() == [0.5]
    assert data.annotations.empty_keyframes["timestamp"].tolist() == [2.5]
    assert data.exclusions is not None
    assert data.exclusions["timestamp"].tolist() == [0.9]
    assert data.dataset.boxes.timestamps_G.tolist() == [0.5]
    assert data.counts.num_excluded == 1


# Keyframes at fractions of a second


def test_rules_of_whole_seconds_are_refused_with_file_and_line(root):
    config = _config(root, f"early,1,{BOX},1,0\nearly,1.5,{BOX},1,0\n")
    message = _error(config)
    assert "rows.csv:2: the keyframe is at second 1.5 (1 rows at fractions" in message
    assert "--set evaluation.rules=activitynet2020" in message
    other = load_config("x3d_xs_own", ["dataset.keyframe_interval_seconds=0.5"])
    chosen = config.model_copy(update={"evaluation": other.evaluation})
    assert build_evaluation_data(chosen).dataset.boxes.timestamps_G.tolist() == [1.0, 1.5]


# Classes


def test_the_label_map_says_how_many_outputs_there_are(root):
    config = _config(root, f"early,1,{BOX},12,0\n")
    assert DatasetTables(config.dataset).classes.output_ids == tuple(range(1, 13))
    assert build_model(config).head.projection.out_features == 12
    assert build_evaluation_data(config).dataset[0, 0].targets_NK.tolist() == [[0.0] * 11 + [1.0]]
    message = _error(_config(root, f"early,1,{BOX},13,0\n"))
    assert "rows.csv:1" in message
    assert "13" in message


@pytest.mark.parametrize("num_classes", [1, 1000])
def test_one_class_and_a_thousand(root, num_classes):
    (root / "names.json").write_text(json.dumps([f"class {i}" for i in range(num_classes)]))
    config = _config(root, f"early,1,{BOX},{num_classes},0\n")
    sample = build_evaluation_data(config).dataset[0, 0]
    assert sample.targets_NK.shape == (1, num_classes)
    assert sample.targets_NK[0, -1] == 1
    model = build_model(config).eval()
    assert model(sample.clip_CTHW[None], [sample.boxes_xyxy_px]).shape == (1, num_classes)


SUBSET = (
    f"early,1,{BOX},12,0\nearly,1,{BOX},3,0\n"  # waves, sitting
    f"early,1,{OTHER},3,1\n"  # sits: nothing of the subset
    f"early,2,{BOX},2,0\n"  # runs
)


def test_a_subset_has_outputs_side_by_side_and_keeps_others_as_negatives(root):
    config = _config(root, SUBSET, "dataset.classes=[wave, 2]")
    dataset, counts = build_training_data(config)
    assert dataset.num_classes == 2
    # columns: run (2), wave (12)
    assert dataset.boxes.targets(0, 2).tolist() == [[0, 1], [0, 0]]
    assert dataset.boxes.targets(1, 2).tolist() == [[1, 0]]
    assert counts.num_without_action == 1
    assert "1 annotated persons with other actions alone, as negatives" in counts.lines()
    data = build_evaluation_data(config)
    assert dict(data.classes.label_map.names) == {2: "run", 12: "wave"}
    assert data.annotations.rows["action_id"].tolist() == [12, 3, 3, 2], "the report counts these"
    assert data.dataset.boxes.num_boxes == 3


def test_a_softmax_has_no_negatives(root):
    config = _config(root, SUBSET, "dataset.classes=[wave, run]", "dataset.labels=single")
    dataset, counts = build_training_data(config)
    assert dataset.boxes.targets(0, 2).tolist() == [[0, 1]]
    assert (counts.num_boxes, counts.num_without_action, counts.num_left_out) == (2, 0, 1)
    assert build_evaluation_data(config).dataset.boxes.num_boxes == 3, "all persons are scored"


def test_ids_and_outputs_are_each_others_inverse():
    classes = ActionClasses(LabelMap(NAMES), (2, 3, 12), 12)
    assert classes.targets_of(np.array([12, 1, 2])).tolist() == [3, NO_ACTION, 1]
    assert classes.ids_of(np.array([3, 1])).tolist() == [12, 2]


def test_classes_that_cannot_be_chosen_are_all_named(tmp_path):
    label_map = LabelMap({**NAMES, 4: "walk"})
    with pytest.raises(DataError) as caught:
        chosen_ids(["rum", 7, "walk", "sit", 3], label_map, tmp_path / "names.json")
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("names.json; did you mean run?")
    assert "dataset.classes: 7 is no class of" in lines[1]
    assert "'walk' is the name of the ids 1, 4" in lines[2]
    assert "dataset.classes: 3 is named twice" in lines[3]
    assert chosen_ids([12, "run"], label_map, tmp_path) == (2, 12)


# One label a box


def test_two_actions_of_a_box_are_a_fault_where_one_is_allowed(root):
    config = _config(root, SUBSET, "dataset.labels=single")
    message = _error(config)
    assert "rows.csv:2: the box has the action sit and, in line 1, wave" in message
    assert message.count("\n") == 0
    multi = config.dataset.model_copy(update={"labels": "multi"})
    build_evaluation_data(config.model_copy(update={"dataset": multi}))


def test_many_such_boxes_are_counted(root):
    rows = "".join(
        f"early,{second},{BOX},{action},0\n" for second in range(25) for action in (1, 2)
    )
    message = _error(_config(root, rows, "dataset.labels=single"))
    assert message.count("rows.csv:") == 20
    assert message.endswith("and 5 more such rows.")


def test_one_class_is_no_choice(root):
    config = _config(root, f"early,1,{BOX},2,0\n", "dataset.labels=single", "dataset.classes=[run]")
    assert "there is only one, run" in _error(config)


def test_losses_by_hand():
    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = torch.nn.Parameter(torch.tensor([[0.0, 0.0], [np.log(3.0), 0.0]]))

        def forward(self, clips, boxes):
            return self.logits[: sum(map(len, boxes))]

    def batch(targets):
        empty = {f.name: [] for f in dataclasses.fields(AvaBatch)}
        values = {
            "clips_BCTHW": torch.zeros(1, 3, 1, 2, 2),
            "boxes_xyxy_px": [torch.zeros(len(targets), 4)],
            "targets_NK": torch.tensor(targets).reshape(-1, 2),
        }
        return AvaBatch(**{**empty, **values})

    targets = [[1.0, 0.0], [0.0, 1.0]]
    # softmax: -log(1/2) and -log(1/4); sigmoids: log 2 twice, -log(1/4), log 2
    single, numbers = _LOSSES["single"](Fixed(), batch(targets))
    multi, _ = _LOSSES["multi"](Fixed(), batch(targets))
    assert single.item() == pytest.approx(1.5 * np.log(2))
    assert multi.item() == pytest.approx((3 + 2) / 4 * np.log(2))
    assert numbers == {"boxes": 2.0}
    assert all(loss(Fixed(), batch([]))[0].item() == 0 for loss in _LOSSES.values())


# Person boxes


def test_detected_boxes_take_the_actions_of_the_subset():
    A = (0.1, 0.1, 0.4, 0.9)
    B = (0.5, 0.1, 0.9, 0.9)
    annotated = annotation_rows(("v", 1, *A, 1), ("v", 1, *B, NO_ACTION))
    detected = proposal_rows(("v", 1, *A, 0.9), ("v", 1, *B, 0.9))
    table, counts = training_boxes(annotated, detected)
    assert table.targets(0, 1).tolist() == [[1], [0], [1], [0]]
    assert (counts.num_without_action, counts.num_unmatched) == (1, 0)
    alone, _ = training_boxes(annotated, detected, needs_action=True)
    assert alone.targets(0, 1).tolist() == [[1], [1]]
    assert evaluation_boxes(annotated)[0].num_boxes == 2


def test_keyframes_are_planned_at_the_interval(root):
    rows = f"early,0.5,{BOX},1,0\nearly,2,{BOX},1,0\n"
    config = _config(root, rows, "dataset.keyframe_interval_seconds=0.5")
    annotations = DatasetTables(config.dataset).annotations("val")
    plan = plan_annotated_range(annotations, interval_seconds=0.5)
    assert plan.timestamps == {"early": (0.5, 1.0, 1.5, 2.0)}
    with pytest.raises(DataError, match=r"such as 0\.500000, which whole seconds miss"):
        plan_annotated_range(annotations)
    with pytest.raises(DataError, match=r"such as 0\.500000, which multiples of 2 s miss"):
        plan_annotated_range(annotations, interval_seconds=2)


# The whole way


@pytest.mark.parametrize("labels", ["multi", "single"])
def test_scores_of_a_subset_carry_the_ids_of_the_files(root, labels):
    config = _config(
        root,
        f"early,10,{BOX},12,0\nearly,10,{OTHER},3,1\nearly,25,{BOX},2,0\n",
        *("dataset.timestamps=frames", "dataset.fps=10", "dataset.classes=[wave, run]"),
        *(f"dataset.labels={labels}", "model.depth_factor=0.5", "evaluation.num_workers=0"),
    )
    data = build_evaluation_data(config)
    evaluated = score_on_ava(config, build_model(config).eval(), data, World())
    assert evaluated is not None
    found = evaluated.detections
    assert found["timestamp"].tolist() == [1.0] * 4 + [2.5] * 2
    assert found["action_id"].tolist() == [2, 12] * 3
    sums = found["score"].to_numpy().reshape(3, 2).sum(axis=1)
    assert np.allclose(sums, 1, atol=1e-12) == (labels == "single")
    report = evaluated.report
    assert [result.action_id for result in report.classes] == [2, 12]
    assert report.unknown_annotation_ids == {3: 1}, "left out, and counted"
    assert report.rules == "activitynet2020"


def _checkpoint(config, path):
    classes = build_classes(config)
    save_model(path, build_model(config).state_dict(), export_metadata(config, classes))
    return path


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("dataset.labels=multi", "was trained with dataset.labels = single, the config has multi"),
        ("dataset.classes=null", "trained with dataset.classes = [2, 12], the config has null"),
        ("dataset.classes=[2, 3]", "dataset.classes = [2, 12], the config has [2, 3]"),
    ],
)
def test_a_model_of_other_classes_is_refused(root, override, reason):
    given = ("dataset.classes=[wave, 2]", "dataset.labels=single", "model.depth_factor=0.5")
    rows = f"early,1,{BOX},2,0\n"
    path = _checkpoint(_config(root, rows, *given), root / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        evaluate_checkpoint(_config(root, rows, *given, override), path, root / "out")
    assert reason in str(caught.value)


def test_a_model_with_another_number_of_outputs_is_refused(root):
    rows = f"early,1,{BOX},2,0\n"
    path = _checkpoint(_config(root, rows), root / "model.safetensors")
    config = _config(root, rows, "dataset.num_classes=20")
    with pytest.raises(CheckpointError, match=r"dataset\.num_classes = 12, the config has 20"):
        evaluate_checkpoint(config, path, root / "out")
