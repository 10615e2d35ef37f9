"""Detectron2 itself: whether it is there, its import on use alone, its models and configs."""

import importlib
import importlib.util
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse

from x3d_det.errors import ConfigError, X3DDetError, did_you_mean
from x3d_det.io.published import PublishedFile

_RECIPE = (
    "Install torch and torchvision first, then `pip install --no-build-isolation "
    "git+https://github.com/facebookresearch/detectron2`; or, as Faster R-CNN needs nothing "
    "compiled, put a clone of its source on PYTHONPATH and `pip install fvcore iopath omegaconf "
    "cloudpickle`. Or choose backend torchvision."
)


@dataclass(frozen=True, kw_only=True)
class Detectron2Model:
    """A published detector: its config among Detectron2's own, and its weights."""

    config: str
    url: str
    changes: tuple[tuple[str, Any], ...] = ()
    """Settings that differ from the config."""


DEFAULT_DETECTRON2_MODEL = "R50-FPN"
DETECTRON2_MODELS: Mapping[str, Detectron2Model] = {
    "R50-FPN": Detectron2Model(
        config="COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml",
        url="https://dl.fbaipublicfiles.com/detectron2/COCO-Detection/faster_rcnn_R_50_FPN_3x/"
        "137849458/model_final_280758.pkl",
    ),
    "X101-FPN": Detectron2Model(
        config="COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x.yaml",
        url="https://dl.fbaipublicfiles.com/detectron2/COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x/"
        "139173657/model_final_68b088.pkl",
    ),
    # The detector behind everybody's AVA boxes: COCO keypoints, then AVA's keyframes; 93.9 AP@50
    # on AVA val. Source: facebookresearch/video-long-term-feature-banks, GETTING_STARTED.md and
    # configs/detectron. A Detectron-1 file: its batch norms have the pixel deviation folded in,
    # the mean is Detectron 1's, boxes are pooled at corners (ROIAlign) with 2 x 2 samples.
    "X101-FPN-AVA": Detectron2Model(
        config="COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x.yaml",
        url="https://dl.fbaipublicfiles.com/video-long-term-feature-banks/67091280/"
        "e2e_keypoint_rcnn_X-101-32x8d-FPN_s1x_ava.yaml.13_26_25.49ooxNS5/output/train/ava_train/"
        "generalized_rcnn/model_final.pkl",
        changes=(
            ("MODEL.ROI_HEADS.NUM_CLASSES", 1),
            ("MODEL.PIXEL_MEAN", [102.9801, 115.9465, 122.7717]),
            ("MODEL.PIXEL_STD", [1.0, 1.0, 1.0]),
            ("MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIAlign"),
            ("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", 2),
        ),
    ),
}


def has_detectron2() -> bool:
    """Return whether a package of that name is there; an empty folder of that name is none."""
    spec = importlib.util.find_spec("detectron2")
    return spec is not None and spec.origin is not None


def published_detectron2_weights(name: str) -> PublishedFile:
    """Return where a model's weights are published, and the file that Detectron2 itself keeps."""
    url = DETECTRON2_MODELS[name].url
    cache = Path(os.environ.get("FVCORE_CACHE") or "~/.torch/iopath_cache").expanduser()
    return PublishedFile(url=url, path=cache / urlparse(url).path.lstrip("/"), sha256=None)


def import_detectron2(module: str) -> ModuleType:
    """Return a module of Detectron2 by its dotted name.

    Raises:
        X3DDetError: Detectron2 is missing or does not import; says how to install it.
    """
    if not has_detectron2():
        raise X3DDetError(f"Detectron2 is not installed, and is on no package index. {_RECIPE}")
    try:
        with warnings.catch_warnings():
            # Its own use of torch.jit.script, of which nobody here can do anything.
            warnings.simplefilter("ignore", category=FutureWarning)
            warnings.simplefilter("ignore", category=DeprecationWarning)
            return importlib.import_module(module)
    except ImportError as error:
        raise X3DDetError(
            f"Detectron2 is there, but {module} does not import: {error}. {_RECIPE}"
        ) from error


def detectron2_config(name: str, package: ModuleType) -> Any:
    """Return the config of a model, boxes alone, on no device and with no weights yet.

    Args:
        name: in DETECTRON2_MODELS, or the path of a YAML config.
        package: detectron2.

    Raises:
        ConfigError: there is no such model or config, or it finds no boxes.
    """
    known = DETECTRON2_MODELS.get(name)
    path = find_config(known.config if known else name, package)
    cfg = import_detectron2("detectron2.config").get_cfg()
    try:
        # Unsafe YAML, Detectron2's default, would let a config run code.
        cfg.merge_from_file(str(path), allow_unsafe=False)
    except Exception as error:  # yacs and YAML raise nearly any exception
        raise ConfigError(
            f"{path}: no config that Detectron2 takes: {' '.join(str(error).split())}"
        ) from error
    for key, value in known.changes if known else ():
        cfg.merge_from_list([key, value])
    if cfg.MODEL.META_ARCHITECTURE != "GeneralizedRCNN":
        raise ConfigError(
            f"{path}: MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}; persons are found "
            "by a GeneralizedRCNN (Faster, Mask or Keypoint R-CNN)."
        )
    cfg.MODEL.MASK_ON = cfg.MODEL.KEYPOINT_ON = False
    cfg.MODEL.WEIGHTS = cfg.MODEL.DEVICE = cfg.OUTPUT_DIR = ""
    return cfg


def find_config(config: str, package: ModuleType) -> Path:
    """Return the file of a config: as it stands, or among Detectron2's own.

    An installed Detectron2 has these within its model_zoo; a bare source tree beside the package.

    Raises:
        ConfigError: there is none.
    """
    assert package.__file__ is not None
    root = Path(package.__file__).parent
    places = [root / "model_zoo" / "configs", root.parent / "configs"]
    if not config.endswith((".yaml", ".yml")):
        raise ConfigError(
            f"model {config!r} is none of Detectron2's person detectors"
            f"{did_you_mean(config, DETECTRON2_MODELS)}; there are {', '.join(DETECTRON2_MODELS)}, "
            "or the path of a .yaml config."
        )
    for path in (Path(config), *(place / config for place in places)):
        if path.is_file():
            return path
    raise ConfigError(
        f"config {config} does not exist, nor lies it in {places[0]} or {places[1]}; name another "
        "with --model."
    )
