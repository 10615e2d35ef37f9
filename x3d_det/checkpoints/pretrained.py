"""Weights of any checkpoint into one of our models: what fits, what not, and why."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from x3d_det.checkpoints.convert import fold_shortcut_norm
from x3d_det.checkpoints.layouts import LAYOUT_TABLES, PROJECTION
from x3d_det.checkpoints.network_shape import shape_of
from x3d_det.checkpoints.read import Checkpoint, Normalisation, read_checkpoint
from x3d_det.errors import CheckpointError
from x3d_det.io.weights import WeightsReport, load_weights
from x3d_det.models import X3DClassifier, X3DDetector

_SHORTCUT_NORM = "backbone.stages.res2.0.shortcut_norm.weight"


def load_pretrained(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    strict: bool = False,
    class_names: Sequence[str] | None = None,
) -> WeightsReport:
    """Fill `model` with the weights of a checkpoint that fit; the report says which, and why not.

    A classifier's weights fit into a detector and back, all but the class layer: its
    outputs stand for other things.

    Args:
        model: an `X3DClassifier` or `X3DDetector`; changed in place, untouched where an
            error is raised.
        path: of any layout in `LAYOUTS`, our exports and training checkpoints too.
        strict: whether a weight that is missing, unknown or left out is an error.
        class_names: of the model's outputs. Where the file names its own and they
            differ, the class layer is left out.

    Raises:
        CheckpointError: the file cannot be read (see `read_checkpoint`); it is of
            another width or depth; nothing fits; `strict` and not complete.
    """
    return fill_model(model, read_checkpoint(path), strict=strict, class_names=class_names)


def fill_model(
    model: nn.Module,
    checkpoint: Checkpoint,
    *,
    strict: bool = False,
    class_names: Sequence[str] | None = None,
) -> WeightsReport:
    """Do what `load_pretrained` does with a checkpoint that has been read."""
    if not isinstance(model, X3DClassifier | X3DDetector):
        raise TypeError(f"model is a {type(model).__name__}; give a classifier or a detector.")
    own = model.state_dict()
    found, wanted = checkpoint.spec_hint, shape_of(own, source="in memory")
    if found != wanted:
        raise CheckpointError(
            f"checkpoint {checkpoint.path} is {found.text()}; the model is {wanted.text()}. "
            "Take weights of the model's own size, or set the model's (model.name) to theirs."
        )
    state = dict(checkpoint.state)
    notes = list(checkpoint.notes)
    if _SHORTCUT_NORM not in own and fold_shortcut_norm(state):
        notes = [note for note in notes if "first shortcut" not in note]
    if _is_unusual(checkpoint.normalisation):
        notes.append(f"its clips were normalised by {checkpoint.normalisation_text()}")
    left_out = _left_out(model, checkpoint, state, class_names)
    if strict and (left_out or checkpoint.unused):
        report = WeightsReport(unexpected=checkpoint.unused, left_out=left_out)
        raise CheckpointError(
            f"checkpoint {checkpoint.path} does not fit the model: {report.text()}."
        )
    report = load_weights(
        model,
        {name: tensor for name, tensor in state.items() if name not in left_out},
        strict=strict,
        source=str(checkpoint.path),
    )
    return replace(
        report,
        missing=tuple(name for name in report.missing if name not in left_out),
        unexpected=report.unexpected + checkpoint.unused,
        left_out=left_out,
        notes=tuple(notes),
    )


def _is_unusual(normalisation: Normalisation) -> bool:
    """Return whether it is not the one that X3D was published with, and that our configs have."""
    usual = LAYOUT_TABLES["x3d_det"]
    pairs = zip(normalisation, (usual.mean, usual.std), strict=True)
    return any(
        abs(value - other) > 1e-3
        for row, others in pairs
        for value, other in zip(row, others, strict=True)
    )


def _left_out(
    model: X3DClassifier | X3DDetector,
    checkpoint: Checkpoint,
    state: Mapping[str, Tensor],
    class_names: Sequence[str] | None,
) -> dict[str, str]:
    """Return which of the file's tensors the model's head does not want, and why."""
    own = model.state_dict()
    left_out = {
        name: "the model's head has no such layer"
        for name in state
        if name.startswith("head.") and name not in own
    }
    if reason := _why_other_outputs(model, checkpoint, class_names):
        names = (f"{PROJECTION}.weight", f"{PROJECTION}.bias")
        left_out |= {name: reason for name in names if name in state}
    return left_out


def _why_other_outputs(
    model: X3DClassifier | X3DDetector, checkpoint: Checkpoint, class_names: Sequence[str] | None
) -> str | None:
    """Return why the file's class layer is not the model's, or None where it may be."""
    if checkpoint.num_classes is None:
        return None
    projection = model.head.projection
    if checkpoint.num_classes != projection.out_features:
        return (
            f"other classes, {checkpoint.num_classes} in the file and "
            f"{projection.out_features} in the model"
        )
    kind = "detector" if isinstance(model, X3DDetector) else "classifier"
    if checkpoint.kind != kind:
        return f"other outputs, a {checkpoint.kind}'s in the file and a {kind}'s in the model"
    there = checkpoint.class_names
    if class_names is not None and there is not None and tuple(class_names) != there:
        pairs = zip(there, class_names, strict=False)
        first = next((number for number, (a, b) in enumerate(pairs) if a != b), 0)
        return (
            f"other classes, output {first} is {there[first]!r} in the file and "
            f"{class_names[first]!r} in the model"
        )
    width = checkpoint.state[f"{PROJECTION}.weight"].shape[1:].numel()
    if width != projection.in_features:
        return f"another head, {width} features in the file and {projection.in_features} here"
    return None
