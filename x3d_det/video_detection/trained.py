"""A trained action detector, ready for inference: weights, clips and classes of one file.

Shape suffixes: B clips, C channels, T frames, H x W pixels, N boxes of a clip, K actions.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from x3d_det.builders.common import build_spec
from x3d_det.config.schema import ClipConfig, ModelConfig
from x3d_det.data.transforms import (
    Window,
    boxes_in_window,
    center_window,
    normalize,
    resize_window,
    to_unit_floats,
)
from x3d_det.engine.infer import Activation, score_keyframes
from x3d_det.errors import CheckpointError
from x3d_det.io.files import sha256_file
from x3d_det.io.weights import load_model, load_weights
from x3d_det.keyframes import clip_seconds
from x3d_det.models.detector import build_detector
from x3d_det.models.fused import FusedDetector, fuse_for_inference

_FORMAT = "x3d_det action detector"
_ACTIVATIONS: dict[str, Activation] = {"multi": "sigmoid", "single": "softmax"}
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class TrainedClasses:
    """The actions that have a name, and the model's output of each."""

    names: Mapping[int, str]
    """Action id to name, by rising id."""
    columns_K: tuple[int, ...]
    """Output of each of them, in the same order."""


@dataclass(frozen=True, kw_only=True)
class TrainedDetector:
    """What a checkpoint knows: a fused network on its device, its clips and its classes."""

    network: FusedDetector
    device: torch.device
    clip: ClipConfig
    classes: TrainedClasses
    activation: Activation
    short_side_px: int
    sha256: str
    """Of the checkpoint's file."""

    def clip_seconds(self, center_seconds: float) -> np.ndarray:
        """Return the seconds (T,) of the frames of a keyframe's clip."""
        if self.clip.still_keyframe:
            return np.full(self.clip.num_frames, center_seconds)
        return clip_seconds(
            center_seconds,
            num_frames=self.clip.num_frames,
            sampling_stride=self.clip.sampling_stride,
            fps=self.clip.fps,
        )

    def scaled(self, frame_HWC: np.ndarray) -> Tensor:
        """Return a frame as clips have it, uint8 (C, H, W); `data.EvalTransform`'s first step."""
        height, width = frame_HWC.shape[:2]
        return resize_window(frame_HWC[None], self._window(height, width))[0]

    def scores(
        self,
        clips: Sequence[tuple[float, Sequence[Tensor], np.ndarray]],
        *,
        name: str,
        height: int,
        width: int,
    ) -> list[np.ndarray]:
        """Return the scores of the named actions, float64 (N, K) for each clip.

        Args:
            clips: second, T scaled frames, boxes (N, 4) in fractions of the frame.
            name: of the video, for messages.
            height, width: of the full frame in pixels.

        Raises:
            DataError: a score is NaN.
        """
        if not clips:
            return []
        window = self._window(height, width)
        boxes_px = [
            boxes_in_window(boxes, window, height=height, width=width, min_visible=0.0)
            for _, _, boxes in clips
        ]
        batch = _Clips(
            clips_BCTHW=torch.stack([self._normalised(frames) for _, frames, _ in clips]),
            boxes_xyxy_px=[torch.from_numpy(px.astype(np.float32)) for px, _ in boxes_px],
            boxes_norm=[
                boxes[kept] for (_, _, boxes), (_, kept) in zip(clips, boxes_px, strict=True)
            ],
            person_scores=[np.ones(len(kept)) for _, kept in boxes_px],
            video_ids=[name] * len(clips),
            timestamps=[second for second, _, _ in clips],
            indices=range(len(clips)),
        )
        scored = score_keyframes(
            self.network, [batch], device=self.device, activation=self.activation
        )
        result = []
        for (_, _, boxes), (_, kept), item in zip(clips, boxes_px, scored, strict=True):
            assert len(kept) == len(boxes), "without a crop every box is kept"
            result.append(item.scores_NK[:, list(self.classes.columns_K)])
        return result

    def _window(self, height: int, width: int) -> Window:
        return center_window(height, width, self.short_side_px, None)

    def _normalised(self, frames: Sequence[Tensor]) -> Tensor:
        clip_CTHW = to_unit_floats(torch.stack(list(frames)))
        normalize(clip_CTHW, self.clip.mean, self.clip.std)
        return clip_CTHW


@dataclass(frozen=True, kw_only=True)
class _Clips:
    """What `engine.infer` reads of a batch."""

    clips_BCTHW: Tensor
    boxes_xyxy_px: Sequence[Tensor]
    boxes_norm: Sequence[np.ndarray]
    person_scores: Sequence[np.ndarray]
    video_ids: Sequence[str]
    timestamps: Sequence[float]
    indices: Sequence[int]


def load_trained(
    path: str | Path, *, device: torch.device, precision: str, short_side_px: int | None
) -> TrainedDetector:
    """Return the detector of a `model.safetensors` or training checkpoint of `train_ava`.

    Raises:
        CheckpointError: missing, damaged, or of something else than an action detector.
    """
    state, metadata = load_model(path)
    config, clip = _settings(path, metadata)
    output_ids, classes = _classes(path, metadata)
    model = build_detector(
        build_spec(config),
        num_actions=len(output_ids),
        head=config.head,
        feature_stride=config.feature_stride,
        roi_size=config.roi_size,
        dropout=config.dropout,
        zero_init_residual=config.zero_init_residual,
    )
    load_weights(model, state, strict=True, source=str(path))
    fused = fuse_for_inference(model.eval(), dtype=_DTYPES[precision])
    assert isinstance(fused, FusedDetector)
    return TrainedDetector(
        network=fused.to(device),
        device=device,
        clip=clip,
        classes=classes,
        activation=_ACTIVATIONS[metadata.get("labels", "multi")],
        short_side_px=short_side_px or clip.eval_short_side,
        sha256=sha256_file(path),
    )


def _settings(path: str | Path, metadata: Mapping[str, str]) -> tuple[ModelConfig, ClipConfig]:
    if metadata.get("format") != _FORMAT or "classes" not in metadata:
        found = metadata.get("format", "without a format")
        raise CheckpointError(
            f"checkpoint {path} is {found!r}; a video needs an {_FORMAT!r}: the model.safetensors "
            "that tools/train_ava.py writes."
        )
    try:
        trained: dict[str, Any] = json.loads(metadata["config"])
        # Settings of other versions beside these two do not matter here.
        model = ModelConfig.model_validate(_known(trained["model"], ModelConfig))
        clip = ClipConfig.model_validate(_known(trained["clip"], ClipConfig))
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"checkpoint {path}: its config cannot be read ({reason}); export it again with "
            "tools/train_ava.py."
        ) from error
    return model, clip


def _known(values: Mapping[str, Any], schema: type[BaseModel]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key in schema.model_fields}


def _classes(
    path: str | Path, metadata: Mapping[str, str]
) -> tuple[tuple[int, ...], TrainedClasses]:
    """Return the action id of every output, and the named ones."""
    names = {int(key): str(name) for key, name in json.loads(metadata["classes"]).items()}
    if "output_ids" in metadata:
        output_ids = tuple(json.loads(metadata["output_ids"]))
    else:
        output_ids = tuple(range(1, json.loads(metadata["config"])["dataset"]["num_classes"] + 1))
    unknown = sorted(set(names) - set(output_ids))
    if unknown or not names:
        what = f"no output for action id {unknown[0]}" if unknown else "no named action"
        raise CheckpointError(
            f"checkpoint {path} has {what}; export it again with tools/train_ava.py."
        )
    column_of = {action_id: column for column, action_id in enumerate(output_ids)}
    by_id = dict(sorted(names.items()))
    return output_ids, TrainedClasses(by_id, tuple(column_of[action_id] for action_id in by_id))
