"""What an X3D costs: multiply-adds of one clip, and parameters. Exact integers.

Counted on the modules themselves, run on PyTorch's meta device: no memory, no time.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from x3d_det.models.x3d import X3D, X3DClassifier, X3DSpec


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """Cost of one model on one clip.

    Attributes:
        multiply_adds: of all convolutions and linear layers, squeeze-and-excitation's
            among them; one multiplication with its addition counts as 1. Papers print
            this as "FLOPs". BatchNorm, activations and sums are left out.
        parameters: all trainable numbers.
        parameters_without_batch_norm: the same less BatchNorm's; the X3D paper prints
            this one (3.76 M for M, where `parameters` is 3.79 M).
    """

    multiply_adds: int
    parameters: int
    parameters_without_batch_norm: int


def classifier_complexity(
    spec: X3DSpec,
    *,
    num_classes: int = 400,
    size_px: int | None = None,
    shortcut_norm_when_same_width: bool = True,
) -> Complexity:
    """Return the cost of the Kinetics classifier on one clip of `spec.num_frames` frames.

    Args:
        spec: the network.
        num_classes: classes; Kinetics has 400 or 600.
        size_px: height and width of the clip; by default the training crop. A larger
            one is pooled whole, as the published counts for test crops have it.
        shortcut_norm_when_same_width: see `X3D`.
    """
    side = spec.crop_size if size_px is None else size_px
    with torch.device("meta"):
        model = X3DClassifier(
            X3D(spec, shortcut_norm_when_same_width=shortcut_norm_when_same_width),
            num_classes=num_classes,
        )
        cells = -(-side // model.backbone.feature_stride)
        model.head.pool_size = (spec.num_frames, cells, cells)
        clip_BCTHW = torch.empty(1, 3, spec.num_frames, side, side)
    return Complexity(
        multiply_adds=count_multiply_adds(model, clip_BCTHW),
        parameters=count_parameters(model),
        parameters_without_batch_norm=count_parameters(model, with_batch_norm=False),
    )


def backbone_multiply_adds(
    spec: X3DSpec, *, height_px: int, width_px: int, feature_stride: int = 32
) -> int:
    """Return the multiply-adds of stem to res5 on one clip of `spec.num_frames` frames.

    Args:
        spec: the network.
        height_px, width_px: size of the clip.
        feature_stride: see `X3D`.
    """
    with torch.device("meta"):
        backbone = X3D(spec, feature_stride=feature_stride)
        clip_BCTHW = torch.empty(1, 3, spec.num_frames, height_px, width_px)
    return count_multiply_adds(backbone, clip_BCTHW)


def count_parameters(model: nn.Module, *, with_batch_norm: bool = True) -> int:
    """Return the number of parameters, with or without those of BatchNorm layers."""
    return sum(
        parameter.numel()
        for layer in model.modules()
        if with_batch_norm or not isinstance(layer, nn.BatchNorm3d)
        for parameter in layer.parameters(recurse=False)
    )


def count_multiply_adds(model: nn.Module, *inputs: Any) -> int:
    """Return the multiply-adds of the Conv3d and Linear layers in one run of the model.

    Args:
        model: left in the mode it is in; on any device, the meta device being free.
        inputs: what the model is called with.
    """
    counts: list[int] = []

    def note(layer: nn.Module, _: tuple[Any, ...], output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        counts.append(output.numel() * (weight.numel() // weight.shape[0]))

    with _hooked(model, note), torch.no_grad():
        model(*inputs)
    return sum(counts)


def count_activations(model: nn.Module, *inputs: Any) -> int:
    """Return how many numbers the Conv3d and Linear layers put out in one run of the model.

    Args:
        model: left in the mode it is in; on any device, the meta device being free.
        inputs: what the model is called with.

    Source: Designing Network Design Spaces, arXiv:2003.13678, Sec. 3.3, which counts the
    convolutions' outputs; we count those of the linear layers too.
    """
    counts: list[int] = []
    with _hooked(model, lambda _, __, output: counts.append(output.numel())), torch.no_grad():
        model(*inputs)
    return sum(counts)


@contextmanager
def _hooked(
    model: nn.Module, note: Callable[[nn.Module, tuple[Any, ...], Tensor], None]
) -> Iterator[None]:
    handles = [
        layer.register_forward_hook(note)
        for layer in model.modules()
        if isinstance(layer, nn.Conv3d | nn.Linear)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
