"""State dicts of other projects into our names and back, equal in what they compute.

Our state here is always a classifier's with a BN on every shortcut convolution. Where a
project has none, BN is folded away or put in as an identity; both are exact but for
rounding, for a network in evaluation mode.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from x3d_det.checkpoints.layouts import (
    LAYOUT_TABLES,
    LIN5,
    PROJECTION,
    Layout,
    backbone_names,
)
from x3d_det.checkpoints.network_shape import shape_of
from x3d_det.checkpoints.recognise import find_layout, layout_named, prefix_of
from x3d_det.errors import CheckpointError

BN_EPS = 1e-5
_SHORTCUT = "backbone.stages.res2.0."
_SPLIT = ".split_bn."


@dataclass(frozen=True)
class Converted:
    """A foreign state dict in our names."""

    state: dict[str, Tensor]
    layout: str
    unused: tuple[str, ...]
    """Their names of the tensors that X3D as we build it has no place for."""
    notes: tuple[str, ...]
    """What was changed beyond the names, in words."""


@dataclass(frozen=True)
class Exported:
    """Our state dict in a layout's names."""

    state: dict[str, Tensor]
    notes: tuple[str, ...]
    """What was changed beyond the names, in words."""


def convert_state(
    state: Mapping[str, Tensor], *, layout: str | None = None, source: str = "given"
) -> Converted:
    """Return a state dict of any layout in our names, float32 where it is floating.

    Args:
        state: names may have a common prefix ("module.", "model.").
        layout: one of `LAYOUTS`; None recognises it.
        source: names the file in messages.

    Raises:
        CheckpointError: another layout, two tensors of one name, a weight that is NaN or
            infinite, a missing stem or block.
    """
    table, prefix = _layout_and_prefix(state, layout, source)
    ours: dict[str, Tensor] = {}
    unused = []
    for name, tensor in state.items():
        our_name = table.our_name(name[len(prefix) :]) if name.startswith(prefix) else None
        if our_name is None or not isinstance(tensor, Tensor):
            unused.append(name)
            continue
        if our_name in ours:
            raise CheckpointError(f"checkpoint {source}: {name} is a second {our_name}.")
        ours[our_name] = _plain(our_name, tensor, source)
    notes = []
    if table.statistics:
        splits = {name: state[name] for name in unused if _SPLIT in name}
        unused = [name for name in unused if name not in splits]
        notes += _join_splits(ours, splits, table, prefix)
    notes += _complete(ours)
    _require_backbone(ours, source)
    return Converted(ours, table.name, tuple(unused), tuple(notes))


def export_state(state: Mapping[str, Tensor], *, layout: str) -> Exported:
    """Return our classifier's state dict in a layout's names, as their own code loads it.

    Args:
        state: in our names, with or without BN on res2's first shortcut.
        layout: one of `LAYOUTS`.

    Raises:
        CheckpointError: no such layout; a name that is not an `X3DClassifier`'s.
    """
    table = layout_named(layout)
    ours = dict(state)
    notes = []
    if table.same_width_shortcut_norm:
        notes += _complete(ours)
    elif fold_shortcut_norm(ours):
        notes.append(
            f"{layout} has no BN on res2's first shortcut: it is folded into the shortcut's "
            "convolution and its block's last BN (equal in evaluation mode)"
        )
    theirs = {}
    for name, tensor in ours.items():
        their_name = table.their_name(name)
        if their_name is None:
            raise CheckpointError(f"{name} is no tensor of an X3D classifier; {layout} has none.")
        if name == f"{LIN5}.weight" and not table.flat_lin5:
            tensor = tensor[:, :, None, None, None]
        theirs[their_name] = tensor.detach().clone().contiguous()
    if table.statistics:
        notes.append("the statistics of the batch's splits are those of the whole, for one split")
        theirs |= {
            name.replace(f".{table.statistics}.", _SPLIT): tensor.clone()
            for name, tensor in theirs.items()
            if f".{table.statistics}." in name
        }
    return Exported(theirs, tuple(notes))


def fold_shortcut_norm(state: dict[str, Tensor]) -> bool:
    """Take BN off res2's first shortcut in place; return whether there was one.

    Its scale goes into the shortcut's convolution. The convolution has no bias, so the
    shift goes to where it is added anyway: the last BN of the same block.
    """
    norm = f"{_SHORTCUT}shortcut_norm."
    if f"{norm}weight" not in state:
        return False
    mean, variance, weight, bias = (
        state.pop(norm + part).double()
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    state.pop(f"{norm}num_batches_tracked", None)
    scale = weight / (variance + BN_EPS).sqrt()
    for name, change in (
        (
            f"{_SHORTCUT}shortcut_conv.weight",
            lambda tensor: tensor * scale[:, None, None, None, None],
        ),
        (f"{_SHORTCUT}norm_c.bias", lambda tensor: tensor + bias - mean * scale),
    ):
        state[name] = change(state[name].double()).to(state[name].dtype)
    return True


def _layout_and_prefix(
    state: Mapping[str, Tensor], layout: str | None, source: str
) -> tuple[Layout, str]:
    if layout is None:
        return find_layout(state, source=source)
    table = layout_named(layout)
    prefix = prefix_of(state, table)
    if prefix is None:
        looks_like = [
            other.name for other in LAYOUT_TABLES.values() if prefix_of(state, other) is not None
        ]
        raise CheckpointError(
            f"checkpoint {source} is not of layout {layout}: it has no {table.mark}"
            + (f"; it looks like {looks_like[0]}." if looks_like else ".")
        )
    return table, prefix


def _plain(our_name: str, tensor: Tensor, source: str) -> Tensor:
    """Return the tensor as ours is: a matrix where ours is one, float32 where floating."""
    if our_name in (f"{LIN5}.weight", f"{PROJECTION}.weight") and tensor.ndim == 5:
        tensor = tensor.flatten(1) if tensor.shape[2:].numel() == 1 else tensor
    if tensor.is_floating_point():
        tensor = tensor.float()
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"checkpoint {source}: {our_name} has values that are NaN or infinite."
            )
    return tensor


def _join_splits(
    ours: dict[str, Tensor], splits: Mapping[str, Tensor], table: Layout, prefix: str
) -> list[str]:
    """Set the statistics of norms that were only ever kept by split of the batch.

    A model saved between two evaluations has older statistics of the whole than of the
    splits; they stay as they are, and only those never set are made from the splits.
    """
    num_joined = 0
    for name, mean in splits.items():
        if not name.endswith(f"{_SPLIT}running_mean"):
            continue
        whole = table.our_name(name[len(prefix) :].replace(_SPLIT, f".{table.statistics}."))
        variance_name = name.replace("running_mean", "running_var")
        if whole is None or whole not in ours or variance_name not in splits:
            continue
        whole_variance = whole.replace("running_mean", "running_var")
        fresh = not ours[whole].any() and bool((ours[whole_variance] == 1).all())
        num_channels = max(ours[whole].numel(), 1)
        if not fresh or mean.numel() % num_channels or not mean.any():
            continue
        mean_SC = mean.float().view(-1, num_channels)
        variance_SC = splits[variance_name].float().reshape(-1, num_channels)
        ours[whole] = mean_SC.mean(dim=0)
        ours[whole_variance] = variance_SC.mean(dim=0) + mean_SC.var(dim=0, correction=0)
        num_joined += 1
    notes = [f"statistics of the batch's splits: {len(splits)} tensors left out"] if splits else []
    if num_joined:
        notes.append(f"{num_joined} norms had statistics of the splits alone; they were joined")
    return notes


def _require_backbone(ours: Mapping[str, Tensor], source: str) -> None:
    """Raise unless every tensor from stem to res5 is there and every norm fits its convolution."""
    depths = shape_of(ours, source=source).stage_depths
    if missing := [name for name in backbone_names(depths) if name not in ours]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(
            f"checkpoint {source} is incomplete: it has no {missing[0]}{more} (in our names); "
            "download or export it again."
        )
    for name, tensor in ours.items():
        module, _, parameter = name.rpartition(".")
        conv = ours.get(f"{_normalised_conv(module)}.weight")
        if conv is None or parameter == "num_batches_tracked":
            continue
        if tensor.shape != conv.shape[:1] or conv.ndim != 5:
            raise CheckpointError(
                f"checkpoint {source}: {name} has shape {tuple(tensor.shape)} and its "
                f"convolution's weight {tuple(conv.shape)}; they must be (C,) and (C, ., ., ., .)."
            )


def _normalised_conv(norm: str) -> str | None:
    """Return the convolution that a norm of ours follows, None for another module."""
    if norm == "backbone.stem.norm":
        return "backbone.stem.conv_t"
    found = re.sub(r"\bnorm([_5])|_norm$", lambda m: f"conv{m[1]}" if m[1] else "_conv", norm)
    return None if found == norm else found


def _complete(ours: dict[str, Tensor]) -> list[str]:
    """Put in what a layout leaves out because it is known; return what, in words."""
    notes = []
    conv = ours.get(f"{_SHORTCUT}shortcut_conv.weight")
    norm = f"{_SHORTCUT}shortcut_norm."
    if conv is not None and conv.ndim == 5 and f"{norm}weight" not in ours:
        channels = conv.shape[0]
        ours[f"{norm}weight"] = torch.ones(channels)
        ours[f"{norm}bias"] = torch.zeros(channels)
        ours[f"{norm}running_mean"] = torch.zeros(channels)
        # so that BN divides by 1
        ours[f"{norm}running_var"] = torch.full((channels,), 1 - BN_EPS)
        notes.append(
            "res2's first shortcut has no BN there: ours begins as an identity (equal in "
            "evaluation mode; in training mode it normalises)"
        )
    counts = {re.sub(r"running_mean$", "num_batches_tracked", name) for name in ours}
    for name in counts - set(ours):
        if name.endswith("num_batches_tracked"):
            ours[name] = torch.tensor(0)
    return notes
