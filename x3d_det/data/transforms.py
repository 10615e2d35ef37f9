"""Clip and boxes changed together: scale, crop, flip, colour, normalise.

Scale and crop are one step: the crop's window is cut out of the full frame and only
that is resized. Against resizing the frame and cropping then, the window starts and
ends at whole source pixels (which moves its edge by half a pixel at most; the boxes
follow exactly), and interpolation at the crop's edge does not look beyond it.
Interpolation is bilinear without antialiasing on uint8, as OpenCV's in PySlowFast:
results are within one level of 255 of the exact ones.

Shape suffixes in this file: T frames, H x W pixels, C channels red, green, blue, N boxes.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from x3d_det.boxes import box_areas, clip_boxes, flip_boxes, norm_to_px, scale_boxes, shift_boxes

KINETICS_MEAN = (0.45, 0.45, 0.45)
KINETICS_STD = (0.225, 0.225, 0.225)
# A crop that holds nobody teaches nothing; this many are drawn before it is accepted.
_CROP_TRIES = 10
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of the frame in whole pixels, and the size it is resized to."""

    top: int
    left: int
    height: int
    width: int
    out_height: int
    out_width: int


@dataclass(frozen=True, kw_only=True)
class TransformedClip:
    """What the model sees."""

    clip_CTHW: Tensor
    """float32, normalised."""
    boxes_xyxy_px: np.ndarray
    """float64 (N', 4), pixels of the clip."""
    kept_N: np.ndarray
    """int64 (N',): which of the given boxes are left, in their order."""


class TrainTransform:
    """Random scale, crop, flip and colour.

    The frame's short side is drawn evenly from `short_side_range_px`, then a square of
    `crop_px` is cut at random, mirrored at times, jittered in colour and normalised.

    Args:
        short_side_range_px: lowest and highest short side, both included.
        crop_px: side of the square crop, at most the lowest short side.
        flip_probability: chance of mirroring.
        color_jitter: strength s of brightness, contrast and saturation, each changed by a
            factor from [1 - s, 1 + s] in random order; 0 leaves colours as they are.
        mean, std: of RGB in [0, 1].
        min_visible: least share of a box's area that a crop must leave. A box below it is
            dropped: its person cannot be recognised in the clip, and PySlowFast, which keeps
            such boxes as slivers at the edge, trains on labels without a cause. Other boxes
            are cut at the crop's edge.

    Raises:
        ValueError: a range, size or chance that cannot be.

    Source: PySlowFast, slowfast/datasets/ava_dataset.py, for the order of the steps.
    """

    def __init__(
        self,
        *,
        short_side_range_px: tuple[int, int],
        crop_px: int,
        flip_probability: float = 0.5,
        color_jitter: float = 0.0,
        mean: tuple[float, float, float] = KINETICS_MEAN,
        std: tuple[float, float, float] = KINETICS_STD,
        min_visible: float = 0.25,
    ) -> None:
        low, high = short_side_range_px
        if not 1 <= crop_px <= low <= high:
            raise ValueError(
                f"short_side_range_px is ({low}, {high}) and crop_px is {crop_px}; they must obey "
                "1 <= crop_px <= lowest <= highest."
            )
        if not 0 <= flip_probability <= 1 or not 0 <= color_jitter < 1:
            raise ValueError(
                f"flip_probability is {flip_probability} and color_jitter {color_jitter}; "
                "allowed are [0, 1] and [0, 1)."
            )
        self.short_side_range_px = (low, high)
        self.crop_px = crop_px
        self.flip_probability = flip_probability
        self.color_jitter = color_jitter
        self.mean, self.std = mean, std
        self.min_visible = min_visible

    def __call__(
        self, frames_THWC: np.ndarray, boxes_norm: np.ndarray, rng: np.random.Generator
    ) -> TransformedClip:
        """Return clip and boxes; all chance comes from `rng`.

        Args:
            frames_THWC: uint8 RGB.
            boxes_norm: (N, 4) fractions of the frame.
            rng: drawn from, in a fixed order.
        """
        height, width = frames_THWC.shape[1:3]
        window, boxes, kept = self._window_with_a_person(height, width, boxes_norm, rng)
        is_flipped = bool(rng.random() < self.flip_probability)
        if is_flipped:
            boxes = flip_boxes(boxes, width=window.out_width)
        clip_CTHW = to_unit_floats(resize_window(frames_THWC, window, is_flipped=is_flipped))
        if self.color_jitter:
            clip_CTHW = jitter_color(clip_CTHW, self.color_jitter, rng)
        normalize(clip_CTHW, self.mean, self.std)
        return TransformedClip(clip_CTHW=clip_CTHW, boxes_xyxy_px=boxes, kept_N=kept)

    def _window_with_a_person(
        self, height: int, width: int, boxes_norm: np.ndarray, rng: np.random.Generator
    ) -> tuple[Window, np.ndarray, np.ndarray]:
        for _ in range(_CROP_TRIES):
            window = random_window(height, width, self.short_side_range_px, self.crop_px, rng)
            boxes, kept = boxes_in_window(
                boxes_norm, window, height=height, width=width, min_visible=self.min_visible
            )
            if len(kept) or not len(boxes_norm):
                break
        return window, boxes, kept


class EvalTransform:
    """One scale, the whole frame, no chance.

    Args:
        short_side_px: short side of the result; the long side follows, rounded down.
        center_crop_px: side of a square cut from the middle; None keeps the whole frame.
        is_flipped: mirror clip and boxes left to right.
        mean, std: of RGB in [0, 1].
        min_visible: as in `TrainTransform`; without a crop no box is ever dropped.
    """

    def __init__(
        self,
        *,
        short_side_px: int,
        center_crop_px: int | None = None,
        is_flipped: bool = False,
        mean: tuple[float, float, float] = KINETICS_MEAN,
        std: tuple[float, float, float] = KINETICS_STD,
        min_visible: float = 0.25,
    ) -> None:
        if short_side_px < 1 or not 1 <= (center_crop_px or 1) <= short_side_px:
            raise ValueError(
                f"short_side_px is {short_side_px} and center_crop_px {center_crop_px}; "
                "1 <= center_crop_px <= short_side_px is allowed."
            )
        self.short_side_px = short_side_px
        self.center_crop_px = center_crop_px
        self.is_flipped = is_flipped
        self.mean, self.std = mean, std
        self.min_visible = 0.0 if center_crop_px is None else min_visible

    def __call__(
        self, frames_THWC: np.ndarray, boxes_norm: np.ndarray, rng: np.random.Generator
    ) -> TransformedClip:
        """Return clip and boxes; `rng` is there to match `TrainTransform` and is not drawn from."""
        height, width = frames_THWC.shape[1:3]
        window = center_window(height, width, self.short_side_px, self.center_crop_px)
        boxes, kept = boxes_in_window(
            boxes_norm, window, height=height, width=width, min_visible=self.min_visible
        )
        if self.is_flipped:
            boxes = flip_boxes(boxes, width=window.out_width)
        clip_CTHW = to_unit_floats(resize_window(frames_THWC, window, is_flipped=self.is_flipped))
        normalize(clip_CTHW, self.mean, self.std)
        return TransformedClip(clip_CTHW=clip_CTHW, boxes_xyxy_px=boxes, kept_N=kept)


def random_window(
    height: int,
    width: int,
    short_side_range_px: tuple[int, int],
    crop_px: int,
    rng: np.random.Generator,
) -> Window:
    """Return the window of a random square crop of a frame brought to a random short side."""
    low, high = short_side_range_px
    short_side_px = int(rng.integers(low, high, endpoint=True))
    side = _source_side(min(height, width), crop_px, short_side_px)
    return Window(
        top=int(rng.integers(0, height - side, endpoint=True)),
        left=int(rng.integers(0, width - side, endpoint=True)),
        height=side,
        width=side,
        out_height=crop_px,
        out_width=crop_px,
    )


def center_window(
    height: int, width: int, short_side_px: int, center_crop_px: int | None
) -> Window:
    """Return the window of the whole frame, or of a square in its middle."""
    if center_crop_px is None:
        short = min(height, width)
        return Window(
            top=0,
            left=0,
            height=height,
            width=width,
            out_height=height * short_side_px // short,
            out_width=width * short_side_px // short,
        )
    side = _source_side(min(height, width), center_crop_px, short_side_px)
    return Window(
        top=(height - side) // 2,
        left=(width - side) // 2,
        height=side,
        width=side,
        out_height=center_crop_px,
        out_width=center_crop_px,
    )


def _source_side(short: int, crop_px: int, short_side_px: int) -> int:
    return max(1, math.floor(short * crop_px / short_side_px + 0.5))


def boxes_in_window(
    boxes_norm: np.ndarray, window: Window, *, height: int, width: int, min_visible: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes as the window shows them, in its pixels, and which of them are left.

    Args:
        boxes_norm: (N, 4) fractions of the frame.
        window: the part of the frame that is shown.
        height, width: size of the frame in pixels.
        min_visible: share of a box's area inside the window below which it is dropped; a box
            of which nothing is left is always dropped.
    """
    boxes = norm_to_px(boxes_norm, height_px=height, width_px=width)
    areas = box_areas(clip_boxes(boxes, height=height, width=width))
    boxes = shift_boxes(boxes, shift_y=-window.top, shift_x=-window.left)
    boxes = clip_boxes(boxes, height=window.height, width=window.width)
    visible = box_areas(boxes)
    kept = np.flatnonzero((visible > 0) & (visible >= min_visible * areas))
    boxes = scale_boxes(
        boxes[kept],
        scale_y=window.out_height / window.height,
        scale_x=window.out_width / window.width,
    )
    return boxes, kept


def resize_window(frames_THWC: np.ndarray, window: Window, *, is_flipped: bool = False) -> Tensor:
    """Return the window of every frame in its new size, uint8 (T, C, H, W), channels last."""
    bottom, right = window.top + window.height, window.left + window.width
    part_THWC = frames_THWC[:, window.top : bottom, window.left : right]
    if is_flipped:
        part_THWC = part_THWC[:, :, ::-1]
    part_TCHW = torch.from_numpy(np.ascontiguousarray(part_THWC)).permute(0, 3, 1, 2)
    size = (window.out_height, window.out_width)
    if size == (window.height, window.width):
        return part_TCHW
    return functional.interpolate(part_TCHW, size=size, mode="bilinear", align_corners=False)


def to_unit_floats(frames_TCHW: Tensor) -> Tensor:
    """Return float32 (C, T, H, W) in [0, 1], contiguous, from uint8 frames."""
    frames_CTHW = frames_TCHW.permute(1, 0, 2, 3)
    return frames_CTHW.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def jitter_color(clip_CTHW: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Return the clip in [0, 1] with brightness, contrast and saturation changed.

    Each is multiplied by a factor of its own from [1 - strength, 1 + strength], in random
    order, the same for all frames; contrast turns about the mean grey of the clip.
    """
    order = rng.permutation(3)
    factors = rng.uniform(1 - strength, 1 + strength, size=3)
    for kind in order:
        factor = float(factors[kind])
        if kind == 0:
            clip_CTHW = clip_CTHW * factor
        elif kind == 1:
            clip_CTHW = torch.lerp(_luma(clip_CTHW).mean(), clip_CTHW, factor)
        else:
            clip_CTHW = torch.lerp(_luma(clip_CTHW).expand_as(clip_CTHW), clip_CTHW, factor)
        clip_CTHW = clip_CTHW.clamp(0, 1)
    return clip_CTHW


def _luma(clip_CTHW: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA).reshape(3, 1, 1, 1)
    return (clip_CTHW * weights).sum(dim=0, keepdim=True)


def normalize(
    clip_CTHW: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> None:
    """Subtract the mean from a clip in [0, 1] and divide by the deviation, in place."""
    shape = (3, 1, 1, 1)
    clip_CTHW.sub_(torch.tensor(mean).reshape(shape)).div_(torch.tensor(std).reshape(shape))
