"""The public files of X3D weights, with their publishers' figures and our counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from x3d_det.errors import CheckpointError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class PublishedScore:
    """A figure that the publisher gives for a file of weights."""

    protocol: str
    """Views of a video, clips x crops, as in `10 x 3 views`."""
    top1: float | None = None
    """Per cent."""
    top5: float | None = None
    """Per cent."""
    mean_ap: float | None = None
    """Per cent; of a data set with several labels a video."""

    def text(self) -> str:
        """Return `76.2 % top-1, 92.3 % top-5 (10 x 3 views)`, as far as it is known."""
        kinds = (("top-1", self.top1), ("top-5", self.top5), ("mAP", self.mean_ap))
        known = ", ".join(f"{value} % {kind}" for kind, value in kinds if value is not None)
        return f"{known} ({self.protocol})"


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """A public file of X3D weights."""

    name: str
    """As in `x3d_m_kinetics400`."""
    url: str
    file_name: str
    """Its name in the cache and on a mirror, below the folder `layout`."""
    layout: str
    """One of `x3d_det.checkpoints.LAYOUTS`."""
    model: str
    """Key of `X3D_SPECS` with its widths and depths."""
    dataset: str
    num_classes: int
    num_frames: int
    sampling_stride: int
    """Frames of a 30 fps video from one frame of the clip to the next."""
    crop_size: int
    """Pixels, of the training crop."""
    multiply_adds: int
    """Of one clip at the training crop, counted as `models.complexity` does."""
    parameters: int
    """Of the model in this layout, BatchNorm's among them."""
    scores: tuple[PublishedScore, ...]
    licence: str
    """Of the repository that publishes the file; none of them states another for the weights."""
    source: str
    """The public document that links to the file and gives its figures."""
    sha256: str | None = None
    """The first digits, where the publisher gives any."""
    note: str = ""

    @property
    def relative_path(self) -> Path:
        """Where the file lies in a cache and on a mirror.

        Two publishers' names differ in nothing but capitals, which some file systems ignore;
        hence the folder.
        """
        return Path(self.layout) / self.file_name


@dataclass(frozen=True, kw_only=True)
class _Publisher:
    """What the files of one layout share."""

    layout: str
    folder: str
    """URL that the files lie below."""
    source: str
    licence: str = "Apache-2.0"
    suffix: str = ""
    """Of the entries' names."""
    note: str = ""


_MULTIGRID_COMMIT = "d63d8fe6210d2b38aa26d71b0062b569687d6be2"
_PYSLOWFAST = _Publisher(
    layout="pyslowfast",
    folder="https://dl.fbaipublicfiles.com/pyslowfast/x3d_models",
    source="https://github.com/facebookresearch/SlowFast/blob/"
    "287ec0076846560f44a9327e931a5a2360240533/MODEL_ZOO.md",
)
_PYTORCHVIDEO = _Publisher(
    layout="pytorchvideo",
    folder="https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics",
    source="https://github.com/facebookresearch/pytorchvideo/blob/"
    "f3142bb05cdb56af0704ab6f0adfb0c7bbafe4a0/docs/source/model_zoo.md",
    suffix="_pytorchvideo",
)
_EFFICIENT = _Publisher(
    layout="efficient_x3d",
    folder=_PYTORCHVIDEO.folder,
    source=_PYTORCHVIDEO.source,
    suffix="_efficient",
    note="PyTorchVideo's EfficientX3d for mobile processors, before its conversion",
)
_MMACTION2 = _Publisher(
    layout="mmaction2",
    folder="https://download.openmmlab.com/mmaction/v1.0/recognition/x3d/facebook",
    source="https://github.com/open-mmlab/mmaction2/blob/"
    "4d6c93474730cad2f25e51109adcf96824efc7a3/configs/recognition/x3d/README.md",
    suffix="_mmaction2",
    note="PySlowFast's weights under MMAction2's names, for pixels of 0 to 255",
)
_MULTIGRID = _Publisher(
    layout="x3d_multigrid",
    folder="https://raw.githubusercontent.com/kkahatapitiya/X3D-Multigrid/"
    f"{_MULTIGRID_COMMIT}/models",
    source=f"https://github.com/kkahatapitiya/X3D-Multigrid/blob/{_MULTIGRID_COMMIT}/README.md",
    licence="MIT",
    suffix="_multigrid",
)

_Size = tuple[tuple[int, int, int], int, int]
# Frames, stride and crop of a training clip; its multiply-adds; the model's parameters.
_KINETICS_SIZES: Mapping[str, _Size] = {
    "xs": ((4, 12, 160), 605_256_512, 3_794_322),
    "s": ((13, 6, 160), 1_962_892_112, 3_794_322),
    "m": ((16, 5, 224), 4_732_468_736, 3_794_322),
    "l": ((16, 5, 312), 18_367_710_176, 6_153_432),
}
_MULTIGRID_SIZE: _Size = ((8, 10, 224), 2_367_165_824, 3_794_322)
_CHARADES_SIZE: _Size = ((16, 10, 224), 4_731_971_072, 3_296_415)


def _entry(
    publisher: _Publisher,
    model: str,
    file_name: str,
    *scores: PublishedScore,
    dataset: str = "kinetics400",
    num_classes: int = 400,
    suffix: str | None = None,
    size: _Size | None = None,
    sha256: str | None = None,
    note: str | None = None,
) -> ZooEntry:
    clip, multiply_adds, parameters = size or _KINETICS_SIZES[model]
    if publisher.layout == "pytorchvideo":
        parameters -= 2 * 24  # one BatchNorm less, of 24 channels
    return ZooEntry(
        name=f"x3d_{model}_{dataset}{publisher.suffix if suffix is None else suffix}",
        url=f"{publisher.folder}/{file_name}",
        file_name=file_name,
        layout=publisher.layout,
        model=model,
        dataset=dataset,
        num_classes=num_classes,
        num_frames=clip[0],
        sampling_stride=clip[1],
        crop_size=clip[2],
        multiply_adds=multiply_adds,
        parameters=parameters,
        scores=scores,
        licence=publisher.licence,
        source=publisher.source,
        sha256=sha256,
        note=publisher.note if note is None else note,
    )


def _ten(top1: float, top5: float | None = None) -> PublishedScore:
    return PublishedScore(protocol="10 x 1 views", top1=top1, top5=top5)


def _thirty(top1: float, top5: float | None = None) -> PublishedScore:
    return PublishedScore(protocol="10 x 3 views", top1=top1, top5=top5)


_ENTRIES = (
    _entry(_PYSLOWFAST, "xs", "x3d_xs.pyth", _ten(68.7), _thirty(69.5)),
    _entry(_PYSLOWFAST, "s", "x3d_s.pyth", _ten(73.1), _thirty(73.5)),
    _entry(_PYSLOWFAST, "m", "x3d_m.pyth", _ten(75.1), _thirty(76.2)),
    _entry(_PYSLOWFAST, "l", "x3d_l.pyth", _ten(76.9), _thirty(77.5)),
    _entry(_PYTORCHVIDEO, "xs", "X3D_XS.pyth", _thirty(69.12, 88.63)),
    _entry(_PYTORCHVIDEO, "s", "X3D_S.pyth", _thirty(73.33, 91.27)),
    _entry(_PYTORCHVIDEO, "m", "X3D_M.pyth", _thirty(75.94, 92.72)),
    _entry(_PYTORCHVIDEO, "l", "X3D_L.pyth", _thirty(77.44, 93.31)),
    _entry(_EFFICIENT, "xs", "efficient_x3d_xs_original_form.pyth", _ten(68.5, 88.0)),
    _entry(_EFFICIENT, "s", "efficient_x3d_s_original_form.pyth", _ten(73.0, 90.6)),
    _entry(
        _MMACTION2,
        "s",
        "x3d_s_13x6x1_facebook-kinetics400-rgb_20201027-623825a0.pth",
        _ten(73.2),
        _thirty(73.3),
        sha256="623825a0",  # its tools/deployment/publish_model.py puts the digits into the name
    ),
    _entry(
        _MMACTION2,
        "m",
        "x3d_m_16x5x1_facebook-kinetics400-rgb_20201027-3f42382a.pth",
        _ten(75.2),
        _thirty(76.4),
        sha256="3f42382a",
    ),
    _entry(
        _MULTIGRID,
        "m",
        "x3d_multigrid_kinetics_fb_pretrained.pt",
        PublishedScore(protocol="3 views", top1=71.48),
        suffix="_multigrid_fair",
        note="PySlowFast's weights under X3D-Multigrid's names, tested on its own copy of the data",
    ),
    _entry(
        _MULTIGRID,
        "m",
        "x3d_multigrid_kinetics_rgb_sgd_204000.pt",
        PublishedScore(protocol="3 views", top1=62.62),
        size=_MULTIGRID_SIZE,
        note="trained from scratch in a short multigrid schedule",
    ),
    _entry(
        _MULTIGRID,
        "m",
        "x3d_charades_rgb_sgd_024000.pt",
        PublishedScore(protocol="10 x 1 views", mean_ap=35.01),
        dataset="charades",
        num_classes=157,
        size=_CHARADES_SIZE,
        note="fine-tuned to several labels a video: its scores are meant for a sigmoid",
    ),
    _entry(
        _MULTIGRID,
        "m",
        "x3d_charades_loc_rgb_sgd_024000.pt",
        PublishedScore(protocol="each frame", mean_ap=17.71),
        dataset="charades",
        num_classes=157,
        suffix="_localization_multigrid",
        size=_CHARADES_SIZE,
        note="fine-tuned to labels of each frame: its head is applied at every frame of the clip",
    ),
)
ZOO: Mapping[str, ZooEntry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
"""Every public file that is known, by name."""


def zoo_entry(name: str) -> ZooEntry:
    """Return a file of the zoo.

    Raises:
        CheckpointError: there is none of that name.
    """
    entry = ZOO.get(name)
    if entry is None:
        raise CheckpointError(
            f"weights {name!r}: no file, and no name of the zoo{did_you_mean(name, ZOO)}; "
            f"known are {', '.join(ZOO)}."
        )
    return entry
