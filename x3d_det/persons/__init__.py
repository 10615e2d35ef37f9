"""Person boxes of keyframes, by a detector of the user's choice."""

from x3d_det.persons.detector import PersonDetector, PersonDetectorOptions, make_person_detector
from x3d_det.persons.detectron2_models import DETECTRON2_MODELS
from x3d_det.persons.torchvision_detector import TORCHVISION_MODELS

__all__ = [
    "DETECTRON2_MODELS",
    "TORCHVISION_MODELS",
    "PersonDetector",
    "PersonDetectorOptions",
    "make_person_detector",
]
