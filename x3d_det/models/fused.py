"""Detectors and classifiers made ready for inference: same values, several times faster.

Shape suffixes in this file: B clips, C channels, T frames, H x W pixels or feature
cells, N boxes of the whole batch, K actions or classes, F = B T frames.

BatchNorm is folded into the convolution before it. The frames of all clips stand in
one channels-last batch, F x C x H x W, so that every 1x1x1 convolution is a 2-D one;
the depthwise convolution sees the same memory as B x C x T x H x W. All else works
in place.
"""

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from x3d_det.models.depthwise import (
    CHANNELS_LAST,
    as_clips,
    as_frames,
    as_rows,
    join_even_odd,
    split_even_odd,
)
from x3d_det.models.detector import X3DDetector
from x3d_det.models.layers import Bottleneck, SqueezeExcitation, Stem
from x3d_det.models.roi_head import ActionRoIHead, check_boxes
from x3d_det.models.x3d import X3D, ClassificationHead, X3DClassifier, check_clips

FUSED_DTYPES = (torch.float32, torch.bfloat16)


def fuse_for_inference(
    model: X3DDetector | X3DClassifier, *, dtype: torch.dtype = torch.float32
) -> "FusedDetector | FusedClassifier":
    """Return a copy of the model, for inference alone, called as the model is.

    The copy computes what the model does in evaluation mode. Later changes of the
    model's weights do not reach it.

    Args:
        model: a detector or a classifier, in any mode; left as it is.
        dtype: float32 (equal but for rounding), or bfloat16: the convolutions and
            what lies between them, about half a per cent of relative error, fast
            on processors with bfloat16 units. Pooling, RoIAlign and the linear
            layers stay in float32, and so does the output.

    Raises:
        ValueError: another `dtype`.
        TypeError: another kind of model.
    """
    if dtype not in FUSED_DTYPES:
        raise ValueError(f"dtype is {dtype}; it must be torch.float32 or torch.bfloat16.")
    if isinstance(model, X3DDetector):
        return FusedDetector(model, dtype).eval()
    if isinstance(model, X3DClassifier):
        return FusedClassifier(model, dtype).eval()
    raise TypeError(f"model is a {type(model).__name__}; only detectors and classifiers fuse.")


class FusedDetector(nn.Module):
    """What `fuse_for_inference` makes of an `X3DDetector`."""

    def __init__(self, model: X3DDetector, dtype: torch.dtype) -> None:
        super().__init__()
        self.backbone = FusedX3D(model.backbone, dtype)
        self.conv5 = _fold_conv5(model.head, dtype)
        self.head = _without_conv5(model.head)

    @torch.no_grad()
    def forward(self, clips_BCTHW: Tensor, boxes_xyxy_px: Sequence[Tensor]) -> Tensor:
        """Return the logits (N, K) in float32; arguments and errors as of `X3DDetector`."""
        check_boxes(boxes_xyxy_px, num_clips=clips_BCTHW.shape[0])
        height_px, width_px = clips_BCTHW.shape[-2:]
        with torch.autocast(clips_BCTHW.device.type, enabled=False):
            x_FCHW = self.backbone(clips_BCTHW)
            if self.conv5 is not None:
                x_FCHW = self.conv5(x_FCHW).relu_()
            features_BCTHW = as_clips(x_FCHW, len(clips_BCTHW)).float()
            return self.head(features_BCTHW, boxes_xyxy_px, clip_size_px=(height_px, width_px))


class FusedClassifier(nn.Module):
    """What `fuse_for_inference` makes of an `X3DClassifier`."""

    def __init__(self, model: X3DClassifier, dtype: torch.dtype) -> None:
        super().__init__()
        self.backbone = FusedX3D(model.backbone, dtype)
        self.conv5 = _fold_conv5(model.head, dtype)
        self.head = _without_conv5(model.head)

    @torch.no_grad()
    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return the probabilities (B, K) in float32; errors as of `X3DClassifier`."""
        with torch.autocast(x_BCTHW.device.type, enabled=False):
            x_FCHW = self.backbone(x_BCTHW)
            if self.conv5 is not None:
                x_FCHW = self.conv5(x_FCHW).relu_()
            return self.head(as_clips(x_FCHW, len(x_BCTHW)).float())


class FusedX3D(nn.Module):
    """Stem to res5 on frames: clips (B, C, T, H, W) in, features (F, C, H, W) out."""

    def __init__(self, backbone: X3D, dtype: torch.dtype) -> None:
        super().__init__()
        self.in_channels = backbone.stem.conv_xy.in_channels
        self.dtype = dtype
        self.stem = _FusedStem(backbone.stem, dtype)
        self.blocks = nn.ModuleList(
            _FusedBottleneck(block, dtype)
            for stage in backbone.stages.values()
            for block in stage.children()
            if isinstance(block, Bottleneck)
        )

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        check_clips(x_BCTHW, in_channels=self.in_channels)
        num_clips = len(x_BCTHW)
        x_FCHW = self.stem(x_BCTHW.to(self.dtype))
        for block in self.blocks:
            x_FCHW = block(x_FCHW, num_clips)
        return x_FCHW


class _FusedStem(nn.Module):
    def __init__(self, stem: Stem, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv_xy = _FoldedConv(stem.conv_xy, None, dtype)
        self.conv_t = _FoldedConv(stem.conv_t, stem.norm, dtype)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        x_FCHW = as_frames(x_BCTHW.contiguous(memory_format=CHANNELS_LAST))
        x_FCHW = self.conv_xy(x_FCHW)
        rows, columns = x_FCHW.shape[2:]
        x_BCTP = self.conv_t.over_time(as_rows(as_clips(x_FCHW, len(x_BCTHW)))).relu_()
        return as_frames(x_BCTP.unflatten(3, (rows, columns)))


class _FusedBottleneck(nn.Module):
    def __init__(self, block: Bottleneck, dtype: torch.dtype) -> None:
        super().__init__()
        self.conv_a = _FoldedConv(block.conv_a, block.norm_a, dtype)
        self.conv_b = _FoldedConv(block.conv_b, block.norm_b, dtype)
        self.se = None if block.se is None else _FusedSqueezeExcitation(block.se, dtype)
        self.conv_c = _FoldedConv(block.conv_c, block.norm_c, dtype)
        self.shortcut: _FoldedConv | None = None
        if block.shortcut_conv is not None:
            self.shortcut = _FoldedConv(block.shortcut_conv, block.shortcut_norm, dtype)

    def forward(self, x_FCHW: Tensor, num_clips: int) -> Tensor:
        inner_FCHW = self.conv_a(x_FCHW).relu_()
        inner_BCTHW = self.conv_b.depthwise(as_clips(inner_FCHW, num_clips))
        if self.se is not None:
            inner_BCTHW = self.se(inner_BCTHW)
        y_FCHW = self.conv_c(F.silu(as_frames(inner_BCTHW), inplace=True))
        y_FCHW += x_FCHW if self.shortcut is None else self.shortcut(x_FCHW)
        return y_FCHW.relu_()


class _FusedSqueezeExcitation(nn.Module):
    def __init__(self, se: SqueezeExcitation, dtype: torch.dtype) -> None:
        super().__init__()
        self.fc1 = _FoldedConv(se.fc1, None, dtype)
        self.fc2 = _FoldedConv(se.fc2, None, dtype)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        mean_BC11 = _mean_over_cells(x_BCTHW).unflatten(1, (-1, 1, 1))
        gate_BC11 = self.fc2(self.fc1(mean_BC11).relu_()).sigmoid_()
        return x_BCTHW.mul_(gate_BC11.unsqueeze(4))


class _FoldedConv(nn.Module):
    """A convolution with the BatchNorm after it folded in, of fixed weights.

    Args:
        conv: any of X3D's convolutions.
        norm: what follows it, or None.
        dtype: of weight and bias.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv3d, norm: nn.BatchNorm3d | None, dtype: torch.dtype) -> None:
        super().__init__()
        weight = conv.weight.detach().double()
        bias = None if conv.bias is None else conv.bias.detach().double()
        if norm is not None:
            if norm.running_mean is None or norm.running_var is None:
                raise ValueError("a BatchNorm without running statistics cannot be folded.")
            gain_C = norm.weight.detach() / (norm.running_var.double() + norm.eps).sqrt()
            weight = weight * gain_C.view(-1, 1, 1, 1, 1)
            bias = norm.bias.detach() - norm.running_mean.double() * gain_C
        self.register_buffer("weight", weight.to(dtype))
        self.register_buffer("bias", None if bias is None else bias.to(dtype))
        self.stride = conv.stride[1]
        self.taps = conv.kernel_size
        self.dilation = conv.dilation[1]
        self.groups = conv.groups

    def forward(self, x_FCHW: Tensor) -> Tensor:
        """Apply a convolution of one tap along time to all frames."""
        if self.taps == (1, 1, 1) and self.stride == 1 and _conv2d_is_slow(x_FCHW):
            x_FHWC = x_FCHW.permute(0, 2, 3, 1)
            return F.linear(x_FHWC, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
        padding = (self.taps[1] // 2, self.taps[2] // 2)
        weight = self.weight[:, :, 0]
        return F.conv2d(x_FCHW, weight, self.bias, stride=self.stride, padding=padding)

    def over_time(self, x_BCTP: Tensor) -> Tensor:
        """Apply a depthwise convolution of taps along time alone; P cells in one row."""
        padding = (self.taps[0] // 2, 0)
        return F.conv2d(x_BCTP, self.weight[..., 0], self.bias, padding=padding, groups=self.groups)

    def depthwise(self, x_BCTHW: Tensor) -> Tensor:
        """Apply a depthwise 3x3x3 convolution to channels-last clips."""
        rows, columns = x_BCTHW.shape[3:]
        if self.dilation == 2:
            x_BCTHW = split_even_odd(x_BCTHW)
        y_BCTHW = F.conv3d(
            x_BCTHW,
            self.weight,
            self.bias,
            stride=(1, self.stride, self.stride),
            padding=1,
            groups=self.groups,
        )
        return join_even_odd(y_BCTHW, rows, columns) if self.dilation == 2 else y_BCTHW


def _conv2d_is_slow(x_FCHW: Tensor) -> bool:
    """Tell whether PyTorch keeps a plain 1x1 convolution from its fast library (oneDNN).

    It does so on one thread and for a batch below 16; a linear layer then is faster.
    """
    return x_FCHW.device.type == "cpu" and torch.get_num_threads() == 1 and len(x_FCHW) < 16


def _mean_over_cells(x_BCTHW: Tensor) -> Tensor:
    """Return the mean of each channel, (B, C), as a matrix product: far faster than `mean`."""
    x_BQC = x_BCTHW.permute(0, 2, 3, 4, 1).flatten(1, 3)
    num_cells = x_BQC.shape[1]
    return (x_BQC.new_ones(len(x_BQC), 1, num_cells) @ x_BQC)[:, 0] / num_cells


def _fold_conv5(head: ActionRoIHead | ClassificationHead, dtype: torch.dtype) -> _FoldedConv | None:
    if head.conv5 is None:
        return None
    return _FoldedConv(head.conv5, head.norm5, dtype)


_Head = TypeVar("_Head", ActionRoIHead, ClassificationHead)


def _without_conv5(head: _Head) -> _Head:
    """Return a frozen float32 copy of the head that starts after conv5."""
    head = copy.deepcopy(head).float().eval().requires_grad_(False)
    head.conv5 = None
    head.norm5 = None
    return head
