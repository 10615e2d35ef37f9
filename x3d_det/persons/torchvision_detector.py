"""Persons by torchvision's Faster R-CNNs: installed with torch, class 1 of 91 (0 is background)."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from x3d_det.errors import CheckpointError, ConfigError, did_you_mean
from x3d_det.io.published import PublishedFile
from x3d_det.persons.batches import detect_by_size, torch_device
from x3d_det.persons.options import PersonDetectorOptions
from x3d_det.persons.weights import (
    WeightsFile,
    check_finite,
    check_fit,
    fetched_weights,
    local_weights,
    read_weights,
)

_PERSON_CLASS = 1

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TorchvisionModel:
    """One of torchvision's detectors: the size it was made for."""

    short_side: int = 800
    max_side: int = 1333
    published_epsilon: float | None = None
    """Batch-norm epsilon that torchvision sets with its published weights alone."""


DEFAULT_TORCHVISION_MODEL = "fasterrcnn_resnet50_fpn_v2"
TORCHVISION_MODELS: Mapping[str, TorchvisionModel] = {
    "fasterrcnn_resnet50_fpn_v2": TorchvisionModel(),
    "fasterrcnn_resnet50_fpn": TorchvisionModel(published_epsilon=0.0),
    "fasterrcnn_mobilenet_v3_large_fpn": TorchvisionModel(),
    "fasterrcnn_mobilenet_v3_large_320_fpn": TorchvisionModel(short_side=320, max_side=640),
}


class TorchvisionPersonDetector:
    """A `PersonDetector`: boxes as torchvision's own call gives them, persons alone.

    Args:
        options: which model, weights and size; `backend` is not looked at.

    Raises:
        ConfigError: an unknown model, or a person class that it has not.
        CheckpointError: weights that are damaged, unsafe, or of another model.
        DownloadError: published weights that cannot be had.
    """

    settings: Mapping[str, str | int | float | None]

    def __init__(self, options: PersonDetectorOptions) -> None:
        name = options.model or DEFAULT_TORCHVISION_MODEL
        spec = _spec(name)
        self._device = torch_device(options.device)
        self._person_class = _PERSON_CLASS if options.person_class is None else options.person_class
        short_side, max_side = options.sides(spec.short_side, spec.max_side)
        file = _weights_file(name, options)
        state = _state_dict(file.path)
        num_classes = _num_classes(file.path, state)
        if not 0 < self._person_class < num_classes:
            raise ConfigError(
                f"person_class is {self._person_class}; weights {file.path} know the classes 1 to "
                f"{num_classes - 1}, and 0 for the background."
            )
        model = get_model(
            name,
            weights=None,
            weights_backbone=None,  # its default would be downloaded, and then written over
            num_classes=num_classes,
            min_size=short_side,
            max_size=max_side,
            box_score_thresh=options.min_score,
        )
        _fill(model, state, path=file.path, name=name)
        if spec.published_epsilon is not None and _is_published(name, file):
            _set_epsilon(model, spec.published_epsilon)
        self._model = model.to(self._device).eval()
        self.settings = {
            "backend": "torchvision",
            "model": name,
            "weights_sha256": file.sha256,
            "person_class": self._person_class,
            "short_side": short_side,
            "max_side": max_side,
            "min_score": options.min_score,
            "torchvision": torchvision.__version__,
        }
        _logger.info("persons by torchvision's %s on %s, weights %s", name, self._device, file.path)

    def detect(self, frames_HWC: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the persons of each frame; see `PersonDetector.detect`."""
        return detect_by_size(frames_HWC, self._found)

    def _found(self, frames_HWC: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        outputs = self._model([self._picture(frame) for frame in frames_HWC])
        persons = [output["labels"] == self._person_class for output in outputs]
        return [
            (output["boxes"][own].cpu().numpy(), output["scores"][own].cpu().numpy())
            for output, own in zip(outputs, persons, strict=True)
        ]

    def _picture(self, frame_HWC: np.ndarray) -> Tensor:
        """Return the frame as torchvision wants it: float32 (C, H, W) in [0, 1]."""
        # A copy, because torch warns of frames that are read-only.
        frame = torch.from_numpy(frame_HWC.copy()).to(self._device)
        return frame.permute(2, 0, 1).to(torch.float32).div(255)


def _spec(name: str) -> TorchvisionModel:
    spec = TORCHVISION_MODELS.get(name)
    if spec is None:
        raise ConfigError(
            f"model {name!r} is none of torchvision's person detectors"
            f"{did_you_mean(name, TORCHVISION_MODELS)}; there are {', '.join(TORCHVISION_MODELS)}."
        )
    return spec


def published_torchvision_weights(name: str) -> PublishedFile:
    """Return where torchvision publishes the weights of a model, and the file torch.hub keeps."""
    url = get_model_weights(name).DEFAULT.url
    file_name = url.rpartition("/")[2]
    digits = re.search(r"-([0-9a-f]{8,64})\.pth$", file_name)
    assert digits, f"torchvision's {file_name} carries no hash"
    return PublishedFile(
        url=url, path=Path(torch.hub.get_dir()) / "checkpoints" / file_name, sha256=digits[1]
    )


def _weights_file(name: str, options: PersonDetectorOptions) -> WeightsFile:
    if options.weights is not None:
        return local_weights(options.weights, sha256=options.weights_sha256)
    return fetched_weights(published_torchvision_weights(name), sha256=options.weights_sha256)


def _is_published(name: str, file: WeightsFile) -> bool:
    digits = published_torchvision_weights(name).sha256
    return digits is not None and file.sha256.startswith(digits)


def _state_dict(path: Path) -> dict[str, Tensor]:
    """Return the named weights of a file: its own, or those under `model` of a checkpoint."""
    content = read_weights(path)
    state = content.get("model", content)
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise CheckpointError(
            f"weights {path}: hold no names with tensors, neither at the top nor under 'model'."
        )
    check_finite(path, state)
    return state


def _num_classes(path: Path, state: Mapping[str, Tensor]) -> int:
    """Return the classes, background included, that the weights were trained for."""
    scores = state.get("roi_heads.box_predictor.cls_score.weight")
    if scores is None:
        raise CheckpointError(
            f"weights {path}: hold no roi_heads.box_predictor.cls_score.weight, so they are of no "
            "Faster R-CNN of torchvision; for Detectron2's files use backend detectron2."
        )
    return len(scores)


def _fill(model: nn.Module, state: Mapping[str, Tensor], *, path: Path, name: str) -> None:
    own = model.state_dict()
    wrong_shape = {
        key: (tuple(tensor.shape), tuple(own[key].shape))
        for key, tensor in state.items()
        if key in own and tensor.shape != own[key].shape
    }
    check_fit(path, name, names=own, missing=(), unexpected=(), wrong_shape=wrong_shape)
    try:
        # The model renames what older torchvisions called otherwise, so it must do the matching.
        result: Any = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        detail = " ".join(str(error).split())
        raise CheckpointError(f"weights {path} do not fit model {name}: {detail}") from error
    check_fit(
        path,
        name,
        names=own,
        missing=[key for key in result.missing_keys if not key.endswith("num_batches_tracked")],
        unexpected=result.unexpected_keys,
        wrong_shape={},
    )


def _set_epsilon(model: nn.Module, epsilon: float) -> None:
    """Do as torchvision does with these weights: they were trained by a batch norm without it."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = epsilon
