"""The smallest detector of torchvision with random weights that find persons."""

from pathlib import Path

import numpy as np
import torch
from detector_files import DETECTOR, coarse_frame
from torchvision.models import get_model

from x3d_det.persons.detector import PersonDetector, PersonDetectorOptions, make_person_detector

SIDES = {"short_side": 96, "max_side": 160}
State = dict[str, torch.Tensor]


def random_state(name: str = DETECTOR, *, num_classes: int = 91, seed: int = 0) -> State:
    """Return weights under which persons (class 1) and class 2 are found, everywhere."""
    torch.manual_seed(seed)
    model = get_model(name, weights=None, weights_backbone=None, num_classes=num_classes)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # takes this one batch's statistics, else the features die out
    with torch.no_grad():
        pictures = torch.stack([picture(coarse_frame(96, 160, seed)) for seed in (1, 2)])
        features = model.backbone((pictures - 0.5) / 0.25)
        for block in model.backbone.fpn.layer_blocks:
            block[0].weight /= features["0"].std()
        torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.1)
        model.roi_heads.box_predictor.cls_score.bias[1:3] += 4.0
    return model.state_dict()


def picture(frame: np.ndarray) -> torch.Tensor:
    """Return a frame as torchvision's models take it."""
    return torch.from_numpy(frame).permute(2, 0, 1).float() / 255


def torchvision_detector_of(weights: Path, **changes: object) -> PersonDetector:
    """Return our detector with these weights."""
    options = {"backend": "torchvision", "model": DETECTOR, "weights": weights, "device": "cpu"}
    return make_person_detector(PersonDetectorOptions(**{**options, **SIDES, **changes}))  # type: ignore[arg-type]


def own_call(state: State, frame: np.ndarray, *, name: str = DETECTOR) -> dict[str, np.ndarray]:
    """Return what torchvision's own call finds in a frame."""
    model = get_model(
        name,
        weights=None,
        weights_backbone=None,
        num_classes=len(state["roi_heads.box_predictor.cls_score.bias"]),
        min_size=SIDES["short_side"],
        max_size=SIDES["max_side"],
    )
    model.load_state_dict(state)
    with torch.no_grad():
        output = model.eval()([picture(frame)])[0]
    return {key: value.numpy() for key, value in output.items()}
