"""A checkpoint written in a layout: safetensors for ours, a torch file for the others."""

import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from x3d_det.checkpoints.convert import export_state
from x3d_det.checkpoints.read import Checkpoint
from x3d_det.checkpoints.recognise import layout_named
from x3d_det.errors import CheckpointError
from x3d_det.io.files import atomic_write
from x3d_det.io.weights import save_model

CLASSIFIER_FORMAT = "x3d_det classifier"
BACKBONE_FORMAT = "x3d_det backbone"
_TORCH_SUFFIXES = (".pyth", ".pth", ".pt")


def write_checkpoint(
    path: str | os.PathLike[str],
    checkpoint: Checkpoint,
    *,
    layout: str = "x3d_det",
    class_names: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Write a checkpoint in a layout, whole or not at all; return what was changed, in words.

    Ours carries what is known as metadata: widths and depths, classes, normalisation,
    and file, layout and sha256 that it came from.

    Args:
        path: `.safetensors` for ours; `.pyth`, `.pth` or `.pt` for the others.
        checkpoint: from `read_checkpoint`.
        layout: one of `LAYOUTS`.
        class_names: of each output, for ours; None keeps the file's own.

    Raises:
        CheckpointError: no such layout; a suffix of another; a detector in a layout that
            has none; not one name an output.
        X3DDetError: the disk is full or the folder cannot be written.
    """
    if problem := fault_of_target(path, layout):
        raise CheckpointError(problem)
    names = tuple(class_names) if class_names is not None else checkpoint.class_names
    if names is not None and len(names) != checkpoint.num_classes:
        raise CheckpointError(
            f"{len(names)} class names for checkpoint {checkpoint.path}, which has "
            f"{checkpoint.num_classes or 'no'} classes; give one name an output."
        )
    if layout == "x3d_det":
        save_model(path, checkpoint.state, _metadata(checkpoint, names))
        return ()
    if checkpoint.kind == "detector":
        raise CheckpointError(
            f"checkpoint {checkpoint.path} is an action detector; layout {layout} has "
            "classifiers alone. Write it as .safetensors."
        )
    exported = export_state(checkpoint.state, layout=layout)
    wrap_key = layout_named(layout).wrap_key
    buffer = io.BytesIO()
    torch.save({wrap_key: exported.state} if wrap_key else exported.state, buffer)
    with atomic_write(path, "wb") as file:
        file.write(buffer.getvalue())
    return exported.notes


def fault_of_target(path: str | os.PathLike[str], layout: str) -> str | None:
    """Return why a file of this name cannot hold this layout, or None where it can.

    Raises:
        CheckpointError: there is no such layout.
    """
    layout_named(layout)
    suffix = Path(path).suffix
    allowed = (".safetensors",) if layout == "x3d_det" else _TORCH_SUFFIXES
    if suffix in allowed:
        return None
    return (
        f"cannot write layout {layout} to {path}: its suffix is {suffix or 'missing'}; it must be "
        f"{' or '.join(allowed)}."
    )


def _metadata(checkpoint: Checkpoint, names: tuple[str, ...] | None) -> dict[str, str]:
    """Return the texts of our own file; those of a file that was ours already stay."""
    kind_format = {"classifier": CLASSIFIER_FORMAT, "backbone": BACKBONE_FORMAT}
    metadata = dict(checkpoint.metadata)
    metadata.setdefault("format", kind_format.get(checkpoint.kind, "x3d_det action detector"))
    shape = checkpoint.spec_hint
    spec = shape.spec
    mean, std = checkpoint.normalisation
    metadata["network"] = json.dumps(asdict(shape) | {"members": shape.members})
    if spec is not None:
        metadata["spec"] = json.dumps(asdict(spec))
    metadata["normalisation"] = json.dumps({"mean": mean, "std": std})
    if names is not None and checkpoint.kind != "detector":
        metadata["classes"] = json.dumps(names)
    metadata["source"] = json.dumps(
        {
            "file": checkpoint.path.name,
            "layout": checkpoint.layout,
            "sha256": checkpoint.sha256,
            "notes": checkpoint.notes,
        }
    )
    return metadata
