"""Clips of whole videos as the model sees them: in training by chance, in testing by fixed crops.

Scale and crop are one step, as `data.transforms` explains.

Shape suffixes in this file: V crops, T frames, H x W pixels, C channels red, green, blue.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from x3d_det.data.transforms import (
    KINETICS_MEAN,
    KINETICS_STD,
    Window,
    center_window,
    jitter_color,
    normalize,
    random_window,
    resize_window,
    to_unit_floats,
)

NUM_CROPS_ALLOWED = (1, 3)
"""Squares of a frame at test time: the middle one, or both ends of the long side too."""

_LARGEST_MAGNITUDE = 30
_NUM_AUGMENT_OPERATIONS = 2


class KineticsTrainTransform:
    """Random scale, crop, flip and colour of one clip, the same for all of its frames.

    Args:
        flip_probability: chance of mirroring.
        color_jitter: strength s of brightness, contrast and saturation, each changed by a
            factor from [1 - s, 1 + s] in random order; 0 leaves colours as they are.
        rand_augment: magnitude 0 to 30 of RandAugment's two operations, before the colour
            jitter; None leaves it out.
        mean, std: of RGB in [0, 1].

    Raises:
        ValueError: a chance, strength or magnitude that cannot be.

    Source: RandAugment, arXiv:1909.13719, by `torchvision.transforms.v2.RandAugment`.
    """

    def __init__(
        self,
        *,
        flip_probability: float = 0.5,
        color_jitter: float = 0.0,
        rand_augment: int | None = None,
        mean: tuple[float, float, float] = KINETICS_MEAN,
        std: tuple[float, float, float] = KINETICS_STD,
    ) -> None:
        if not 0 <= flip_probability <= 1 or not 0 <= color_jitter < 1:
            raise ValueError(
                f"flip_probability is {flip_probability} and color_jitter {color_jitter}; "
                "allowed are [0, 1] and [0, 1)."
            )
        if rand_augment is not None and not 0 <= rand_augment <= _LARGEST_MAGNITUDE:
            raise ValueError(
                f"rand_augment is {rand_augment}; a magnitude from 0 to {_LARGEST_MAGNITUDE} is "
                "allowed, or None for no RandAugment."
            )
        self.flip_probability = flip_probability
        self.color_jitter = color_jitter
        self.rand_augment = rand_augment
        self.mean, self.std = mean, std

    def __call__(
        self,
        frames_THWC: np.ndarray,
        *,
        short_side_range_px: tuple[int, int],
        crop_px: int,
        rng: np.random.Generator,
    ) -> Tensor:
        """Return the clip (C, T, crop_px, crop_px), float32, normalised.

        Args:
            frames_THWC: uint8 RGB.
            short_side_range_px: lowest and highest short side of the frame, both included.
            crop_px: side of the square that is cut out, at most the lowest short side.
            rng: all chance comes from it, in a fixed order.
        """
        height, width = frames_THWC.shape[1:3]
        window = random_window(height, width, short_side_range_px, crop_px, rng)
        is_flipped = bool(rng.random() < self.flip_probability)
        frames_TCHW = resize_window(frames_THWC, window, is_flipped=is_flipped)
        if self.rand_augment is not None:
            frames_TCHW = rand_augmented(frames_TCHW, self.rand_augment, rng)
        clip_CTHW = to_unit_floats(frames_TCHW)
        if self.color_jitter:
            clip_CTHW = jitter_color(clip_CTHW, self.color_jitter, rng)
        normalize(clip_CTHW, self.mean, self.std)
        return clip_CTHW


class KineticsViewTransform:
    """One scale and fixed square crops, no chance.

    Args:
        short_side_px: short side of the frame.
        crop_px: side of the squares, at most `short_side_px`.
        num_crops: 1 is the square in the middle; 3 are left, middle and right, or top, middle
            and bottom of upright pictures.
        mean, std: of RGB in [0, 1].

    Raises:
        ValueError: a size or number that cannot be.
    """

    def __init__(
        self,
        *,
        short_side_px: int,
        crop_px: int,
        num_crops: int = 1,
        mean: tuple[float, float, float] = KINETICS_MEAN,
        std: tuple[float, float, float] = KINETICS_STD,
    ) -> None:
        if not 1 <= crop_px <= short_side_px:
            raise ValueError(
                f"short_side_px is {short_side_px} and crop_px {crop_px}; "
                "1 <= crop_px <= short_side_px is allowed."
            )
        if num_crops not in NUM_CROPS_ALLOWED:
            raise ValueError(f"num_crops is {num_crops}; 1 or 3 is allowed.")
        self.short_side_px = short_side_px
        self.crop_px = crop_px
        self.num_crops = num_crops
        self.mean, self.std = mean, std

    def __call__(self, frames_THWC: np.ndarray) -> Tensor:
        """Return the crops (V, C, T, crop_px, crop_px), float32, normalised, from uint8 RGB."""
        height, width = frames_THWC.shape[1:3]
        windows = crop_windows(height, width, self.short_side_px, self.crop_px, self.num_crops)
        size = (3, len(frames_THWC), self.crop_px, self.crop_px)
        clips_VCTHW = torch.empty(len(windows), *size)
        for clip_CTHW, window in zip(clips_VCTHW, windows, strict=True):
            clip_CTHW.copy_(to_unit_floats(resize_window(frames_THWC, window)))
            normalize(clip_CTHW, self.mean, self.std)
        return clips_VCTHW


def crop_windows(
    height: int, width: int, short_side_px: int, crop_px: int, num_crops: int
) -> list[Window]:
    """Return the windows of one square in the middle, or of three along the longer side.

    Source: X3D, arXiv:2004.04730, "K-LeftCenterRight" testing; along which side three
        crops of upright pictures lie: PySlowFast, slowfast/datasets/transform.py.
    """
    middle = center_window(height, width, short_side_px, crop_px)
    if num_crops == 1:
        return [middle]
    if height > width:
        return [replace(middle, top=0), middle, replace(middle, top=height - middle.height)]
    return [replace(middle, left=0), middle, replace(middle, left=width - middle.width)]


def rand_augmented(frames_TCHW: Tensor, magnitude: int, rng: np.random.Generator) -> Tensor:
    """Return uint8 frames changed by RandAugment, all of them alike.

    torchvision draws from PyTorch's own generator, which is seeded from `rng` for the time
    and then set back, so that nothing else depends on it.
    """
    from torchvision.transforms.v2 import RandAugment

    augment = RandAugment(num_ops=_NUM_AUGMENT_OPERATIONS, magnitude=magnitude)
    seed = int(rng.integers(2**63))
    with torch.random.fork_rng(devices=[]):
        # `torch.manual_seed` would seed the GPU's generators as well, which are not set back.
        torch.default_generator.manual_seed(seed)
        return augment(frames_TCHW)
