"""How persons are to be found: the options that both back ends share, checked once."""

import re
from dataclasses import dataclass
from pathlib import Path

from x3d_det.errors import ConfigError, did_you_mean

BACKENDS = ("auto", "torchvision", "detectron2")


@dataclass(frozen=True, kw_only=True)
class PersonDetectorOptions:
    """Which detector finds the persons, with which weights, at which size.

    Raises:
        ConfigError: a value outside its range.
    """

    backend: str = "auto"
    """torchvision, detectron2, or auto: Detectron2 where it is installed, else torchvision."""
    model: str | None = None
    """A name in TORCHVISION_MODELS or DETECTRON2_MODELS, or the path of a Detectron2 YAML config.
    None: the back end's default."""
    weights: str | Path | None = None
    """A local .pth, .pt, .pkl or .safetensors file. None: the model's published weights."""
    weights_sha256: str | None = None
    """The SHA-256 that the weights must have: 64 hexadecimal digits, or the first 8 or more."""
    short_side: int | None = None
    """Pixels that a frame's shorter side is scaled to. None: the model's own (mostly 800)."""
    max_side: int | None = None
    """Pixels that the longer side must not exceed. None: the model's own (mostly 1333)."""
    min_score: float = 0.05
    """Boxes scored above this are kept; in [0, 1)."""
    person_class: int | None = None
    """The detector's number for persons. None: 1 in torchvision, where 0 is the background, and
    0 in Detectron2."""
    device: str = "auto"
    """cpu, cuda, cuda:N, or auto: a GPU where torch finds one."""

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ConfigError(
                f"backend is {self.backend!r}{did_you_mean(self.backend, BACKENDS)}; "
                f"allowed are {', '.join(BACKENDS)}."
            )
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ConfigError(f"device is {self.device!r}; allowed are auto, cpu, cuda and cuda:N.")
        if not 0 <= self.min_score < 1:
            raise ConfigError(f"min_score is {self.min_score}; it must be in [0, 1).")
        if self.person_class is not None and self.person_class < 0:
            raise ConfigError(f"person_class is {self.person_class}; it must be 0 or more.")
        if self.weights_sha256 is not None and not re.fullmatch(
            "[0-9a-fA-F]{8,64}", self.weights_sha256
        ):
            raise ConfigError(
                f"weights_sha256 is {self.weights_sha256!r}; it must be 8 to 64 hexadecimal digits."
            )
        self._check_sides()

    def _check_sides(self) -> None:
        for name in ("short_side", "max_side"):
            pixels = getattr(self, name)
            if pixels is not None and pixels < 1:
                raise ConfigError(f"{name} is {pixels}; it must be 1 pixel or more.")

    def sides(self, short_side: int, max_side: int) -> tuple[int, int]:
        """Return (short side, longest side) in pixels, given the model's own.

        A short side beyond the model's longest is taken as meant: the longest side then grows
        in proportion, unless it was given too.

        Raises:
            ConfigError: the longest side is shorter than the short one.
        """
        short = self.short_side or short_side
        longest = self.max_side or max(max_side, round(max_side * short / short_side))
        if longest < short:
            raise ConfigError(f"max_side is {longest}, less than the short side of {short} pixels.")
        return short, longest
