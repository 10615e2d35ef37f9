"""The X3D weights that others publish: where they lie, what they cost, what they scored.

`weights_path("x3d_m_kinetics400")` gives the file, downloaded at the first use. Nothing here
looks into a file; `x3d_det.checkpoints` reads every layout named here.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from x3d_det.errors import CheckpointError, did_you_mean
from x3d_det.io.download import DownloadError
from x3d_det.io.files import sha256_file
from x3d_det.io.published import PublishedFile, fetch_published
from x3d_det.progress import ProgressLine

CACHE_VARIABLE = "X3D_DET_WEIGHTS"
MIRROR_VARIABLE = "X3D_DET_WEIGHTS_MIRROR"

# torch.save's two formats: a zip archive, and, before torch 1.6, a row of pickles.
_BEGINNINGS = (b"PK\x03\x04", b"\x80\x02")

_FAIR = "https://dl.fbaipublicfiles.com"
_GITHUB = "https://github.com"
_PYSLOWFAST_SOURCE = (
    f"{_GITHUB}/facebookresearch/SlowFast/blob/287ec0076846560f44a9327e931a5a2360240533"
    "/MODEL_ZOO.md"
)
_PYTORCHVIDEO_SOURCE = (
    f"{_GITHUB}/facebookresearch/pytorchvideo/blob/f3142bb05cdb56af0704ab6f0adfb0c7bbafe4a0"
    "/docs/source/model_zoo.md"
)
_MMACTION2_SOURCE = (
    f"{_GITHUB}/open-mmlab/mmaction2/blob/4d6c93474730cad2f25e51109adcf96824efc7a3"
    "/configs/recognition/x3d/README.md"
)
_MULTIGRID_COMMIT = "d63d8fe6210d2b38aa26d71b0062b569687d6be2"
_MULTIGRID_SOURCE = f"{_GITHUB}/kkahatapitiya/X3D-Multigrid/blob/{_MULTIGRID_COMMIT}/README.md"
_MULTIGRID_FILES = (
    f"https://raw.githubusercontent.com/kkahatapitiya/X3D-Multigrid/{_MULTIGRID_COMMIT}/models"
)


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


def _pyslowfast(
    model: str, clip: tuple[int, int, int], cost: tuple[int, int], ten: float, thirty: float
) -> ZooEntry:
    return _entry(
        f"x3d_{model}_kinetics400",
        f"{_FAIR}/pyslowfast/x3d_models/x3d_{model}.pyth",
        "pyslowfast",
        model,
        clip,
        cost,
        scores=(
            PublishedScore(protocol="10 x 1 views", top1=ten),
            PublishedScore(protocol="10 x 3 views", top1=thirty),
        ),
        source=_PYSLOWFAST_SOURCE,
    )


def _pytorchvideo(
    model: str, clip: tuple[int, int, int], cost: tuple[int, int], top1: float, top5: float
) -> ZooEntry:
    return _entry(
        f"x3d_{model}_kinetics400_pytorchvideo",
        f"{_FAIR}/pytorchvideo/model_zoo/kinetics/X3D_{model.upper()}.pyth",
        "pytorchvideo",
        model,
        clip,
        cost,
        scores=(PublishedScore(protocol="10 x 3 views", top1=top1, top5=top5),),
        source=_PYTORCHVIDEO_SOURCE,
    )


def _efficient(
    model: str, clip: tuple[int, int, int], cost: tuple[int, int], top1: float, top5: float
) -> ZooEntry:
    return _entry(
        f"x3d_{model}_kinetics400_efficient",
        f"{_FAIR}/pytorchvideo/model_zoo/kinetics/efficient_x3d_{model}_original_form.pyth",
        "efficient_x3d",
        model,
        clip,
        cost,
        scores=(PublishedScore(protocol="10 x 1 views", top1=top1, top5=top5),),
        source=_PYTORCHVIDEO_SOURCE,
        note="PyTorchVideo's EfficientX3d for mobile processors, before its conversion",
    )


def _mmaction2(
    model: str, clip: tuple[int, int, int], cost: tuple[int, int], ten: float, thirty: float,
    sha256: str,
) -> ZooEntry:  # fmt: skip
    return _entry(
        f"x3d_{model}_kinetics400_mmaction2",
        "https://download.openmmlab.com/mmaction/v1.0/recognition/x3d/facebook/"
        f"x3d_{model}_{clip[0]}x{clip[1]}x1_facebook-kinetics400-rgb_20201027-{sha256}.pth",
        "mmaction2",
        model,
        clip,
        cost,
        scores=(
            PublishedScore(protocol="10 x 1 views", top1=ten),
            PublishedScore(protocol="10 x 3 views", top1=thirty),
        ),
        source=_MMACTION2_SOURCE,
        sha256=sha256,  # its tools/deployment/publish_model.py puts the digits into the name
        note="PySlowFast's weights under MMAction2's names, for pixels of 0 to 255",
    )


def _multigrid(
    name: str, file_name: str, clip: tuple[int, int, int], cost: tuple[int, int], *,
    score: PublishedScore, dataset: str = "kinetics400", num_classes: int = 400, note: str,
) -> ZooEntry:  # fmt: skip
    return _entry(
        name,
        f"{_MULTIGRID_FILES}/{file_name}",
        "x3d_multigrid",
        "m",
        clip,
        cost,
        scores=(score,),
        source=_MULTIGRID_SOURCE,
        licence="MIT",
        dataset=dataset,
        num_classes=num_classes,
        note=note,
    )


def _entry(
    name: str, url: str, layout: str, model: str, clip: tuple[int, int, int],
    cost: tuple[int, int], *, scores: tuple[PublishedScore, ...], source: str,
    licence: str = "Apache-2.0", dataset: str = "kinetics400", num_classes: int = 400,
    sha256: str | None = None, note: str = "",
) -> ZooEntry:  # fmt: skip
    return ZooEntry(
        name=name,
        url=url,
        file_name=url.rpartition("/")[2],
        layout=layout,
        model=model,
        dataset=dataset,
        num_classes=num_classes,
        num_frames=clip[0],
        sampling_stride=clip[1],
        crop_size=clip[2],
        multiply_adds=cost[0],
        parameters=cost[1],
        scores=scores,
        licence=licence,
        source=source,
        sha256=sha256,
        note=note,
    )


# Frames, stride and crop of a training clip.
_XS, _S, _M, _L = (4, 12, 160), (13, 6, 160), (16, 5, 224), (16, 5, 312)
_MULTIGRID_CLIP, _CHARADES_CLIP = (8, 10, 224), (16, 10, 224)
# Multiply-adds and parameters; PyTorchVideo's layout has one BatchNorm less, of 24 channels.
_XS_COST, _S_COST = (605_256_512, 3_794_322), (1_962_892_112, 3_794_322)
_M_COST, _L_COST = (4_732_468_736, 3_794_322), (18_367_710_176, 6_153_432)
_XS_COST_PTV, _S_COST_PTV = (605_256_512, 3_794_274), (1_962_892_112, 3_794_274)
_M_COST_PTV, _L_COST_PTV = (4_732_468_736, 3_794_274), (18_367_710_176, 6_153_384)

_ENTRIES = (
    _pyslowfast("xs", _XS, _XS_COST, 68.7, 69.5),
    _pyslowfast("s", _S, _S_COST, 73.1, 73.5),
    _pyslowfast("m", _M, _M_COST, 75.1, 76.2),
    _pyslowfast("l", _L, _L_COST, 76.9, 77.5),
    _pytorchvideo("xs", _XS, _XS_COST_PTV, 69.12, 88.63),
    _pytorchvideo("s", _S, _S_COST_PTV, 73.33, 91.27),
    _pytorchvideo("m", _M, _M_COST_PTV, 75.94, 92.72),
    _pytorchvideo("l", _L, _L_COST_PTV, 77.44, 93.31),
    _efficient("xs", _XS, _XS_COST, 68.5, 88.0),
    _efficient("s", _S, _S_COST, 73.0, 90.6),
    _mmaction2("s", _S, _S_COST, 73.2, 73.3, "623825a0"),
    _mmaction2("m", _M, _M_COST, 75.2, 76.4, "3f42382a"),
    _multigrid(
        "x3d_m_kinetics400_multigrid_fair",
        "x3d_multigrid_kinetics_fb_pretrained.pt",
        _M,
        _M_COST,
        score=PublishedScore(protocol="3 views", top1=71.48),
        note="PySlowFast's weights under X3D-Multigrid's names, tested on its own copy of the data",
    ),
    _multigrid(
        "x3d_m_kinetics400_multigrid",
        "x3d_multigrid_kinetics_rgb_sgd_204000.pt",
        _MULTIGRID_CLIP,
        (2_367_165_824, 3_794_322),
        score=PublishedScore(protocol="3 views", top1=62.62),
        note="trained from scratch in a short multigrid schedule",
    ),
    _multigrid(
        "x3d_m_charades_multigrid",
        "x3d_charades_rgb_sgd_024000.pt",
        _CHARADES_CLIP,
        (4_731_971_072, 3_296_415),
        score=PublishedScore(protocol="10 x 1 views", mean_ap=35.01),
        dataset="charades",
        num_classes=157,
        note="fine-tuned to several labels a video: its scores are meant for a sigmoid",
    ),
    _multigrid(
        "x3d_m_charades_localization_multigrid",
        "x3d_charades_loc_rgb_sgd_024000.pt",
        _CHARADES_CLIP,
        (4_731_971_072, 3_296_415),
        score=PublishedScore(protocol="each frame", mean_ap=17.71),
        dataset="charades",
        num_classes=157,
        note="fine-tuned to labels of each frame: its head is applied at every frame of the clip",
    ),
)
ZOO: Mapping[str, ZooEntry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})


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


def default_cache() -> Path:
    """Return the folder that keeps downloads: $X3D_DET_WEIGHTS, or one in the user's cache."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "x3d_det" / "weights"


def weights_path(
    name_or_path: str | Path, *, cache: str | Path | None = None, mirror: str | None = None
) -> Path:
    """Return a file of weights on this machine; one of the zoo is downloaded where it is missing.

    A download goes on where an earlier one stopped, and is held to the publisher's SHA-256; where
    there is none, to the one found at the first use, recorded beside the file.

    Args:
        name_or_path: a name of `ZOO`; else the path of a file, given back as it is.
        cache: folder of the downloads; None: `default_cache()`.
        mirror: folder or URL that holds the zoo's files as a cache does, used in place of the
            publishers'; None: $X3D_DET_WEIGHTS_MIRROR where it is set.

    Raises:
        CheckpointError: neither a name of the zoo nor a file.
        DownloadError: the file cannot be had, or is another one than expected.
    """
    path = Path(name_or_path)
    if str(name_or_path) not in ZOO and _is_meant_as_path(path):
        if not path.is_file():
            found = "is a folder" if path.is_dir() else "does not exist"
            raise CheckpointError(
                f"weights {path}: {found}; give the path of a file of weights, or a name of the "
                f"zoo{did_you_mean(path.stem, ZOO)}."
            )
        return path
    entry = zoo_entry(str(name_or_path))
    mirror = mirror or os.environ.get(MIRROR_VARIABLE) or None
    url = entry.url if mirror is None else f"{mirror.rstrip('/')}/{entry.relative_path.as_posix()}"
    return fetch_entry(entry, cache=default_cache() if cache is None else Path(cache), url=url)


def take_copy(entry: ZooEntry, file: str | Path, *, cache: Path) -> Path:
    """Return a file of the zoo in a cache, copied from a file that the user has.

    Raises:
        CheckpointError: there is no such file.
        DownloadError: it is not the file that the publisher names, or that stands there already.
    """
    file = Path(file)
    if not file.is_file():
        raise CheckpointError(f"{file}: no such file; name a copy of {entry.url}.")
    path = fetch_entry(entry, cache=cache, url=str(file.resolve()))
    if sha256_file(path) != sha256_file(file):
        raise DownloadError(
            f"{path}: stands already, and is another file than {file}.",
            "Delete it, and its .sha256, to have it replaced.",
        )
    return path


def fetch_entry(entry: ZooEntry, *, cache: Path, url: str) -> Path:
    """Return a file of the zoo in a cache, brought from a URL or a local file where it is missing.

    Processes that want the same file take turns, so that all ranks of a run may ask for it.

    Raises:
        DownloadError: the file cannot be had, or is another one than expected.
    """
    place = PublishedFile(url=url, path=cache / entry.relative_path, sha256=entry.sha256)
    with _turn(place.path), ProgressLine(
        f"downloading {entry.name}", None, unit="MB", decimals=1
    ) as line:  # fmt: skip
        fetch_published(
            place,
            other_way=f"bring a copy of it with: download_weights.py {entry.name} --from FILE",
            progress=lambda done, total: line.update(
                done / 1e6, total=None if total is None else total / 1e6
            ),
            content="weights of torch.save",
            beginnings=_BEGINNINGS,
        )
    return place.path


def _is_meant_as_path(path: Path) -> bool:
    """Return whether a text that is no name of the zoo looks like a path, or is one."""
    return path.exists() or len(path.parts) != 1 or bool(re.fullmatch(r"\.[a-z]\w*", path.suffix))


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Wait until no other process is at work on `path`, and keep others waiting."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(lock, "w")  # noqa: SIM115 (closed below)
    except OSError:
        yield  # a cache that cannot be written to may still hold the file
        return
    with file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
