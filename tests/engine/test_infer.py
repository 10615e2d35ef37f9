"""engine/infer.py: rows, their order, and that every keyframe comes exactly once."""

import math

import numpy as np
import pytest
import torch
from tiny import TinyDetector, keyframe_batch, keyframe_batches, tiny_detector

from x3d_det.engine.infer import KeyframeScores, detect_actions, detection_table, in_dataset_order
from x3d_det.errors import DataError


def scored(index: int, num_boxes: int, *, num_actions: int = 2) -> KeyframeScores:
    scores = np.linspace(0.1, 0.9, num_boxes * num_actions).reshape(num_boxes, num_actions)
    boxes = np.full((num_boxes, 4), index / 10)
    return KeyframeScores(index, f"v{index}", 900.0 + index, boxes, np.ones(num_boxes), scores)


def test_rows_by_hand():
    table = detection_table([scored(0, 1), scored(1, 0), scored(2, 2)], action_ids=[1, 2])
    assert list(table.columns) == [
        "video_id",
        "timestamp",
        "x1",
        "y1",
        "x2",
        "y2",
        "action_id",
        "score",
    ]
    assert table["video_id"].tolist() == ["v0", "v0", "v2", "v2", "v2", "v2"]
    assert table["timestamp"].tolist() == [900.0] * 2 + [902.0] * 4
    assert table["action_id"].tolist() == [1, 2, 1, 2, 1, 2]
    assert table["x1"].tolist() == [0.0, 0.0, 0.2, 0.2, 0.2, 0.2]
    np.testing.assert_array_equal(table["score"][2:], np.linspace(0.1, 0.9, 4))
    assert table["score"].dtype == np.float64
    high = detection_table([scored(0, 1), scored(2, 2)], action_ids=[2], score_min=0.5)
    assert high[["video_id", "action_id"]].to_numpy().tolist() == [["v0", 2], ["v2", 2]]
    assert high["score"].iloc[-1] == 0.9


def test_no_keyframe_and_no_box_give_no_row():
    assert len(detection_table([], action_ids=[1])) == 0
    assert len(detection_table([scored(0, 0)], action_ids=[1])) == 0


def test_an_action_without_an_output_is_named():
    with pytest.raises(DataError, match="action id 3 has no output: the model has 2"):
        detection_table([scored(0, 1)], action_ids=[1, 3])


def test_every_keyframe_exactly_once():
    items = [scored(index, 1) for index in (2, 0, 1)]
    assert [item.index for item in in_dataset_order(items, 3)] == [0, 1, 2]
    assert in_dataset_order([], 0) == []
    with pytest.raises(DataError) as error:
        in_dataset_order([*items, scored(1, 1), scored(9, 0)], 5)
    text = str(error.value)
    assert "of 5 keyframes each must be scored once" in text
    assert "2 missing (3, 4), 1 double (1), 1 unknown (9)" in text
    with pytest.raises(DataError, match=r"7 missing \(0, 1, 2, 3, 4, \.\.\.\)"):
        in_dataset_order([], 7)


def test_scores_equal_a_loop_over_single_boxes():
    model = tiny_detector()
    model.train()
    table = detect_actions(model, keyframe_batches(0, 1), action_ids=range(1, 5), num_keyframes=7)
    assert model.training
    assert table is not None
    rows = iter(table.itertuples(index=False))
    for index in range(7):
        batch = keyframe_batch([index])
        for box, box_norm in zip(batch.boxes_xyxy_px[0], batch.boxes_norm[0], strict=True):
            with torch.no_grad():
                logits = model(batch.clips_BCTHW, [box[None]])[0].tolist()
            for action_id, logit in enumerate(logits, start=1):
                row = next(rows)
                assert (row.video_id, row.timestamp) == (f"video{index // 5}", 902.0 + index)
                assert [row.x1, row.y1, row.x2, row.y2] == box_norm.tolist()
                assert row.action_id == action_id
                assert row.score == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-5)
    assert next(rows, None) is None


def test_scores_near_one_are_kept_apart():
    class Sure(TinyDetector):
        def forward(self, clips_BCTHW, boxes_xyxy_px):
            return torch.tensor([[20.0, 21.0, 30.0, -100.0]])

    batch = keyframe_batch([1])
    batch.indices[0] = 0
    table = detect_actions(Sure(), [batch], action_ids=[1, 2, 3, 4], num_keyframes=1)
    scores = table["score"].tolist()
    assert scores[0] < scores[1] < scores[2] < 1.0
    assert scores[3] > 0.0


def test_nan_scores_name_the_keyframe():
    model = tiny_detector()
    torch.nn.init.constant_(model.classifier.bias, float("nan"))
    with pytest.raises(DataError, match=r"video0 at second 903\.0: a score is NaN"):
        detect_actions(model, keyframe_batches(0, 1), action_ids=[1], num_keyframes=7)


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    detect_actions(
        tiny_detector(), keyframe_batches(0, 1), action_ids=[1], num_keyframes=7, num_threads=2
    )
    assert torch.get_num_threads() == before
