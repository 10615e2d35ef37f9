"""What is profiled: one network on clips of one size, on one device, in one precision."""

from collections.abc import Sequence
from dataclasses import dataclass

from x3d_det.errors import ConfigError, did_you_mean
from x3d_det.models import X3D_SPECS

KINDS = ("classifier", "detector")
PRECISIONS = ("float32", "bfloat16")
FUSED, AS_TRAINED, PYTORCHVIDEO = "x3d_det, fused", "x3d_det, as trained", "PyTorchVideo"
IMPLEMENTATIONS = (FUSED, AS_TRAINED, PYTORCHVIDEO)
NUM_CLASSES = {"classifier": 400, "detector": 80}
"""Of Kinetics-400 and AVA."""

TEST_CROPS_PX = {"x2d": 128, "xs": 182, "s": 182, "m": 256, "l": 356, "xl": 356}
"""Side of the square of a 30-view test, and short side on AVA: 128 times the spatial factor."""


@dataclass(frozen=True, kw_only=True)
class ProfileCase:
    """One row of the profile, but for the implementations that it compares."""

    kind: str
    """One of `KINDS`."""
    model: str
    """Key of `X3D_SPECS`."""
    height_px: int
    width_px: int
    num_boxes: int
    """Boxes of each clip; 0 for a classifier."""
    device: str
    """As torch names it."""
    precision: str
    """One of `PRECISIONS`."""

    @property
    def num_frames(self) -> int:
        """Frames of a clip."""
        return X3D_SPECS[self.model].num_frames

    @property
    def title(self) -> str:
        """What is measured, as in `X3D-M detector, 16 x 256 x 455, 4 boxes, cpu, float32`."""
        boxes = f", {self.num_boxes} boxes" if self.kind == "detector" else ""
        return (
            f"X3D-{self.model.upper()} {self.kind}, {self.num_frames} x {self.height_px} x "
            f"{self.width_px}{boxes}, {self.device}, {self.precision}"
        )

    @property
    def implementations(self) -> tuple[str, ...]:
        """Those that can do it: PyTorchVideo has no X3D detector, and pools squares alone."""
        if self.kind == "detector" or self.height_px != self.width_px:
            return (FUSED, AS_TRAINED)
        return IMPLEMENTATIONS


def profile_cases(
    *,
    models: Sequence[str] = tuple(X3D_SPECS),
    kinds: Sequence[str] = KINDS,
    sizes: Sequence[tuple[int, int]] | None = None,
    num_boxes: int = 4,
    devices: Sequence[str] = ("cpu",),
    precisions: Sequence[str] = PRECISIONS,
) -> list[ProfileCase]:
    """Return the cases of a profile, the cheapest model first.

    Args:
        models: keys of `X3D_SPECS`.
        kinds: of `KINDS`.
        sizes: heights and widths of the clips in pixels. None: a classifier has the training
            crop, a detector the test's short side, on square and on 16:9 frames.
        num_boxes: of each clip of a detector.
        devices: as torch names them.
        precisions: of `PRECISIONS`.

    Raises:
        ConfigError: an unknown model, kind or precision, a size below 32 pixels, negative boxes.
    """
    for given, allowed, what in (
        (models, X3D_SPECS, "model"),
        (kinds, KINDS, "kind"),
        (precisions, PRECISIONS, "precision"),
    ):
        for name in given:
            if name not in allowed:
                raise ConfigError(
                    f"{name!r} is no {what}{did_you_mean(name, allowed)}; there are "
                    f"{', '.join(allowed)}."
                )
    for height_px, width_px in sizes or ():
        if min(height_px, width_px) < 32:
            raise ConfigError(f"size {height_px}x{width_px}: a side must have 32 pixels or more.")
    if num_boxes < 0:
        raise ConfigError(f"{num_boxes} boxes a clip; there are 0 or more.")
    return [
        ProfileCase(
            kind=kind,
            model=model,
            height_px=height_px,
            width_px=width_px,
            num_boxes=num_boxes if kind == "detector" else 0,
            device=device,
            precision=precision,
        )
        for device in dict.fromkeys(devices)
        for kind in KINDS
        if kind in kinds
        for model in X3D_SPECS
        if model in models
        for height_px, width_px in dict.fromkeys(sizes or _usual_sizes(kind, model))
        for precision in PRECISIONS
        if precision in precisions
    ]


def _usual_sizes(kind: str, model: str) -> list[tuple[int, int]]:
    if kind == "classifier":
        return [(X3D_SPECS[model].crop_size,) * 2]
    side = TEST_CROPS_PX[model]
    return [(side, side), (side, side * 16 // 9)]
