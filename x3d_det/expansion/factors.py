"""The six expansion factors of an X3D as the search changes them."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from x3d_det.errors import ConfigError
from x3d_det.models.x3d import X3DSpec


@dataclass(frozen=True, kw_only=True)
class Factors:
    """One point of the search: what the network is, and which clips it is made for.

    Attributes:
        num_frames: frames T of a clip (gamma_t); at least 1.
        sampling_stride: frames of 1/fps from one clip frame to the next (gamma_tau);
            at least 1. Without meaning where T is 1.
        crop_px: short side of the clip in pixels (112 gamma_s); at least 16, half
            of what X3D's five halvings make one cell of.
        depth: gamma_d, times the 1, 2, 5, 3 blocks of the stages, rounded up.
        width: gamma_w in the paper's notation, times 24 to 192 channels, rounded to 8.
        bottleneck: gamma_b, inner channels over a block's output channels, cut to whole
            channels.

    Raises:
        ConfigError: a factor is out of its range, or a count not whole.

    Source: X3D, arXiv:2004.04730, Sec. 3.1.
    """

    num_frames: int
    sampling_stride: int
    crop_px: int
    depth: float
    width: float
    bottleneck: float

    def __post_init__(self) -> None:
        for name, least in (("num_frames", 1), ("sampling_stride", 1), ("crop_px", 16)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} is {value}; it must be whole and at least {least}.")
        for name in ("depth", "width", "bottleneck"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ConfigError(f"{name} is {value}; it must be a number above 0.")

    def spec(self) -> X3DSpec:
        """Return the network; its properties tell the channels and blocks after rounding."""
        return X3DSpec(
            num_frames=self.num_frames,
            crop_size=self.crop_px,
            sampling_stride=self.sampling_stride,
            width_factor=self.width,
            depth_factor=self.depth,
            bottleneck_factor=self.bottleneck,
        )

    @classmethod
    def of_spec(cls, spec: X3DSpec) -> "Factors":
        """Return the factors of a member of the family, as in `X3D_SPECS`.

        Raises:
            ConfigError: its widths are not rounded to 8.
        """
        if spec.width_divisor != 8:
            raise ConfigError(
                f"width_divisor is {spec.width_divisor}; the search rounds widths to 8."
            )
        return cls(
            num_frames=spec.num_frames,
            sampling_stride=spec.sampling_stride,
            crop_px=spec.crop_size,
            depth=spec.depth_factor,
            width=spec.width_factor,
            bottleneck=spec.bottleneck_factor,
        )

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Channels and blocks of the network: equal for factors that round to the same one."""
        spec = self.spec()
        return (
            spec.stem_channels,
            *spec.stage_channels,
            *spec.inner_channels,
            *spec.stage_depths,
        )

    def config_values(self) -> dict[str, dict[str, int | float]]:
        """Return the settings of a configuration that give this network and its clips."""
        return {
            "model": {
                "width_factor": self.width,
                "depth_factor": self.depth,
                "bottleneck_factor": self.bottleneck,
            },
            "clip": {
                "num_frames": self.num_frames,
                "sampling_stride": self.sampling_stride,
                "train_crop": self.crop_px,
            },
        }

    def to_json(self) -> dict[str, Any]:
        """Return the factors by name, for JSON; `Factors(**values)` reads them."""
        return dataclasses.asdict(self)

    def text(self) -> str:
        """Return `13 x 6, 160 px, depth 2.2, width 1, bottleneck 2.25`."""
        return (
            f"{self.num_frames} x {self.sampling_stride}, {self.crop_px} px, "
            f"depth {self.depth:.4g}, width {self.width:.4g}, bottleneck {self.bottleneck:.4g}"
        )


X2D = Factors(num_frames=1, sampling_stride=1, crop_px=112, depth=1.0, width=1.0, bottleneck=1.0)
"""Where the paper's search starts: one frame, all factors 1."""
