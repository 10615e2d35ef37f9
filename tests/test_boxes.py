"""Boxes: by hand, against slow loops, and laws."""

import numpy as np
import pytest

from x3d_det.boxes import (
    box_areas,
    clip_boxes,
    flip_boxes,
    norm_to_px,
    pairwise_iou,
    px_to_norm,
    scale_boxes,
    shift_boxes,
)

EMPTY = np.empty((0, 4))


def random_boxes(rng, num_boxes, size=100.0):
    corners = np.sort(rng.uniform(0, size, (num_boxes, 2, 2)), axis=1)
    return corners.reshape(num_boxes, 4)


def test_units_by_hand():
    boxes_norm = np.array([[0.25, 0.5, 0.75, 1.0]])
    boxes_px = norm_to_px(boxes_norm, height_px=48, width_px=64)
    np.testing.assert_array_equal(boxes_px, [[16, 24, 48, 48]])
    np.testing.assert_array_equal(px_to_norm(boxes_px, height_px=48, width_px=64), boxes_norm)


def test_clip_scale_shift_and_flip_by_hand():
    boxes = np.array([[-2.0, 3.0, 12.0, 9.0]])
    np.testing.assert_array_equal(clip_boxes(boxes, height=8, width=10), [[0, 3, 10, 8]])
    np.testing.assert_array_equal(scale_boxes(boxes, scale_y=2, scale_x=0.5), [[-1, 6, 6, 18]])
    np.testing.assert_array_equal(shift_boxes(boxes, shift_y=1, shift_x=-1), [[-3, 4, 11, 10]])
    # x' = 10 - x, and the corners change places; no "- 1", for corners are continuous
    np.testing.assert_array_equal(flip_boxes(boxes, width=10), [[-2, 3, 12, 9]])
    flipped = flip_boxes(np.array([[1.0, 0, 4.0, 1]]), width=10)
    np.testing.assert_array_equal(flipped, [[6, 0, 9, 1]])


def test_a_box_outside_keeps_no_area():
    outside = np.array([[12.0, 0.0, 15.0, 5.0]])
    assert box_areas(clip_boxes(outside, height=8, width=10)).tolist() == [0]


def test_iou_by_hand():
    # 4 x 4 and the same shifted by 2: shared 2 x 4 = 8, union 16 + 16 - 8 = 24
    first, second = np.array([[0.0, 0, 4, 4]]), np.array([[2.0, 0, 6, 4], [4, 0, 8, 4]])
    np.testing.assert_allclose(pairwise_iou(first, second), [[1 / 3, 0]])
    assert pairwise_iou(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0]]


def test_iou_against_loops_and_laws():
    rng = np.random.default_rng(0)
    first, second = random_boxes(rng, 7), random_boxes(rng, 5)
    found = pairwise_iou(first, second)
    for i, (ax1, ay1, ax2, ay2) in enumerate(first):
        for j, (bx1, by1, bx2, by2) in enumerate(second):
            width = max(0.0, min(ax2, bx2) - max(ax1, bx1))
            height = max(0.0, min(ay2, by2) - max(ay1, by1))
            union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - width * height
            assert found[i, j] == pytest.approx(width * height / union, abs=1e-12)
    np.testing.assert_array_equal(found, pairwise_iou(second, first).T)
    np.testing.assert_allclose(np.diag(pairwise_iou(first, first)), 1)


def test_laws():
    boxes = random_boxes(np.random.default_rng(1), 20)
    np.testing.assert_allclose(flip_boxes(flip_boxes(boxes, width=100), width=100), boxes)
    np.testing.assert_array_equal(clip_boxes(boxes, height=100, width=100), boxes)
    flipped = flip_boxes(boxes, width=100)
    np.testing.assert_allclose(pairwise_iou(flipped, flipped), pairwise_iou(boxes, boxes))


def test_no_boxes():
    assert norm_to_px(EMPTY, height_px=4, width_px=4).shape == (0, 4)
    assert clip_boxes(EMPTY, height=4, width=4).shape == (0, 4)
    assert flip_boxes(EMPTY, width=4).shape == (0, 4)
    assert box_areas(EMPTY).shape == (0,)
    assert pairwise_iou(EMPTY, np.zeros((3, 4))).shape == (0, 3)
