"""Checkpoints of a training run: saved whole, verified when read, the damaged ones named.

A run's folder holds `step_00001200.pt` files: everything that the run needs to go
on after optimiser step 1200 as though it had never stopped. `model.safetensors`,
the weights for use, is in `io.weights`.
"""

import logging
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from x3d_det.errors import CheckpointError
from x3d_det.io.files import atomic_write
from x3d_det.io.torch_zip import (
    DEFAULT_MAX_BYTES,
    fault_of_seal,
    parse_torch_bytes,
    read_bytes,
    sealed_bytes,
)

FORMAT = "x3d_det training checkpoint 1"

_logger = logging.getLogger(__name__)
_NAME = re.compile(r"step_(\d{8,})\.pt")


def checkpoint_path(folder: str | os.PathLike[str], step: int) -> Path:
    """Return where the checkpoint after `step` optimiser steps lies: `step_00001200.pt`."""
    return Path(folder) / f"step_{step:08d}.pt"


def checkpoint_steps(folder: str | os.PathLike[str]) -> list[int]:
    """Return the steps of the checkpoints in `folder`, ascending; not yet verified."""
    if not Path(folder).is_dir():
        return []
    matches = [_NAME.fullmatch(path.name) for path in Path(folder).iterdir()]
    return sorted(int(match[1]) for match in matches if match)


def save_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a training checkpoint in one step; a kill at any moment leaves the old file or the new.

    Args:
        path: `checkpoint_path(folder, step)`.
        state: tensors, numbers, text, lists and dicts; must have the int `step`.

    Raises:
        X3DDetError: the disk is full or the folder cannot be written.
    """
    if not isinstance(state.get("step"), int):
        raise ValueError(f"state['step'] is {state.get('step')!r}; a checkpoint needs its step.")
    data = sealed_bytes({"format": FORMAT, **state})
    with atomic_write(path, "wb") as file:
        file.write(data)


def load_checkpoint(
    path: str | os.PathLike[str], *, max_bytes: int = DEFAULT_MAX_BYTES
) -> dict[str, Any]:
    """Return the state in a training checkpoint, verified, on the CPU.

    Raises:
        CheckpointError: missing, empty, cut short, a bit flipped, no training
            checkpoint, or unsafe; names the checkpoint before it.
    """
    data = read_bytes(path, max_bytes=max_bytes)
    if fault := fault_of_seal(data):
        raise CheckpointError(f"checkpoint {path} is damaged: {fault}; {_way_on(Path(path))}.")
    state = parse_torch_bytes(path, data)
    if state.get("format") != FORMAT:
        raise CheckpointError(
            f"checkpoint {path} is of format {state.get('format')!r}; "
            f"this version reads {FORMAT!r}."
        )
    match = _NAME.fullmatch(Path(path).name)
    if match and int(match[1]) != state["step"]:
        raise CheckpointError(
            f"checkpoint {path} holds step {state['step']}, not the step of its name; "
            f"rename it to {checkpoint_path('', state['step'])}."
        )
    return state


def load_latest_checkpoint(folder: str | os.PathLike[str]) -> tuple[Path, dict[str, Any]] | None:
    """Return (path, state) of the highest step that verifies; None where there is no checkpoint.

    Damaged files on the way are named as warnings.

    Raises:
        CheckpointError: there are checkpoints and every one is damaged.
    """
    steps = checkpoint_steps(folder)
    for step in reversed(steps):
        path = checkpoint_path(folder, step)
        try:
            return path, load_checkpoint(path)
        except CheckpointError as error:
            _logger.warning("%s", error)
    if steps:
        raise CheckpointError(
            f"none of the {len(steps)} checkpoints in {folder} can be read (each is named above); "
            "start again in another output folder."
        )
    return None


def latest_checkpoint(folder: str | os.PathLike[str]) -> Path | None:
    """Return the path that `load_latest_checkpoint` would load."""
    found = load_latest_checkpoint(folder)
    return found[0] if found else None


def remove_old_checkpoints(
    folder: str | os.PathLike[str], *, keep_last: int, keep_steps: Collection[int] = ()
) -> list[Path]:
    """Remove all checkpoints but the last `keep_last` and `keep_steps`; return the removed."""
    if keep_last < 1:
        raise ValueError(f"keep_last is {keep_last}; at least one checkpoint must stay.")
    steps = checkpoint_steps(folder)
    removed = []
    for step in steps[:-keep_last]:
        if step not in keep_steps:
            path = checkpoint_path(folder, step)
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def _way_on(path: Path) -> str:
    """Return what to do about a damaged checkpoint."""
    match = _NAME.fullmatch(path.name)
    earlier = [
        step for step in checkpoint_steps(path.parent) if match is None or step < int(match[1])
    ]
    if earlier:
        name = checkpoint_path("", earlier[-1])
        return f"the one before it is {name}: resuming takes it"
    return "there is none before it: start again in another output folder"
