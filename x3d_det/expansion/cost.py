"""What a candidate costs: counted exactly, or measured by a function from outside.

The counts are formulas in whole numbers, so that a search may ask for thousands of
them; `models.complexity` counts the same on the modules themselves.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from x3d_det.errors import ConfigError, did_you_mean
from x3d_det.expansion.factors import Factors
from x3d_det.models.layers import SE_RATIO, STEM_TEMPORAL_TAPS, round_width
from x3d_det.models.x3d import LIN5_CHANNELS, X3DSpec

BLOCK_TAPS = 3 * 3 * 3
STEM_TAPS = 3 * 3 * 3
SE_DIVISOR = 8


@dataclass(frozen=True, kw_only=True)
class NetworkCost:
    """Exact counts of the Kinetics classifier on one clip.

    Attributes:
        multiply_adds: of all convolutions and linear layers.
        parameters: all trainable numbers, BatchNorm's included.
        activations: numbers that convolutions and linear layers put out.
    """

    multiply_adds: int
    parameters: int
    activations: int


class Cost:
    """A cost to search under: a number above 0 for given factors, computed once for each.

    Args:
        name: as it stands in records and tables.
        unit: of the number.
        of: the function; should not fall where a factor grows.
        num_classes: of the classifier, for `counts`.
        aspect_ratio: width over height of the clips, above 0, for `counts`.
        settings: what else the numbers depend on; a record is held to all of these.
        is_measured: whether asking takes time, so that nothing beyond the candidates is asked.
    """

    def __init__(
        self,
        name: str,
        *,
        unit: str,
        of: Callable[[Factors], float],
        num_classes: int = 400,
        aspect_ratio: float = 1.0,
        settings: Mapping[str, Any] | None = None,
        is_measured: bool = False,
    ) -> None:
        self.name = name
        self.unit = unit
        self.num_classes = num_classes
        self.aspect_ratio = aspect_ratio
        self.settings = {
            "name": name,
            "num_classes": num_classes,
            "aspect_ratio": aspect_ratio,
            **(settings or {}),
        }
        self.is_measured = is_measured
        self._of = of
        self._known: dict[Factors, float] = {}

    def __call__(self, factors: Factors) -> float:
        """Return the cost.

        Raises:
            ConfigError: the function gave no number above 0.
        """
        if factors not in self._known:
            value = self._of(factors)
            if not 0 < value < float("inf"):
                raise ConfigError(
                    f"the {self.name} of {factors.text()} came out as {value}; "
                    "a cost must be a number above 0."
                )
            self._known[factors] = value
        return self._known[factors]

    def counts(self, factors: Factors) -> NetworkCost:
        """Return the exact counts of a candidate, whatever the cost itself is."""
        return network_cost(factors, num_classes=self.num_classes, aspect_ratio=self.aspect_ratio)


COUNTS: dict[str, str] = {
    "multiply_adds": "multiply-adds",
    "parameters": "parameters",
    "activations": "activations",
}
"""The counted costs and their units."""


def counted_cost(
    name: str = "multiply_adds", *, num_classes: int = 400, aspect_ratio: float = 1.0
) -> Cost:
    """Return one of `COUNTS` as a cost.

    Args:
        name: which; the paper's search is under multiply-adds.
        num_classes: of the classifier.
        aspect_ratio: width over height of the clips, above 0; the short side is the crop.

    Raises:
        ConfigError: no such count, or a ratio not above 0.
    """
    if name not in COUNTS:
        raise ConfigError(
            f"cost: {name!r} is not counted; there are {', '.join(COUNTS)}, and a measured "
            f"latency{did_you_mean(name, COUNTS)}"
        )
    clip_size(32, aspect_ratio)

    def of(factors: Factors) -> float:
        count = network_cost(factors, num_classes=num_classes, aspect_ratio=aspect_ratio)
        return float(getattr(count, name))

    return Cost(name, unit=COUNTS[name], of=of, num_classes=num_classes, aspect_ratio=aspect_ratio)


def measured_cost(
    measure: Callable[[X3DSpec, int, int, int], float],
    *,
    device: str,
    num_classes: int = 400,
    aspect_ratio: float = 1.0,
) -> Cost:
    """Return the latency of a clip, in seconds, as a cost.

    Args:
        measure: seconds for a network and a clip's frames, height and width. A search asks
            for about ten values an axis, each once; a record keeps those of candidates.
        device: what it is measured on; a record is held to it.
        num_classes, aspect_ratio: as in `counted_cost`.

    Raises:
        ConfigError: a ratio not above 0.
    """
    clip_size(32, aspect_ratio)

    def of(factors: Factors) -> float:
        height, width = clip_size(factors.crop_px, aspect_ratio)
        return measure(factors.spec(), factors.num_frames, height, width)

    return Cost(
        "latency",
        unit="seconds",
        of=of,
        num_classes=num_classes,
        aspect_ratio=aspect_ratio,
        settings={"device": device},
        is_measured=True,
    )


def clip_size(short_side_px: int, aspect_ratio: float) -> tuple[int, int]:
    """Return (height, width) of a clip of this short side, to whole pixels.

    Args:
        short_side_px: the shorter of both.
        aspect_ratio: width over height; below 1 for portraits.

    Raises:
        ConfigError: the ratio is not above 0.
    """
    if not 0 < aspect_ratio < float("inf"):
        raise ConfigError(f"aspect_ratio is {aspect_ratio}; it is width over height, above 0.")
    if aspect_ratio >= 1:
        return short_side_px, round(short_side_px * aspect_ratio)
    return round(short_side_px / aspect_ratio), short_side_px


@functools.lru_cache(maxsize=4096)
def network_cost(
    factors: Factors, *, num_classes: int = 400, aspect_ratio: float = 1.0
) -> NetworkCost:
    """Return the exact counts of the classifier on one clip, pooled whole.

    Args:
        factors: network and clip.
        num_classes: of the class layer.
        aspect_ratio: width over height of the clip; its short side is `crop_px`.

    Source: X3D, arXiv:2004.04730, Table 1; layer by layer as `models.x3d` builds it.
    """
    spec = factors.spec()
    height, width = clip_size(factors.crop_px, aspect_ratio)
    rows, columns = _half(height), _half(width)
    cells = factors.num_frames * rows * columns
    stem = spec.stem_channels
    count = _Count()
    count.conv(cells, stem, STEM_TAPS)
    count.conv(cells, stem, STEM_TEMPORAL_TAPS)
    count.batch_norm(stem)
    before = stem
    stages = zip(spec.stage_channels, spec.inner_channels, spec.stage_depths, strict=True)
    for channels, inner, depth in stages:
        rows, columns = _half(rows), _half(columns)
        smaller = factors.num_frames * rows * columns
        count.block(cells, smaller, (before, inner, channels), use_se=True)
        count.conv(smaller, channels, before)
        count.batch_norm(channels)
        num_even = (depth - 1) // 2
        same = (channels, inner, channels)
        count.block(smaller, smaller, same, use_se=False, times=depth - 1 - num_even)
        count.block(smaller, smaller, same, use_se=True, times=num_even)
        before, cells = channels, smaller
    inner = spec.inner_channels[-1]
    count.conv(cells, inner, before)
    count.batch_norm(inner)
    count.conv(1, LIN5_CHANNELS, inner)
    count.conv(1, num_classes, LIN5_CHANNELS, bias=True)
    return NetworkCost(
        multiply_adds=count.multiply_adds,
        parameters=count.parameters,
        activations=count.activations,
    )


class _Count:
    """Sums over layers."""

    def __init__(self) -> None:
        self.multiply_adds = 0
        self.parameters = 0
        self.activations = 0

    def conv(
        self, cells: int, channels: int, taps: int, *, bias: bool = False, times: int = 1
    ) -> None:
        """Add a layer of `cells * channels` outputs, each out of `taps` products."""
        self.multiply_adds += times * cells * channels * taps
        self.activations += times * cells * channels
        self.parameters += times * channels * (taps + bias)

    def batch_norm(self, channels: int, *, times: int = 1) -> None:
        self.parameters += times * 2 * channels

    def block(
        self,
        cells_in: int,
        cells_out: int,
        channels: tuple[int, int, int],
        *,
        use_se: bool,
        times: int = 1,
    ) -> None:
        """Add bottleneck blocks, their shortcuts left out; channels before, inside, after."""
        before, inner, after = channels
        self.conv(cells_in, inner, before, times=times)
        self.conv(cells_out, inner, BLOCK_TAPS, times=times)
        self.conv(cells_out, after, inner, times=times)
        self.batch_norm(inner + inner + after, times=times)
        if use_se:
            hidden = round_width(inner * SE_RATIO, divisor=SE_DIVISOR)
            self.conv(1, hidden, inner, bias=True, times=times)
            self.conv(1, inner, hidden, bias=True, times=times)


def _half(size: int) -> int:
    return -(-size // 2)
