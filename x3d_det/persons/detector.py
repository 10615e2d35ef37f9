"""Persons in frames: one interface, two back ends."""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from x3d_det.persons.detectron2_detector import Detectron2PersonDetector
from x3d_det.persons.detectron2_models import DETECTRON2_MODELS, has_detectron2
from x3d_det.persons.options import PersonDetectorOptions
from x3d_det.persons.torchvision_detector import TORCHVISION_MODELS, TorchvisionPersonDetector

__all__ = ["PersonDetector", "PersonDetectorOptions", "make_person_detector"]

_logger = logging.getLogger(__name__)


class PersonDetector(Protocol):
    """Something that finds persons in frames."""

    settings: Mapping[str, str | int | float | None]
    """All that changes the boxes, for JSON; a run that goes on compares it. The device is not
    among it: it changes their last digits alone."""

    def detect(self, frames_HWC: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the persons of each frame: float32 (N, 5) of x1, y1, x2, y2, score.

        Boxes are in the pixels of their frame and within it, by falling score; N may be 0. The
        boxes of a frame do not depend on the other frames.

        Args:
            frames_HWC: uint8 RGB; sizes may differ, and there may be none.

        Raises:
            ValueError: a frame that is not uint8 (H, W, 3).
        """
        ...


def make_person_detector(options: PersonDetectorOptions) -> PersonDetector:
    """Return the detector that the options ask for, with its weights loaded; logs which.

    `auto` is the back end that has a model of the name asked for; without a name, Detectron2
    where it is installed, else torchvision.

    Raises:
        X3DDetError: Detectron2 is asked for and not installed; says how to.
        ConfigError: an unknown model, or options that do not go together.
        CheckpointError: weights that are damaged, unsafe, or of another model.
        DownloadError: published weights that cannot be had.
    """
    if _backend(options) == "detectron2":
        return Detectron2PersonDetector(options)
    return TorchvisionPersonDetector(options)


def _backend(options: PersonDetectorOptions) -> str:
    if options.backend != "auto":
        return options.backend
    if options.model in TORCHVISION_MODELS:
        return "torchvision"
    if options.model in DETECTRON2_MODELS or (options.model or "").endswith((".yaml", ".yml")):
        return "detectron2"
    if has_detectron2():
        return "detectron2"
    _logger.info("Detectron2 is not installed; torchvision finds the persons")
    return "torchvision"
