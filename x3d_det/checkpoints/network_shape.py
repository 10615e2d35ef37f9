"""Widths and depths of an X3D, read from the shapes of its tensors.

Names in a file's title or config may lie: X3D-XL exists with two sets of widths, and
XS, S and M are one network for clips of different sizes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

from torch import Tensor

from x3d_det.errors import CheckpointError
from x3d_det.models import X3D_SPECS, X3DSpec
from x3d_det.models.x3d import BASE_STAGE_CHANNELS, BASE_STAGE_DEPTHS, STAGE_NAMES

_BLOCK = re.compile(r"backbone\.stages\.(res[2-5])\.(\d+)\.")
_DIVISORS = (8, 1)
_ROUNDING = 1e-9  # so that a whole number does not fall to the wrong side of itself


@dataclass(frozen=True)
class NetworkShape:
    """What must be equal for the weights of one X3D to fit into another."""

    stem_channels: int
    stage_channels: tuple[int, ...]
    """Channels that res2 to res5 put out."""
    inner_channels: tuple[int, ...]
    """Channels inside their blocks."""
    stage_depths: tuple[int, ...]
    """Their blocks."""

    @classmethod
    def of_spec(cls, spec: X3DSpec) -> "NetworkShape":
        """Return the shape that a spec builds."""
        return cls(spec.stem_channels, spec.stage_channels, spec.inner_channels, spec.stage_depths)

    @property
    def members(self) -> tuple[str, ...]:
        """The members of the family of this shape, as in `X3D_SPECS`: XS, S and M share one."""
        return tuple(name for name, spec in X3D_SPECS.items() if self == self.of_spec(spec))

    @property
    def spec(self) -> X3DSpec | None:
        """A spec that builds this shape; None where no three factors do.

        Its clip size is that of the largest member of this shape (M for XS, S and M), or M's.
        """
        if members := self.members:
            return X3D_SPECS[members[-1]]
        known = X3D_SPECS.values()
        widths = [spec.width_factor for spec in known]
        widths += _ratios(self.stage_channels, BASE_STAGE_CHANNELS)
        depths = [spec.depth_factor for spec in known]
        depths.append(min(_ratios(self.stage_depths, BASE_STAGE_DEPTHS)) * (1 - _ROUNDING))
        inner = [spec.bottleneck_factor for spec in known]
        inner.append(max(_ratios(self.inner_channels, self.stage_channels)) * (1 + _ROUNDING))
        for width, divisor, depth, bottleneck in product(
            dict.fromkeys(widths), _DIVISORS, dict.fromkeys(depths), dict.fromkeys(inner)
        ):
            spec = replace(
                X3D_SPECS["m"],
                width_factor=width,
                depth_factor=depth,
                bottleneck_factor=bottleneck,
                width_divisor=divisor,
            )
            if self == self.of_spec(spec):
                return spec
        return None

    def text(self) -> str:
        """Return the shape in words: "X3D-XS, S, M (widths 24 24-48-96-192, ...)"."""
        names = ", ".join(name.upper() for name in self.members)
        return (f"X3D-{names}" if names else "an X3D") + (
            f" of widths {self.stem_channels}, {_dashed(self.stage_channels)} (inside the blocks "
            f"{_dashed(self.inner_channels)}) and {_dashed(self.stage_depths)} blocks"
        )


def shape_of(state: Mapping[str, Tensor], *, source: str) -> NetworkShape:
    """Return the network that a state dict in our names belongs to.

    Args:
        state: has at least every block's `conv_a` and `conv_c`.
        source: names the file in messages.

    Raises:
        CheckpointError: a stage or block has no weights, or one that is no convolution's.
    """

    def channels(name: str) -> int:
        if name not in state:
            raise CheckpointError(
                f"checkpoint {source} is incomplete: it has no {name} (in our names); "
                "download or export it again."
            )
        if state[name].ndim != 5:
            raise CheckpointError(
                f"checkpoint {source}: {name} has shape {tuple(state[name].shape)}; a weight of "
                "a convolution has five dimensions."
            )
        return state[name].shape[0]

    blocks: dict[str, set[int]] = {stage: set() for stage in STAGE_NAMES}
    for name in state:
        if match := _BLOCK.match(name):
            blocks[match[1]].add(int(match[2]))
    depths = tuple(max(numbers, default=0) + 1 for numbers in blocks.values())
    places = [
        [f"backbone.stages.{stage}.{block}" for block in range(depth)]
        for stage, depth in zip(STAGE_NAMES, depths, strict=True)
    ]
    inner = [{channels(f"{place}.conv_a.weight") for place in stage} for stage in places]
    outer = [{channels(f"{place}.conv_c.weight") for place in stage} for stage in places]
    for stage, widths in zip(STAGE_NAMES * 2, inner + outer, strict=True):
        if len(widths) > 1:
            raise CheckpointError(
                f"checkpoint {source}: the blocks of {stage} have {sorted(widths)} channels; "
                "in an X3D the blocks of a stage are equally wide."
            )
    return NetworkShape(
        channels("backbone.stem.conv_xy.weight"),
        tuple(next(iter(widths)) for widths in outer),
        tuple(next(iter(widths)) for widths in inner),
        depths,
    )


def _ratios(numbers: tuple[int, ...], bases: tuple[int, ...]) -> list[float]:
    return [number / base for number, base in zip(numbers, bases, strict=True)]


def _dashed(numbers: tuple[int, ...]) -> str:
    return "-".join(map(str, numbers))
