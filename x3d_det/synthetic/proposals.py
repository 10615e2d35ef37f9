"""Person boxes as a detector would give them: shaken, some missed, doubled or false."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from x3d_det.boxes import pairwise_iou

MISS_RATE = 0.06
DOUBLE_RATE = 0.05
FALSE_PER_KEYFRAME = 0.3

Box = tuple[float, float, float, float]


class Proposal(NamedTuple):
    """A box x1, y1, x2, y2 in [0, 1] and the detector's score."""

    box_norm: Box
    score: float


def detector_like(boxes_norm: Sequence[Box], rng: np.random.Generator) -> list[Proposal]:
    """Return the proposals of one keyframe, highest score first.

    Args:
        boxes_norm: the true boxes.
        rng: source of shake, misses, doubles, false boxes and scores.
    """
    found: list[Proposal] = []
    for box in boxes_norm:
        if rng.random() < MISS_RATE:
            continue
        score = 1 - 0.12 * rng.beta(1, 3) if rng.random() < 0.93 else rng.uniform(0.5, 0.88)
        found.append(Proposal(_shaken(box, rng, 0.025), float(score)))
        if rng.random() < DOUBLE_RATE:
            found.append(Proposal(_shaken(box, rng, 0.09), float(rng.uniform(0.2, 0.8))))
    for _ in range(int(rng.poisson(FALSE_PER_KEYFRAME))):
        false = _false_box(boxes_norm, rng)
        if false is not None:
            score = rng.uniform(0.05, 0.75) if rng.random() < 0.9 else rng.uniform(0.75, 0.97)
            found.append(Proposal(false, float(score)))
    return sorted(found, key=lambda proposal: -proposal.score)


def _shaken(box: Box, rng: np.random.Generator, strength: float) -> Box:
    """Return the box with each side moved by about `strength` of the box's size."""
    x1, y1, x2, y2 = box
    moves = rng.normal(0, strength, size=4)
    wide, high = x2 - x1, y2 - y1
    return _clipped(
        (x1 + moves[0] * wide, y1 + moves[1] * high, x2 + moves[2] * wide, y2 + moves[3] * high)
    )


def _false_box(boxes_norm: Sequence[Box], rng: np.random.Generator) -> Box | None:
    """Return a person-like box that is nobody's, or None where none was found in a few tries."""
    for _ in range(8):
        wide, high = rng.uniform(0.06, 0.3), rng.uniform(0.2, 0.7)
        x1, y1 = rng.uniform(0, 1 - wide), rng.uniform(0, 1 - high)
        box = (float(x1), float(y1), float(x1 + wide), float(y1 + high))
        if not boxes_norm:
            return box
        if pairwise_iou(np.array([box]), np.array(boxes_norm)).max() < 0.3:
            return box
    return None


def _clipped(box: Box) -> Box:
    x1, y1, x2, y2 = (float(min(max(side, 0.0), 1.0)) for side in box)
    return x1, y1, max(x2, x1 + 0.005), max(y2, y1 + 0.005)
