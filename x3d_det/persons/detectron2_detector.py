"""Persons by Detectron2's Faster R-CNNs, imported on use alone: class 0 of 80, or of 1.

Only its configs, models and checkpoint conversion are used. They work without its compiled part
(`_C`), and without `model_zoo`, which needs a `pkg_resources` that setuptools 82 has dropped.
Files are read by our own readers, because Detectron2 unpickles without limits.
"""

import hashlib
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from x3d_det.errors import CheckpointError, ConfigError, X3DDetError
from x3d_det.persons.batches import detect_by_size, torch_device
from x3d_det.persons.detectron2_models import (
    DEFAULT_DETECTRON2_MODEL,
    DETECTRON2_MODELS,
    detectron2_config,
    import_detectron2,
    published_detectron2_weights,
)
from x3d_det.persons.options import PersonDetectorOptions
from x3d_det.persons.weights import (
    WeightsFile,
    check_finite,
    check_fit,
    fetched_weights,
    local_weights,
    read_weights,
)

_PERSON_CLASS = 0
# Of other heads, and of the ImageNet classifier that a training started from: no box needs them.
# Detectron 1 keeps such blobs of earlier models in its files ("preserved", its utils/net.py).
_IDLE_WEIGHTS = re.compile(r"((roi_heads\.)?(keypoint|mask)_head|linear|fc1000)\.")

_logger = logging.getLogger(__name__)


class Detectron2PersonDetector:
    """A `PersonDetector`: boxes as Detectron2's DefaultPredictor gives them, persons alone.

    Args:
        options: which model, weights and size; `backend` is not looked at.

    Raises:
        X3DDetError: Detectron2 is missing or does not import; says how to install it.
        ConfigError: an unknown or unfit model or config, or a person class that it has not.
        CheckpointError: weights that are damaged, unsafe, or of another model.
        DownloadError: published weights that cannot be had.
    """

    settings: Mapping[str, str | int | float | None]

    def __init__(self, options: PersonDetectorOptions) -> None:
        name = options.model or DEFAULT_DETECTRON2_MODEL
        package = import_detectron2("detectron2")
        warnings.filterwarnings("ignore", message=r"torch\.meshgrid: in an upcoming release")
        self._device = torch_device(options.device)
        cfg = detectron2_config(name, package)
        self._short_side, self._max_side = options.sides(
            cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST
        )
        self._person_class = _PERSON_CLASS if options.person_class is None else options.person_class
        if self._person_class >= cfg.MODEL.ROI_HEADS.NUM_CLASSES:
            raise ConfigError(
                f"person_class is {self._person_class}; model {name} has the classes 0 to "
                f"{cfg.MODEL.ROI_HEADS.NUM_CLASSES - 1}."
            )
        digest = hashlib.sha256(cfg.dump().encode()).hexdigest()
        file = _weights_file(name, options)
        cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = options.min_score
        cfg.MODEL.DEVICE = str(self._device)
        self._is_rgb = cfg.INPUT.FORMAT == "RGB"
        self._model = _build(cfg, name)
        _fill(self._model, file.path, name=name, num_classes=cfg.MODEL.ROI_HEADS.NUM_CLASSES)
        self.settings = {
            "backend": "detectron2",
            "model": Path(name).name,
            "config_sha256": digest,
            "weights_sha256": file.sha256,
            "person_class": self._person_class,
            "short_side": self._short_side,
            "max_side": self._max_side,
            "min_score": options.min_score,
            "detectron2": package.__version__,
            "torchvision": torchvision.__version__,  # its RoIAlign and NMS
        }
        _logger.info("persons by Detectron2's %s on %s, weights %s", name, self._device, file.path)

    def detect(self, frames_HWC: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the persons of each frame; see `PersonDetector.detect`."""
        return detect_by_size(frames_HWC, self._found)

    def _found(self, frames_HWC: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        outputs = self._model([self._input(frame) for frame in frames_HWC])
        instances = [output["instances"].to("cpu") for output in outputs]
        persons = [found[found.pred_classes == self._person_class] for found in instances]
        return [(own.pred_boxes.tensor.numpy(), own.scores.numpy()) for own in persons]

    def _input(self, frame_HWC: np.ndarray) -> dict[str, Any]:
        """Return the frame as Detectron2 wants it: resized by PIL as uint8, channels by config."""
        height_px, width_px = frame_HWC.shape[:2]
        height, width = scaled_size(
            height_px, width_px, short_side=self._short_side, max_side=self._max_side
        )
        resized = Image.fromarray(frame_HWC).resize((width, height), Image.Resampling.BILINEAR)
        channels = np.array(resized) if self._is_rgb else np.array(resized)[:, :, ::-1].copy()
        image_CHW = torch.from_numpy(channels).to(self._device).permute(2, 0, 1)
        return {"image": image_CHW.to(torch.float32), "height": height_px, "width": width_px}


def scaled_size(
    height_px: int, width_px: int, *, short_side: int, max_side: int
) -> tuple[int, int]:
    """Return (height, width) in pixels with the short side as asked, unless the long one forbids.

    Source: Detectron2's ResizeShortestEdge; the same operations in the same order, because a
    size that is rounded otherwise moves every box.
    """
    scale = short_side / min(height_px, width_px)
    height: float = short_side if height_px < width_px else scale * height_px
    width: float = scale * width_px if height_px < width_px else short_side
    if max(height, width) > max_side:
        scale = max_side / max(height, width)
        height, width = height * scale, width * scale
    return int(height + 0.5), int(width + 0.5)


def _weights_file(name: str, options: PersonDetectorOptions) -> WeightsFile:
    if options.weights is not None:
        return local_weights(options.weights, sha256=options.weights_sha256)
    if name not in DETECTRON2_MODELS:
        raise ConfigError(f"model {name} is your own config; name its weights with --weights.")
    return fetched_weights(published_detectron2_weights(name), sha256=options.weights_sha256)


def _build(cfg: Any, name: str) -> nn.Module:
    try:
        model: nn.Module = import_detectron2("detectron2.modeling").build_model(cfg)
    except (ImportError, KeyError, ValueError, AssertionError, AttributeError) as error:
        if isinstance(error, X3DDetError):
            raise
        raise ConfigError(
            f"model {name} cannot be built: {' '.join(str(error).split())}"
        ) from error
    return model.eval()


def _fill(model: nn.Module, path: Path, *, name: str, num_classes: int) -> None:
    """Load a file's weights into the model by Detectron2's conversion; refuse what does not fit."""
    checkpoint = _checkpoint(path)
    state = checkpoint["model"]
    check_finite(path, state)
    _check_classes(path, state, name=name, num_classes=num_classes)
    converter = import_detectron2("detectron2.checkpoint").DetectionCheckpointer(model)
    try:
        result = converter._load_model(checkpoint)  # load() would read the file, without limits
    except (ValueError, RuntimeError, AssertionError) as error:
        raise CheckpointError(
            f"weights {path} do not fit model {name}: {' '.join(str(error).split())}"
        ) from error
    idle = [key for key in result.unexpected_keys if _IDLE_WEIGHTS.match(key)]
    if idle:
        _logger.info("weights %s: %d of heads other than the boxes' left out", path, len(idle))
    check_fit(
        path,
        name,
        names=model.state_dict(),
        missing=result.missing_keys,
        unexpected=set(result.unexpected_keys).difference(idle),
        wrong_shape={key: (found, wanted) for key, found, wanted in result.incorrect_shapes},
    )


def _checkpoint(path: Path) -> dict[str, Any]:
    """Return a file in the form that Detectron2 converts from.

    There are three: a model-zoo pickle (`model` and `__author__`), a Detectron-1 pickle (`blobs`,
    momenta among them), and torch's own (`model`, or the weights themselves).
    """
    content = read_weights(path)
    is_pickle = path.suffix.lower() == ".pkl"
    if is_pickle and not ("model" in content and "__author__" in content):
        blobs = _tensors(path, content.get("blobs", content))
        state = {key: blob for key, blob in blobs.items() if not key.endswith("_momentum")}
        return {"model": state, "__author__": "Caffe2", "matching_heuristics": True}
    return {
        "model": _tensors(path, content.get("model", content)),
        "__author__": content.get("__author__"),
        "matching_heuristics": content.get("matching_heuristics", False),
    }


def _tensors(path: Path, values: Any) -> dict[str, Tensor]:
    """Return arrays as tensors in place, so that a dict's own notes (`_metadata`) stay."""
    if not isinstance(values, dict) or not values:
        raise CheckpointError(f"weights {path}: hold no names with arrays.")
    for key, value in values.items():
        if isinstance(value, np.ndarray):
            values[key] = torch.from_numpy(np.require(value, requirements=["C", "W"]))
        elif not isinstance(value, Tensor):
            raise CheckpointError(
                f"weights {path}: {key} is a {type(value).__name__}; it must be an array."
            )
    return values


def _check_classes(path: Path, state: Mapping[str, Tensor], *, name: str, num_classes: int) -> None:
    """Say it in words where the file knows other classes than the model."""
    for key, tensor in state.items():
        if not re.fullmatch(r"cls_score_w|(.*\.)?cls_score\.weight", key):
            continue
        found = len(tensor) - 1
        if found == num_classes:
            continue
        advice = f"use a config with MODEL.ROI_HEADS.NUM_CLASSES: {found}"
        if found == 1:
            advice = f"use model X101-FPN-AVA for LFB's file tuned on AVA; for others {advice}"
        raise CheckpointError(
            f"weights {path} know {_classes(found)} and the background; model {name} has "
            f"{_classes(num_classes)}: {advice}."
        )


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count} classes"
