"""Boxes as corners x1, y1, x2, y2, continuous: the width is x2 - x1. NumPy alone.

Every function takes and returns (N, 4), N may be 0, and leaves its argument as it was.
"""

import numpy as np


def norm_to_px(boxes_norm: np.ndarray, *, height_px: float, width_px: float) -> np.ndarray:
    """Return boxes in pixels from boxes in fractions of the picture."""
    return boxes_norm * np.array([width_px, height_px, width_px, height_px], dtype=np.float64)


def px_to_norm(boxes_px: np.ndarray, *, height_px: float, width_px: float) -> np.ndarray:
    """Return boxes in fractions of the picture from boxes in pixels."""
    return boxes_px / np.array([width_px, height_px, width_px, height_px], dtype=np.float64)


def clip_boxes(boxes: np.ndarray, *, height: float, width: float) -> np.ndarray:
    """Return the part of each box inside (0, 0, width, height); outside boxes get no area."""
    limit = np.array([width, height, width, height], dtype=np.float64)
    return np.minimum(np.maximum(boxes, 0.0), limit)


def scale_boxes(boxes: np.ndarray, *, scale_y: float, scale_x: float) -> np.ndarray:
    """Return boxes of a picture that was stretched by these factors."""
    return boxes * np.array([scale_x, scale_y, scale_x, scale_y], dtype=np.float64)


def shift_boxes(boxes: np.ndarray, *, shift_y: float, shift_x: float) -> np.ndarray:
    """Return boxes moved by (shift_y, shift_x)."""
    return boxes + np.array([shift_x, shift_y, shift_x, shift_y], dtype=np.float64)


def flip_boxes(boxes: np.ndarray, *, width: float) -> np.ndarray:
    """Return boxes of the picture mirrored left to right; `width` in the unit of the boxes."""
    x1, y1, x2, y2 = boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]
    return np.stack([width - x2, y1, width - x1, y2], axis=1)


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Return the areas (N,); 0 where a box is inverted."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    return sides[:, 0] * sides[:, 1]


def pairwise_iou(boxes_N: np.ndarray, boxes_M: np.ndarray) -> np.ndarray:
    """Return intersection over union (N, M), float64; 0 where two boxes have no area."""
    first = np.asarray(boxes_N, dtype=np.float64)[:, None]
    second = np.asarray(boxes_M, dtype=np.float64)[None]
    corners = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    sides = np.maximum(corners, 0.0)
    shared = sides[..., 0] * sides[..., 1]
    union = box_areas(boxes_N)[:, None] + box_areas(boxes_M)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
