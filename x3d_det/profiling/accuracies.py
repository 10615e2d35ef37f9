"""Published accuracies on Kinetics-400 beside what the test costs.

The figures of published weights stand in `x3d_det.zoo`, which has their sources; here are those
of the paper, which has no public XL, and of a retest that gives one view too.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from x3d_det.models import X3D_SPECS
from x3d_det.profiling.case import TEST_CROPS_PX

VIEW_MULTIPLY_ADDS = {
    ("x2d", 112): 20_662_304,
    ("xs", 160): 605_256_512,
    ("s", 160): 1_962_892_112,
    ("m", 224): 4_732_468_736,
    ("l", 312): 18_367_710_176,
    ("xl", 312): 35_837_627_616,
    ("xs", 182): 838_807_664,
    ("s", 182): 2_721_933_356,
    ("m", 256): 6_180_613_376,
    ("l", 356): 24_764_017_280,
    ("xl", 356): 48_406_849_600,
}
"""Of a view of one model and side in pixels, as `models.complexity` counts, which takes seconds."""


@dataclass(frozen=True, kw_only=True)
class PublishedAccuracy:
    """Top-1 of a model on Kinetics-400's validation videos."""

    publisher: str
    model: str
    """Key of `X3D_SPECS`."""
    num_clips: int
    """Views of a video along time."""
    num_crops: int
    """Views of a clip: 1, the centre of the training crop; 3, squares of the test's size."""
    top1: float
    """Per cent."""

    @property
    def protocol(self) -> str:
        """Return clips x crops, as in `10 x 3 views`."""
        return f"{self.num_clips} x {self.num_crops} view{'s' * (self.num_clips > 1)}"

    @property
    def multiply_adds(self) -> int:
        """Of all views of one video."""
        side = TEST_CROPS_PX[self.model] if self.num_crops == 3 else X3D_SPECS[self.model].crop_size
        return self.num_clips * self.num_crops * VIEW_MULTIPLY_ADDS[self.model, side]


def _curve(
    publisher: str, num_clips: int, num_crops: int, top1_by_model: dict[str, float]
) -> list[PublishedAccuracy]:
    return [
        PublishedAccuracy(
            publisher=publisher, model=model, num_clips=num_clips, num_crops=num_crops, top1=top1
        )
        for model, top1 in top1_by_model.items()
    ]


PAPER = _curve("X3D paper", 10, 3, {"m": 76.0, "l": 77.5, "xl": 79.1})
"""Source: arXiv:2004.04730, as quoted by MViT, arXiv:2104.11227, Table 4."""

CO3D = [
    *_curve("co3d's retest", 1, 1, {"xs": 54.68, "s": 60.88, "m": 63.84, "l": 65.93}),
    *_curve("co3d's retest", 10, 1, {"xs": 65.59, "s": 69.97, "m": 72.51, "l": 74.37}),
]
"""Of PySlowFast's weights on that author's copy of the videos.

Source: https://github.com/LukasHedegaard/co3d/blob/13cf9979dd21eea3dc5d4211487b0522bd7b19ed/
models/x3d/README.md.
"""


_PUBLISHERS = {"pyslowfast": "PySlowFast", "pytorchvideo": "PyTorchVideo"}
_PROTOCOLS = {"10 x 1 views": (10, 1), "10 x 3 views": (10, 3)}


def accuracies_of_zoo(
    scores: Iterable[tuple[str, str, str, float]],
) -> list[PublishedAccuracy]:
    """Return the scores of those who trained X3D, by a protocol that is known.

    MMAction2 and X3D-Multigrid publish PySlowFast's weights again, or of a short training.

    Args:
        scores: layout of the weights, model, protocol, top-1 in per cent, as in `x3d_det.zoo`.
    """
    return [
        PublishedAccuracy(
            publisher=_PUBLISHERS[layout],
            model=model,
            num_clips=_PROTOCOLS[protocol][0],
            num_crops=_PROTOCOLS[protocol][1],
            top1=top1,
        )
        for layout, model, protocol, top1 in scores
        if layout in _PUBLISHERS and protocol in _PROTOCOLS
    ]


def curves_of(
    accuracies: Iterable[PublishedAccuracy],
) -> dict[tuple[str, str], list[PublishedAccuracy]]:
    """Return the accuracies by publisher and protocol, the cheapest test first."""
    curves: dict[tuple[str, str], list[PublishedAccuracy]] = {}
    for accuracy in accuracies:
        curves.setdefault((accuracy.publisher, accuracy.protocol), []).append(accuracy)
    return {key: sorted(curve, key=lambda a: a.multiply_adds) for key, curve in curves.items()}
