"""The smallest person detector of torchvision with weights that a test can make, and frames."""

from pathlib import Path

import numpy as np

DETECTOR = "fasterrcnn_mobilenet_v3_large_320_fpn"


def write_detector_weights(path: Path) -> Path:
    """Write weights that are random, but fond of persons."""
    import torch
    from torchvision.models import get_model

    torch.manual_seed(0)
    state = get_model(DETECTOR, weights=None, weights_backbone=None).state_dict()
    state["roi_heads.box_predictor.cls_score.bias"][1] = 4.0  # e^4 / (e^4 + 90): about 0.38
    torch.save(state, path)
    return path


def coarse_frame(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a frame of random squares of 8 pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    return coarse.astype(np.uint8).repeat(8, 0).repeat(8, 1)[:height, :width].copy()
