"""Test-time views: the list, what each shows, and how their scores become one."""

import dataclasses
import json
import logging

import numpy as np
import pytest
import torch
from torch import nn
from video_files import frame_number, make_video

from x3d_det.builders.ava import (
    build_evaluation_batches,
    build_evaluation_data,
    build_model,
    build_views,
    view_dataset,
)
from x3d_det.config import load_config
from x3d_det.data import EvalTransform, View, all_views
from x3d_det.engine import World
from x3d_det.engine.infer import KeyframeScores, mean_over_views, score_dataset, weighted_by_person
from x3d_det.errors import ConfigError
from x3d_det.runs.ava_evaluation import score_on_ava

LEFT, MIDDLE, RIGHT = "0.125,0.25,0.375,0.75", "0.25,0.0,0.75,1.0", "0.5,0.25,0.875,1.0"
ROWS = f"v,0.5,{LEFT},1\nv,1,{LEFT},1\nv,1,{MIDDLE},2\nv,2,{RIGHT},2\n"
FOUND = f"v,0.5,{LEFT},,0.5\nv,1,{LEFT},,0.9\nv,1,{MIDDLE},,0.25\nv,2,{RIGHT},,1.0\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One video of 3 s at 10 a second, 64 x 48, with annotated and detected boxes."""
    folder = tmp_path_factory.mktemp("views")
    (folder / "videos").mkdir()
    make_video(folder / "videos" / "v.mp4", num_frames=30, fps=10, gop_frames=5)
    (folder / "names.json").write_text(json.dumps({"1": "walk", "2": "run"}))
    (folder / "rows.csv").write_text(ROWS)
    (folder / "found.csv").write_text(FOUND)
    return folder


def _config(root, *overrides):
    return load_config(
        "x3d_xs_own",
        [
            *(f"dataset.root={root}", "dataset.label_map=names.json"),
            *("dataset.train.annotations=rows.csv", "dataset.val.annotations=rows.csv"),
            *("dataset.val.person_boxes=found.csv", "boxes.score_threshold=0.2"),
            *("clip.num_frames=2", "clip.sampling_stride=3", "clip.fps=10"),
            *("clip.eval_short_side=48", "model.depth_factor=0.5", "evaluation.num_workers=0"),
            *("evaluation.rules=activitynet2020", "num_threads=1", *overrides),
        ],
    )


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# The list


def test_views_by_hand():
    assert all_views(short_sides_px=[256]) == (View(short_side_px=256),)
    views = all_views(short_sides_px=[224, 256], flip=True)
    assert [str(view) for view in views] == [
        "224 px",
        "224 px, mirrored",
        "256 px",
        "256 px, mirrored",
    ]
    views = all_views(short_sides_px=[256], clips_per_keyframe=5, clip_shift_seconds=0.5)
    assert [view.shift_seconds for view in views] == [-1, -0.5, 0, 0.5, 1]
    assert [str(view) for view in views[1:4]] == [
        "256 px, 0.5 s earlier",
        "256 px",
        "256 px, 0.5 s later",
    ]


def test_the_defaults_are_the_clip_as_it_is(root):
    assert build_views(_config(root)) == (View(short_side_px=48),)


# What a view shows


def test_a_mirrored_clip_and_its_boxes_by_hand():
    frames_THWC = np.arange(8, dtype=np.uint8).reshape(1, 2, 4, 1).repeat(3, axis=3)
    boxes_norm = np.array([[0.0, 0.0, 0.25, 1.0], [0.5, 0.5, 0.75, 1.0]])
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    transform = EvalTransform(short_side_px=2, is_flipped=True, **plain)
    seen = transform(frames_THWC, boxes_norm, np.random.default_rng(0))
    pixels = (seen.clip_CTHW[0, 0] * 255).round().int()
    assert pixels.tolist() == [[3, 2, 1, 0], [7, 6, 5, 4]]
    assert seen.boxes_xyxy_px.tolist() == [[3, 0, 4, 2], [1, 1, 2, 2]]


@pytest.mark.parametrize(
    ("shift_seconds", "numbers", "num_clamped"),
    [(0.0, [7, 10], 0), (0.5, [12, 15], 0), (-0.5, [2, 5], 0), (-1.0, [0, 0], 1)],
)
def test_clips_are_shifted_and_boxes_are_not(root, shift_seconds, numbers, num_clamped):
    config = _config(root)
    dataset = build_evaluation_data(config).dataset
    view = View(short_side_px=48, shift_seconds=shift_seconds)
    shifted = view_dataset(config, dataset, view)
    sample = shifted[0, 1]  # the keyframe at second 1: frames 7 and 10 of the file
    pixels_TCHW = sample.clip_CTHW.permute(1, 2, 3, 0).numpy() * 0.225 + 0.45
    frames = (pixels_TCHW * 255).clip(0, 255).astype(np.uint8)
    assert [frame_number(frame) for frame in frames] == numbers
    assert sample.num_clamped == num_clamped
    assert sample.timestamp == 1.0
    assert torch.equal(sample.boxes_xyxy_px, dataset[0, 1].boxes_xyxy_px)
    assert dataset.shift_seconds == 0, "the data set itself stays as it was"


class _Lopsided(nn.Module):
    """Logits from the left half of the clip and the box's left edge."""

    def forward(self, clips_BCTHW, boxes_xyxy_px):
        width = clips_BCTHW.shape[-1]
        left_B = clips_BCTHW[..., : width // 2].mean(dim=(1, 2, 3, 4))
        rows = [
            torch.stack([left + boxes[:, 0] / width, left * boxes[:, 2] / width], dim=1)
            for left, boxes in zip(left_B, boxes_xyxy_px, strict=True)
        ]
        return torch.cat(rows)


class _Symmetric(_Lopsided):
    """The same on the clip and its mirror image."""

    def forward(self, clips_BCTHW, boxes_xyxy_px):
        width = clips_BCTHW.shape[-1]
        mirrored = [
            torch.stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]], dim=1)
            for b in boxes_xyxy_px
        ]
        plain = super().forward(clips_BCTHW, boxes_xyxy_px)
        return plain + super().forward(clips_BCTHW.flip(-1), mirrored)


def _scores(config, model, *views):
    data = build_evaluation_data(config)
    batches = (
        build_evaluation_batches(config, view_dataset(config, data.dataset, view), World())
        for view in views
    )
    scored = score_dataset(model, batches, num_keyframes=len(data.dataset))
    return np.concatenate([item.scores_NK for item in scored])


def test_a_symmetric_model_cannot_tell_the_mirrored_view(root):
    config = _config(root)
    plain, mirrored = View(short_side_px=48), View(short_side_px=48, is_flipped=True)
    expected = _scores(config, _Symmetric(), plain)
    assert np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_allclose(_scores(config, _Symmetric(), mirrored), expected, atol=1e-6)
    np.testing.assert_allclose(_scores(config, _Symmetric(), plain, mirrored), expected, atol=1e-6)
    difference = _scores(config, _Lopsided(), mirrored) - _scores(config, _Lopsided(), plain)
    assert np.abs(difference).max() > 1e-2, "another model can"


# Scores of views


def _scored(*scores, person_scores=(1.0, 1.0)):
    boxes_norm = np.array([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]])
    return KeyframeScores(0, "v", 1.0, boxes_norm, np.array(person_scores), np.array(scores))


def test_the_mean_of_views_by_hand():
    one, other = _scored([0.1, 0.8], [0.3, 0.5]), _scored([0.3, 0.4], [0.9, 0.5])
    assert mean_over_views([[one]])[0].scores_NK.tolist() == one.scores_NK.tolist()
    mean = mean_over_views([[one], [other]])[0]
    np.testing.assert_allclose(mean.scores_NK, [[0.2, 0.6], [0.6, 0.5]], rtol=1e-15)
    assert one.scores_NK.tolist() == [[0.1, 0.8], [0.3, 0.5]]
    third = _scored([0.7, 0.7], [0.7, 0.7])
    mean = mean_over_views(iter([iter([one]), iter([other]), iter([third])]))[0]
    assert mean.scores_NK[0, 0] == ((0.1 + 0.3) + 0.7) / 3, "added up in the order of the views"
    assert mean_over_views([[], []]) == []


def test_views_of_other_keyframes_are_refused():
    one = _scored([0.1], [0.2])
    with pytest.raises(AssertionError, match="the same keyframes"):
        mean_over_views([[one], [dataclasses.replace(one, index=1)]])


def test_person_scores_weigh_by_hand():
    scored = _scored([0.5, 0.25], [1.0, 0.5], person_scores=(0.5, 1.0))
    assert weighted_by_person([scored])[0].scores_NK.tolist() == [[0.25, 0.125], [1.0, 0.5]]


# The whole way


def _detections(config):
    data = build_evaluation_data(config)
    evaluated = score_on_ava(config, build_model(config).eval(), data, World())
    return evaluated.detections


def test_several_sizes_are_the_mean_of_each(root, caplog):
    caplog.set_level(logging.INFO)
    small, large = (
        _detections(_config(root, f"evaluation.short_sides=[{side}]")) for side in (32, 48)
    )
    assert "view" not in caplog.text
    assert large.equals(_detections(_config(root))), "48 is the size of the clip settings"
    both = _detections(_config(root, "evaluation.short_sides=[32, 48]"))
    assert caplog.messages[-2:] == ["view 1 of 2: 32 px", "view 2 of 2: 48 px"]
    assert (small["score"] - large["score"]).abs().max() > 1e-4
    assert both["score"].tolist() == ((small["score"] + large["score"]) / 2).tolist()
    assert both.drop(columns="score").equals(large.drop(columns="score"))


def test_every_view_is_named_while_it_runs(root, caplog):
    caplog.set_level(logging.INFO)
    config = _config(
        root,
        *("evaluation.flip=true", "evaluation.clips_per_keyframe=3"),
        "evaluation.clip_shift_seconds=0.25",
    )
    assert len(_detections(config)) == 2 * 4
    assert caplog.messages[:3] == [
        "view 1 of 6: 48 px, 0.25 s earlier",
        "view 2 of 6: 48 px, mirrored, 0.25 s earlier",
        "view 3 of 6: 48 px",
    ]


@pytest.mark.parametrize(
    ("boxes", "factors"), [("detected", [0.5, 0.9, 0.25, 1.0]), ("annotated", [1.0] * 4)]
)
def test_scores_are_weighted_by_the_detector(root, boxes, factors):
    settings = (f"boxes.evaluate={boxes}",)
    plain = _detections(_config(root, *settings))
    weighted = _detections(_config(root, *settings, "evaluation.weight_by_person_score=true"))
    assert list(weighted.columns) == list(plain.columns)
    expected = plain["score"] * np.repeat(factors, 2)
    assert weighted["score"].tolist() == expected.tolist()


# Settings


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["clips_per_keyframe=4"], "evaluation.clips_per_keyframe = 4 is even"),
        (["clips_per_keyframe=0"], "evaluation.clips_per_keyframe = 0"),
        (["clip_shift_seconds=0"], "evaluation.clip_shift_seconds = 0"),
        (["short_sides=[]"], "evaluation.short_sides = [] leaves no view"),
        (["short_sides=[64, 48, 64]"], "evaluation.short_sides = [64, 48, 64] names a size twice"),
        (["short_sides=[64, 15]"], "15 px is less than one feature cell"),
        (["short_sides=64"], "evaluation.short_sides = 64"),
    ],
)
def test_settings_that_cannot_be_are_named(root, overrides, text):
    with pytest.raises(ConfigError) as caught:
        _config(root, *(f"evaluation.{override}" for override in overrides))
    assert text in str(caught.value)


def test_a_still_clip_cannot_be_shifted(root):
    with pytest.raises(ConfigError, match=r"clips_per_keyframe = 3 shifts clips in time"):
        _config(root, "evaluation.clips_per_keyframe=3", "clip.still_keyframe=true")
