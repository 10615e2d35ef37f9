"""A Faster R-CNN of Detectron2 with a fraction of the channels and random weights.

The tests of this folder are skipped where Detectron2 is not importable. Its source tree on
PYTHONPATH is enough, with fvcore, iopath, omegaconf and cloudpickle.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from x3d_det.persons import detectron2_models
from x3d_det.persons.detector import PersonDetector, PersonDetectorOptions, make_person_detector
from x3d_det.persons.detectron2_models import DETECTRON2_MODELS

State = dict[str, torch.Tensor]
TINY = """
_BASE_: {base}
MODEL:
  RESNETS: {{STEM_OUT_CHANNELS: 8, RES2_OUT_CHANNELS: 16, WIDTH_PER_GROUP: 4}}
  FPN: {{OUT_CHANNELS: 16}}
  RPN: {{PRE_NMS_TOPK_TEST: 100, POST_NMS_TOPK_TEST: 60}}
  ROI_HEADS: {{NUM_CLASSES: {num_classes}}}
  ROI_BOX_HEAD: {{FC_DIM: 32}}
{more}
INPUT: {{MIN_SIZE_TEST: 96, MAX_SIZE_TEST: 160}}
"""


def write_config(path: Path, *, num_classes: int = 2, more: str = "") -> Path:
    """Write the config of the small detector."""
    found = imported_detectron2()
    base = detectron2_models.find_config(DETECTRON2_MODELS["R50-FPN"].config, found)
    path.write_text(TINY.format(base=base, num_classes=num_classes, more=more))
    return path


def imported_detectron2() -> Any:
    """Return the package."""
    return detectron2_models.import_detectron2("detectron2")


def cfg_of(config: Path) -> Any:
    """Return a config as Detectron2 reads it, for the CPU and without weights."""
    from detectron2.config import get_cfg

    cfg = get_cfg()
    cfg.merge_from_file(str(config))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.WEIGHTS = ""
    return cfg


def random_detectron2_state(config: Path, *, seed: int = 0) -> State:
    """Return weights of a lively detector; batch norms as in Detectron 1: mean 0, variance 1."""
    from detectron2.modeling import build_model

    torch.manual_seed(seed)
    state = {name: t.clone() for name, t in build_model(cfg_of(config)).state_dict().items()}
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.fill_(1.0)
        elif name.endswith(("norm.weight", "norm.bias")):
            tensor.uniform_(0.2, 0.6) if name.endswith("weight") else tensor.normal_(std=0.1)
        elif name.endswith(("cls_score.weight", "objectness_logits.weight")):
            tensor.normal_(std=0.3)
        elif name.endswith(("cls_score.bias",)):
            tensor.normal_(std=0.5)
    return state


def detectron2_detector_of(
    config: Path | str, weights: Path | None, **changes: object
) -> PersonDetector:
    """Return our detector with this config and these weights."""
    options = {"backend": "detectron2", "model": str(config), "weights": weights, "device": "cpu"}
    return make_person_detector(PersonDetectorOptions(**{**options, **changes}))  # type: ignore[arg-type]


def own_rows(cfg: Any, weights: Path, frame_RGB: np.ndarray, person_class: int = 0) -> np.ndarray:
    """Return the persons by Detectron2's DefaultPredictor, which takes BGR."""
    from detectron2.engine import DefaultPredictor

    cfg = copy.deepcopy(cfg)
    cfg.MODEL.WEIGHTS = str(weights)
    found = DefaultPredictor(cfg)(frame_RGB[:, :, ::-1])["instances"]
    found = found[found.pred_classes == person_class]
    return np.concatenate([found.pred_boxes.tensor.numpy(), found.scores.numpy()[:, None]], axis=1)
