"""A small action detector with random weights, as `train_ava` exports it, and a person detector
that needs no weights.

Shape suffixes: H x W pixels, C channels.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from x3d_det.config.load import load_config
from x3d_det.io.weights import save_model
from x3d_det.models import build_detector

ACTIONS = {1: "wave", 2: "jump", 4: "sit"}
OUTPUT_IDS = (1, 2, 3, 4)
OVERRIDES = (
    "model.depth_factor=1.0",
    "model.width_factor=0.5",
    "model.head=fc",
    "model.feature_stride=16",
    "clip.num_frames=4",
    "clip.sampling_stride=6",
    "clip.eval_short_side=64",
    "clip.train_crop=64",
    "clip.train_short_side=[64,80]",
    "dataset.num_classes=4",
)


def detector_config(*overrides: str):
    """Return the config of the checkpoint: 4 frames, 0.2 s apart, of 64 pixels."""
    return load_config("x3d_xs_ava_mini.yaml", [*OVERRIDES, *overrides])


def save_action_checkpoint(path: Path, *overrides: str, **metadata: str) -> Path:
    """Write a checkpoint of random weights whose scores differ from box to box."""
    from x3d_det.builders.common import build_spec

    config = detector_config(*overrides)
    torch.manual_seed(3)
    model = build_detector(
        build_spec(config.model),
        num_actions=len(OUTPUT_IDS),
        head=config.model.head,
        feature_stride=config.model.feature_stride,
        roi_size=config.model.roi_size,
        zero_init_residual=False,
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("head") and name.endswith("weight"):
                parameter.mul_(30)
    save_model(
        path,
        model.state_dict(),
        {
            "format": "x3d_det action detector",
            "config": json.dumps(config.model_dump(mode="json")),
            "classes": json.dumps({str(key): name for key, name in ACTIONS.items()}),
            "output_ids": json.dumps(OUTPUT_IDS),
            "labels": config.dataset.labels,
            "torch": str(torch.__version__),
            **metadata,
        },
    )
    return path


class BrightPersons:
    """A `PersonDetector` whose boxes follow the picture: pickled by its module's name."""

    settings: Mapping[str, str | int | float | None] = {"backend": "bright"}

    def __init__(self) -> None:
        self.num_seen = 0

    def detect(self, frames_HWC: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return two sure persons at places that depend on the pixels, and an unsure one."""
        self.num_seen += len(frames_HWC)
        return [self._persons(frame) for frame in frames_HWC]

    def _persons(self, frame_HWC: np.ndarray) -> np.ndarray:
        height, width = frame_HWC.shape[:2]
        share = float(frame_HWC.astype(np.float64).mean()) / 255
        left = share * 0.4 * width
        return np.array(
            [
                [left, 0.1 * height, left + 0.3 * width, 0.9 * height, 0.95],
                [0.5 * width, 0.2 * height, width - left, 0.8 * height, 0.85],
                [0, 0, 0.2 * width, 0.5 * height, 0.7],
            ],
            np.float32,
        )


class NoPersons(BrightPersons):
    """Finds nobody."""

    def _persons(self, frame_HWC: np.ndarray) -> np.ndarray:
        return np.empty((0, 5), np.float32)


class BrokenPersons(BrightPersons):
    """Fails at the third frame."""

    def detect(self, frames_HWC: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return persons twice, then raise."""
        if self.num_seen == 2:
            raise ZeroDivisionError("the third frame")
        return super().detect(frames_HWC)
