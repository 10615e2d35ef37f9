"""The six axes: which values of a factor lie above the present one, and how far they go."""

import dataclasses
import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from x3d_det.errors import ConfigError, did_you_mean
from x3d_det.expansion.factors import Factors
from x3d_det.models.x3d import BASE_STAGE_DEPTHS

AXES: dict[str, str] = {
    "fast": "X-Fast",
    "temporal": "X-Temporal",
    "spatial": "X-Spatial",
    "depth": "X-Depth",
    "width": "X-Width",
    "bottleneck": "X-Bottleneck",
}
"""The axes and the paper's names of them, in the paper's order."""

CROP_STEP_PX = 8
"""Crops grow to multiples of this: the paper's 160, 224 and 312 are such."""
FACTOR_STEPS_PER_UNIT = 20
"""Width and bottleneck factors grow to multiples of 1/20: 1.45 and 2.25 are such."""
TEMPORAL_SHARE_OF_RATE = 1 / 3
"""Of a Temporal step's growth (as an exponent) this share goes to the frame rate, the rest
to the clip's duration. The paper raises both and does not print the shares."""
FAST_DURATION_SLACK = 0.1
"""Share of a clip's duration that the whole strides of a Fast step may add or take."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far the data, or the user, lets the factors grow.

    Attributes:
        fps: rate in which sampling strides count; the highest that Fast can reach.
        one_frame_seconds: duration that a clip of one frame stands for: Fast spreads the
            frames over it, Temporal over a longer one.
        longest_seconds: longest duration (frames times stride) of a clip; Kinetics has 10 s.
        largest_crop_px: largest short side of a clip.
        largest_depth, largest_width, largest_bottleneck: largest factors.

    Raises:
        ConfigError: one of them is not above 0, or a single frame stands for more than the
            longest clip.
    """

    fps: float = 30.0
    one_frame_seconds: float = 1.0
    longest_seconds: float = 10.0
    largest_crop_px: int = 1024
    largest_depth: float = 20.0
    largest_width: float = 20.0
    largest_bottleneck: float = 20.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0 < value < float("inf"):
                raise ConfigError(f"limits.{name} is {value}; it must be a number above 0.")
        if self.one_frame_seconds > self.longest_seconds:
            raise ConfigError(
                f"limits.one_frame_seconds is {self.one_frame_seconds:g}, more than "
                f"limits.longest_seconds = {self.longest_seconds:g}; lower it."
            )

    def stride(self, factors: Factors) -> int:
        """Return the stride to start from; that of a single frame fills `one_frame_seconds`."""
        if factors.num_frames > 1:
            return factors.sampling_stride
        return max(1, nearest_stride(self.fps * self.one_frame_seconds))


def check_axes(axes: Iterable[str]) -> tuple[str, ...]:
    """Return the axes as a tuple.

    Raises:
        ConfigError: none, an unknown one, or one twice.
    """
    names = tuple(axes)
    if not names:
        raise ConfigError(f"axes is empty; name at least one of {', '.join(AXES)}.")
    for name in names:
        if name not in AXES:
            raise ConfigError(
                f"axes: {name!r} is no axis; there are {', '.join(AXES)}{did_you_mean(name, AXES)}"
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"axes names one twice: {', '.join(names)}.")
    return names


@functools.lru_cache(maxsize=1024)
def levels(factors: Factors, axis: str, limits: Limits) -> tuple[Factors, ...]:
    """Return all values of one axis above the present one, ascending; empty at its limit.

    * fast: T = T + 1, T + 2, ...; the stride shrinks, to the nearest whole one, so that the
      duration T x stride stays. A T whose stride changes the duration by more than a tenth
      (`FAST_DURATION_SLACK`) is left out: 21 x 1 shows a third less than 15 x 2.
    * temporal: T = T + 1, T + 2, ...; the frame rate grows with the power 1/3 of T's growth
      (`TEMPORAL_SHARE_OF_RATE`), to the nearest whole stride, and the duration with the rest.
    * spatial: the multiples of 8 pixels above the present crop.
    * depth: the multiples of 1, 1/2, 1/3 and 1/5, where one of the 1, 2, 5, 3 blocks changes.
      Blocks are rounded up, so each of these is the largest factor of its network.
    * width, bottleneck: multiples of 1/20 that change at least one layer.

    Args:
        factors: where to start.
        axis: one of `AXES`.
        limits: how far it may go.

    Source: X3D, arXiv:2004.04730, Sec. 3.2, for what each axis changes; the grids are ours
    (see `replay`, where they give the paper's own values).
    """
    if axis == "fast":
        return _faster(factors, limits)
    if axis == "temporal":
        return _longer(factors, limits)
    if axis == "spatial":
        first = factors.crop_px // CROP_STEP_PX * CROP_STEP_PX + CROP_STEP_PX
        crops = range(first, limits.largest_crop_px + 1, CROP_STEP_PX)
        return tuple(dataclasses.replace(factors, crop_px=crop) for crop in crops)
    return _larger(factors, axis, limits)


def contraction_levels(
    parent: Factors, grown: Factors, axis: str, limits: Limits
) -> tuple[Factors, ...]:
    """Return the values of an axis between two models, ascending, neither included.

    As `levels`, except for temporal: the duration of the grown clip is kept and the frame
    rate given back, at most to the parent's, then the duration. So an 8 x 6 that grew to
    16 x 5 (80 frames long) contracts to 13 x 6 (78), the paper's X3D-S.

    Args:
        parent: the model before the step.
        grown: what the step made of it.
        axis: of the step.
        limits: as in the step.
    """
    if axis != "temporal":
        between = levels(parent, axis, limits)
        return between[: between.index(grown)] if grown in between else ()
    stride = limits.stride(parent)
    duration = grown.num_frames * grown.sampling_stride
    found = []
    for frames in range(parent.num_frames + 1, grown.num_frames):
        kept = min(stride, nearest_stride(duration / frames))
        if frames * kept > parent.num_frames * stride:
            found.append(dataclasses.replace(parent, num_frames=frames, sampling_stride=kept))
    return tuple(found)


def why_no_level(factors: Factors, axis: str, limits: Limits) -> str:
    """Return the reason why `levels` is empty: the limit by its name and value."""
    if axis == "fast":
        return f"a stride of {limits.stride(factors)} cannot be made smaller"
    if axis == "temporal":
        return (
            f"a clip of more than {factors.num_frames} frames, {limits.stride(factors)} apart, "
            f"would be longer than limits.longest_seconds = {limits.longest_seconds:g}"
        )
    name = "crop_px" if axis == "spatial" else axis
    largest = getattr(limits, f"largest_{name}")
    return f"nothing above {getattr(factors, name):g} is within limits.largest_{name} = {largest:g}"


def upper_bound(factors: Factors, axes: Iterable[str], limits: Limits) -> Factors:
    """Return factors that no search along these axes can exceed."""
    top = factors
    for axis in axes:
        if axis == "temporal" or (axis == "fast" and "temporal" not in axes):
            frames = limits.longest_seconds * limits.fps
            if axis == "fast":
                frames = factors.num_frames * limits.stride(factors)
            frames = max(int(frames), factors.num_frames)
            top = dataclasses.replace(top, num_frames=frames, sampling_stride=1)
        elif axis != "fast" and (above := levels(factors, axis, limits)):
            name = "crop_px" if axis == "spatial" else axis
            top = dataclasses.replace(top, **{name: getattr(above[-1], name)})
    return top


def nearest_stride(stride: float) -> int:
    """Return the nearest whole stride, at least 1; of two as near, the higher frame rate."""
    return max(1, math.ceil(stride - 0.5))


def _faster(factors: Factors, limits: Limits) -> tuple[Factors, ...]:
    stride = limits.stride(factors)
    duration = factors.num_frames * stride
    found = []
    for frames in range(factors.num_frames + 1, duration + 1):
        shrunk = nearest_stride(duration / frames)
        keeps_duration = abs(frames * shrunk - duration) <= FAST_DURATION_SLACK * duration
        if shrunk < stride and keeps_duration and frames * shrunk <= _most_frames(limits):
            found.append(dataclasses.replace(factors, num_frames=frames, sampling_stride=shrunk))
    return tuple(found)


def _longer(factors: Factors, limits: Limits) -> tuple[Factors, ...]:
    before, stride = factors.num_frames, limits.stride(factors)
    found = []
    for frames in range(before + 1, int(_most_frames(limits)) + 1):
        shrunk = nearest_stride(stride / (frames / before) ** TEMPORAL_SHARE_OF_RATE)
        if before * stride < frames * shrunk <= _most_frames(limits):
            found.append(dataclasses.replace(factors, num_frames=frames, sampling_stride=shrunk))
    return tuple(found)


def _most_frames(limits: Limits) -> float:
    """Return how many frames of the full rate the longest clip spans."""
    return limits.longest_seconds * limits.fps


def _larger(factors: Factors, axis: str, limits: Limits) -> tuple[Factors, ...]:
    parts = BASE_STAGE_DEPTHS if axis == "depth" else (FACTOR_STEPS_PER_UNIT,)
    present, largest = getattr(factors, axis), getattr(limits, f"largest_{axis}")
    values = {
        Fraction(k, part)
        for part in parts
        for k in range(int(present * part), int(largest * part) + 1)
    }
    found: list[Factors] = []
    last_sizes = factors.layer_sizes
    for value in sorted(values):
        if not present < float(value) <= largest:
            continue
        values_of_axis: dict[str, Any] = {axis: float(value)}
        changed = dataclasses.replace(factors, **values_of_axis)
        if changed.layer_sizes != last_sizes:
            found.append(changed)
            last_sizes = changed.layer_sizes
    return tuple(found)
