"""A checkpoint of any layout as our state dict and what is known about it.

Nothing of a file is executed: torch files are read as plain data after a look at their
pickle (`io.torch_zip`), safetensors files hold no code.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from x3d_det.checkpoints.convert import convert_state
from x3d_det.checkpoints.layouts import LAYOUT_TABLES, LIN5, PROJECTION
from x3d_det.checkpoints.network_shape import NetworkShape, shape_of
from x3d_det.errors import CheckpointError
from x3d_det.io.checkpoint import FORMAT
from x3d_det.io.files import sha256_file
from x3d_det.io.torch_zip import DEFAULT_MAX_BYTES, is_torch_file, load_torch_file
from x3d_det.io.weights import load_model, load_safetensors

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]

_WRAP_KEYS = ("model_state", "state_dict", "model_state_dict", "model")
_DATA_SECTION = re.compile(r"^DATA:(?: .*)?(?:\n .*)*$", re.MULTILINE)
_MAX_SECTION_CHARS = 4_000
_TORCH_SUFFIXES = (".pyth", ".pth", ".pt")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a file holds, in our names."""

    path: Path
    state: dict[str, Tensor]
    """Names of an `X3DClassifier` or `X3DDetector`, with BN on every shortcut convolution."""
    layout: str
    """One of `LAYOUTS`: how the file names them."""
    kind: str
    """"classifier", "detector", or "backbone" where there is no class layer."""
    spec_hint: NetworkShape
    """Widths and depths, read from the shapes; `.spec` is an `X3DSpec` that builds them."""
    num_classes: int | None
    """Outputs of the class layer; None where there is none."""
    class_names: tuple[str, ...] | None
    """Of each output, where the file says them."""
    normalisation: Normalisation
    """Mean and standard deviation of RGB in [0, 1] that the weights were trained for."""
    normalisation_stated: bool
    """Whether the file says so; else it is the layout's own."""
    sha256: str
    """Of the file."""
    unused: tuple[str, ...]
    """The file's names of tensors that X3D as we build it has no place for."""
    notes: tuple[str, ...]
    """What was changed beyond the names, in words."""
    metadata: Mapping[str, str]
    """The texts that our own files carry; of other files, none."""

    def text(self) -> str:
        """Return the checkpoint in words, one line."""
        classes = f", {self.num_classes} classes" if self.num_classes is not None else ""
        return f"{self.layout} {self.kind}{classes}, {self.spec_hint.text()}"

    def normalisation_text(self) -> str:
        """Return the normalisation in words, and whether it is only assumed."""
        mean, std = (", ".join(f"{value:.4g}" for value in row) for row in self.normalisation)
        origin = "" if self.normalisation_stated else f" ({self.layout}'s own; the file says none)"
        return f"mean {mean}, std {std} of RGB in [0, 1]{origin}"


def read_checkpoint(
    path: str | os.PathLike[str],
    *,
    layout: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Checkpoint:
    """Return what a checkpoint of any layout holds, in our names, on the CPU.

    Args:
        path: a torch file (zip or the format before torch 1.6) or a safetensors file;
            our own exports and training checkpoints too.
        layout: one of `LAYOUTS`; None recognises it.
        max_bytes: size of the largest file that is read.

    Raises:
        CheckpointError: missing, damaged, asking for code, of no known layout,
            incomplete, or with weights that are NaN or infinite.
    """
    content: dict[str, Any] = {}
    metadata: dict[str, str] = {}
    if is_torch_file(path) or Path(path).suffix in _TORCH_SUFFIXES:
        content = load_torch_file(path, max_bytes=max_bytes)
        if content.get("format") == FORMAT:
            state, metadata = load_model(path, max_bytes=max_bytes)
        else:
            state = _unwrapped(content, path)
    else:
        state, found, verified = load_safetensors(path, max_bytes=max_bytes)
        metadata = found if verified else {}
    stated = _stated_normalisation(content, metadata) or _pop_pixel_normalisation(state)
    converted = convert_state(state, layout=layout, source=str(path))
    kind = _kind(converted.state, metadata)
    projection = converted.state.get(f"{PROJECTION}.weight")
    num_classes = None if projection is None else projection.shape[0]
    table = LAYOUT_TABLES[converted.layout]
    return Checkpoint(
        path=Path(path),
        state=converted.state,
        layout=converted.layout,
        kind=kind,
        spec_hint=shape_of(converted.state, source=str(path)),
        num_classes=num_classes,
        class_names=_class_names(content, metadata, num_classes),
        normalisation=stated or (table.mean, table.std),
        normalisation_stated=stated is not None,
        sha256=sha256_file(path),
        unused=converted.unused,
        notes=converted.notes,
        metadata=metadata,
    )


def _unwrapped(content: dict[str, Any], path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the state dict in what a project saved."""
    wrapped = [
        content[key]
        for key in _WRAP_KEYS
        if isinstance(content.get(key), dict) and _tensors(content[key])
    ]
    state = _tensors(wrapped[0] if wrapped else content)
    if not state:
        keys = ", ".join(map(str, list(content)[:6])) or "nothing"
        raise CheckpointError(
            f"checkpoint {path} holds no state dict (its keys: {keys}); one must be at the top "
            f"or below {', '.join(_WRAP_KEYS)}."
        )
    return state


def _tensors(values: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {
        name: value
        for name, value in values.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _kind(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    if f"{PROJECTION}.weight" not in state:
        return "backbone"
    stated = metadata.get("format", "")
    # a classifier has lin5; a head without is one of those for boxes
    return "detector" if "detector" in stated or f"{LIN5}.weight" not in state else "classifier"


def _stated_normalisation(
    content: Mapping[str, Any], metadata: Mapping[str, str]
) -> Normalisation | None:
    """Return mean and standard deviation where our metadata or PySlowFast's config says them."""
    stated: list[Any] = [_parsed(metadata, "normalisation")]
    if isinstance(config := _parsed(metadata, "config"), dict):
        stated.append(config.get("clip"))
    section = _DATA_SECTION.search(str(content.get("cfg", "")))
    # the part alone, and no longer than it ever is: a text may be made to trip the reader
    if section and len(section[0]) <= _MAX_SECTION_CHARS:
        with contextlib.suppress(yaml.YAMLError, ValueError, RecursionError):
            config = yaml.safe_load(section[0])
            stated.append(config.get("DATA") if isinstance(config, dict) else None)
    for values in stated:
        if isinstance(values, dict):
            lower = {str(key).lower(): value for key, value in values.items()}
            mean, std = _triple(lower.get("mean")), _triple(lower.get("std"))
            if mean and std:
                return mean, std
    return None


def _pop_pixel_normalisation(state: dict[str, Tensor]) -> Normalisation | None:
    """Take MMAction2's normalisation, of pixels from 0 to 255, out of the state dict."""
    tensors = [state.pop(f"data_preprocessor.{part}", None) for part in ("mean", "std")]
    mean, std = (
        None if tensor is None else _triple((tensor.flatten() / 255).tolist()) for tensor in tensors
    )
    return (mean, std) if mean and std else None


def _class_names(
    content: Mapping[str, Any], metadata: Mapping[str, str], num_classes: int | None
) -> tuple[str, ...] | None:
    """Return the name of each output where the file says as many as there are outputs."""
    names = _parsed(metadata, "classes")
    if isinstance(names, dict):  # AVA's ids, not all of which need be outputs
        ids = _parsed(metadata, "output_ids") or range(1, len(names) + 1)
        names = [names.get(str(action_id)) for action_id in ids]
    meta = content.get("meta")
    if names is None and isinstance(meta, dict):  # MMAction2, before and since its version 1
        dataset = meta.get("dataset_meta")
        names = dataset.get("classes") if isinstance(dataset, dict) else meta.get("CLASSES")
    if not isinstance(names, list | tuple) or len(names) != num_classes:
        return None
    return tuple(names) if all(isinstance(name, str) for name in names) else None


def _parsed(metadata: Mapping[str, str], key: str) -> Any:
    """Return the value of a JSON text, None where there is none.

    Raises:
        CheckpointError: it is no JSON.
    """
    try:
        return json.loads(metadata.get(key, "null"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"the checkpoint's metadata {key!r} is no JSON ({error}); export it again."
        ) from None


def _triple(values: object) -> tuple[float, ...] | None:
    if not isinstance(values, list | tuple) or len(values) != 3:
        return None
    if not all(isinstance(value, int | float) for value in values):
        return None
    return tuple(float(value) for value in values)
