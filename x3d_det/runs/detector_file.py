"""What the file of a trained detector says of itself, and whether a config asks for the same."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from x3d_det.builders.ava import build_classes
from x3d_det.config.schema import ExperimentConfig
from x3d_det.dataset_tables import ActionClasses
from x3d_det.errors import CheckpointError

_MODEL_KEYS = {
    "model": (
        "name",
        "head",
        "feature_stride",
        "width_factor",
        "depth_factor",
        "bottleneck_factor",
        "roi_size",
    ),
    "clip": ("num_frames", "sampling_stride", "fps", "mean", "std"),
}


def export_metadata(config: ExperimentConfig, classes: ActionClasses) -> dict[str, str]:
    """Return what `model.safetensors` of a training says of itself."""
    return {
        "format": "x3d_det action detector",
        "config": json.dumps(config.model_dump(mode="json")),
        "classes": json.dumps(class_names(classes)),
        "output_ids": json.dumps(classes.output_ids),
        "labels": config.dataset.labels,
        "torch": str(torch.__version__),
    }


def class_names(classes: ActionClasses) -> dict[str, str]:
    """Return action id to name, both as text."""
    return {str(action_id): name for action_id, name in classes.label_map.names.items()}


def require_same_model(
    config: ExperimentConfig, checkpoint: Path, metadata: Mapping[str, str]
) -> None:
    """Refuse a checkpoint of another model or other classes before anything is built.

    Args:
        config: of the model asked for.
        checkpoint: for the message.
        metadata: of that file, as `export_metadata` makes it; an older one lacks some of it.

    Raises:
        CheckpointError: names the first setting, or the first action, that is another.
    """
    if "config" not in metadata:
        return
    trained: dict[str, Any] = json.loads(metadata["config"])
    wanted = config.model_dump(mode="json")
    differences = [
        (f"{section}.{key}", trained[section][key], wanted[section][key])
        for section, keys in _MODEL_KEYS.items()
        for key in keys
        if trained[section][key] != wanted[section][key]
    ]
    labels = metadata.get("labels", "multi")
    if labels != config.dataset.labels:
        differences.append(("dataset.labels", labels, config.dataset.labels))
    classes = build_classes(config)
    differences += _output_differences(trained["dataset"], metadata, config, classes)
    if differences:
        setting, found, asked = differences[0]
        raise CheckpointError(
            f"checkpoint {checkpoint} was trained with {setting} = {found}, the "
            f"config has {asked}; evaluate it with the config that it was trained with, "
            f"or --set {setting}={found}"
        )
    trained_classes = json.loads(metadata["classes"])
    for action_id, name in class_names(classes).items():
        other = trained_classes.get(action_id, name)
        if other != name:
            raise CheckpointError(
                f"checkpoint {checkpoint}: action id {action_id} is {other!r} there and {name!r} "
                f"in {config.dataset.label_map}; use the label map that it was trained with"
            )


def _output_differences(
    trained: Mapping[str, Any],
    metadata: Mapping[str, str],
    config: ExperimentConfig,
    classes: ActionClasses,
) -> list[tuple[str, Any, Any]]:
    """Return (setting, trained, asked) where the model's outputs stand for other actions."""
    if "output_ids" in metadata:
        trained_ids = tuple(json.loads(metadata["output_ids"]))
    else:
        trained_ids = tuple(range(1, trained["num_classes"] + 1))
    if trained_ids == classes.output_ids:
        return []
    if trained.get("classes") is None and config.dataset.classes is None:
        return [("dataset.num_classes", len(trained_ids), len(classes.output_ids))]
    asked = "null" if config.dataset.classes is None else list(classes.output_ids)
    if trained.get("classes") is None:
        return [("dataset.classes", "null", asked)]
    return [("dataset.classes", list(trained_ids), asked)]
