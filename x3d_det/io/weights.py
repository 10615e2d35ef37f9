"""A model's weights for use: saved with what they mean, verified, and loaded by name.

`model.safetensors` holds the tensors and, as its metadata, a dict of texts: the
config, the label map, the versions, and the SHA-256 over all of it.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from x3d_det.errors import CheckpointError
from x3d_det.io.checkpoint import FORMAT, load_checkpoint
from x3d_det.io.files import atomic_write
from x3d_det.io.torch_zip import DEFAULT_MAX_BYTES, read_bytes

_HASH_KEY = "sha256"
_MAX_NAMES_SHOWN = 6


def save_model(
    path: str | os.PathLike[str], state_dict: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write weights as a safetensors file, whole or not at all.

    Args:
        path: usually `model.safetensors`.
        state_dict: what `nn.Module.state_dict()` returns; any device.
        metadata: text to text; `sha256` is added.

    Raises:
        X3DDetError: the disk is full or the folder cannot be written.
    """
    for key, value in metadata.items():
        if not isinstance(value, str) or key == _HASH_KEY:
            raise ValueError(f"metadata[{key!r}] is {value!r}; give texts, and none named sha256.")
    # clone: safetensors refuses tensors that share memory
    tensors = {
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in state_dict.items()
    }
    stamped = {**metadata, _HASH_KEY: _hash(tensors, metadata)}
    data = safetensors_bytes(tensors, metadata=dict(sorted(stamped.items())))
    with atomic_write(path, "wb") as file:
        file.write(data)


def load_model(
    path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return (state_dict, metadata) of `model.safetensors` or of a training checkpoint.

    Of a training checkpoint come the averaged weights where the run averages
    (EMA), else the plain ones, and the metadata that the run's export carries.

    Raises:
        CheckpointError: missing, damaged, unsafe, or of neither kind.
    """
    data = read_bytes(path, max_bytes=max_bytes)
    if data.startswith(b"PK") or Path(path).suffix == ".pt":
        state = load_checkpoint(path, max_bytes=max_bytes)
        if "model" not in state:
            raise CheckpointError(f"checkpoint {path} ({FORMAT}) holds no model.")
        averaged = state.get("ema")
        return (averaged["weights"] if averaged else state["model"]), dict(state["export_metadata"])
    tensors, metadata, verified = _parse(path, data)
    if not verified:
        raise CheckpointError(
            f"model {path} carries no sha256: it is damaged or was not written by x3d_det. "
            "Weights of other projects come in by tools/convert_checkpoint.py, or start a "
            "training by --set pretrained=FILE."
        )
    return tensors, metadata


def load_safetensors(
    path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES
) -> tuple[dict[str, Tensor], dict[str, str], bool]:
    """Return (tensors, metadata, verified) of a safetensors file, whoever wrote it.

    `verified` is whether the file carries the sha256 of ours, which was then checked.

    Raises:
        CheckpointError: missing or damaged.
    """
    return _parse(path, read_bytes(path, max_bytes=max_bytes))


def _parse(
    path: str | os.PathLike[str], data: bytes
) -> tuple[dict[str, Tensor], dict[str, str], bool]:
    if not data:
        raise CheckpointError(f"model {path} is empty (0 bytes); export or copy it again.")
    try:
        tensors = parse_safetensors(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"model {path} is damaged or no safetensors file ({len(data):,} bytes): {error}; "
            "export or copy it again."
        ) from error
    metadata = dict(header.get("__metadata__", {}))
    recorded = metadata.pop(_HASH_KEY, None)
    if recorded is not None and (found := _hash(tensors, metadata)) != recorded:
        raise CheckpointError(
            f"model {path} is damaged: the sha256 differs ({recorded[:12]}... is recorded, "
            f"{found[:12]}... found); export or copy it again."
        )
    return tensors, metadata, recorded is not None


@dataclass(frozen=True)
class WeightsReport:
    """Which of a model's weights a file filled; the names are of the state dict."""

    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    wrong_shape: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    """Name to (shape in the file, shape in the model)."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Name to why the file's tensor was not wanted."""
    notes: tuple[str, ...] = ()
    """What else there is to know, in words."""

    @property
    def complete(self) -> bool:
        """Whether file and model have the same names and shapes, and all was taken."""
        return not (self.missing or self.unexpected or self.wrong_shape or self.left_out)

    def text(self) -> str:
        """Return the report in words, one line."""
        parts = [f"{len(self.matched)} weights matched"]
        if self.missing:
            parts.append(f"{len(self.missing)} missing in the file ({_names(self.missing)})")
        if self.unexpected:
            parts.append(f"{len(self.unexpected)} unknown to the model ({_names(self.unexpected)})")
        if self.wrong_shape:
            shapes = [
                f"{name}: file {list(found)}, model {list(wanted)}"
                for name, (found, wanted) in self.wrong_shape.items()
            ]
            parts.append(f"{len(shapes)} of another shape ({_names(shapes)})")
        for reason in dict.fromkeys(self.left_out.values()):
            names = [name for name, why in self.left_out.items() if why == reason]
            parts.append(f"{len(names)} left out ({_names(names)}): {reason}")
        return "; ".join([*parts, *self.notes])


def load_weights(
    model: nn.Module, state_dict: Mapping[str, Tensor], *, strict: bool = True, source: str = ""
) -> WeightsReport:
    """Copy the tensors that fit by name and shape into `model`; report all others.

    Args:
        model: is changed in place; untouched where an error is raised.
        state_dict: from `load_model` or converted.
        strict: whether anything missing, unexpected or of another shape is an error.
        source: names the file in messages.

    Raises:
        CheckpointError: `strict` and not complete; nothing matched at all; a
            weight is NaN or infinite.
    """
    own = model.state_dict()
    fitting = {
        name: tensor
        for name, tensor in state_dict.items()
        if name in own and own[name].shape == tensor.shape
    }
    report = WeightsReport(
        matched=tuple(fitting),
        missing=tuple(name for name in own if name not in state_dict),
        unexpected=tuple(name for name in state_dict if name not in own),
        wrong_shape={
            name: (tuple(tensor.shape), tuple(own[name].shape))
            for name, tensor in state_dict.items()
            if name in own and name not in fitting
        },
    )
    where = f"weights of {source}" if source else "weights"
    if (strict and not report.complete) or (own and not fitting):
        raise CheckpointError(f"{where} do not fit the model: {report.text()}.")
    for name, tensor in fitting.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(f"{where}: {name} has values that are NaN or infinite.")
    model.load_state_dict(fitting, strict=False)
    return report


def _hash(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _names(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(list(names)[:_MAX_NAMES_SHOWN])
    return shown + (", ..." if len(names) > _MAX_NAMES_SHOWN else "")
