"""The pieces of X3D: stem, squeeze-and-excitation, bottleneck block, residual stage.

Shape suffixes in this file: B clips, C channels, T frames, H x W pixels or feature
cells, F = B T frames.

All layers keep whatever memory layout their input has; `X3D` makes the input
channels-last, where the convolutions of a CPU are fastest.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from x3d_det.models.batch_norm import BatchNorm3d
from x3d_det.models.depthwise import DepthwiseConv3d, has_fast_form

STEM_TEMPORAL_TAPS = 5
"""Frames that the temporal convolution of the stem spans.

The paper's table prints 3; PySlowFast, PyTorchVideo, MMAction2 and co3d all use
5, and only 5 gives the published parameter and multiply-add counts.
"""

SE_RATIO = 1 / 16
_SE_DIVISOR = 8


def round_width(channels: float, *, divisor: int = 8) -> int:
    """Return the multiple of `divisor` nearest to `channels`, never below 0.9 of it.

    Args:
        channels: wanted number of channels; above 0, need not be whole.
        divisor: what the result is a multiple of, and its least value; at least 1.

    Source: PySlowFast `round_width` with `divisor` and `min_width` set to 8, as it
    stood when the X3D models were trained. Its later default of 1 gives X3D-XL
    other widths (35, 70, 139, 278) than the paper's.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class PointwiseConv3d(nn.Conv3d):
    """A 1x1x1 convolution; in float32 on a CPU, the matrix product that it is.

    PyTorch's own choice between its kernels depends on the number of threads, and
    with one thread falls on one that is several times slower.

    Args:
        in_channels, out_channels: channels before and after.
        spatial_stride: stride along H and W; along T it is 1.
        bias: whether a number for each output channel is added.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, spatial_stride: int = 1, bias: bool = False
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size=1,
            stride=(1, spatial_stride, spatial_stride),
            bias=bias,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, out_channels, T, ceil(H / stride), ceil(W / stride)).

        Args:
            input: (B, in_channels, T, H, W); channels-last is fastest.
        """
        if not has_fast_form(input):
            return super().forward(input)
        stride = self.stride[1]
        x_BTHWC = input[:, :, :, ::stride, ::stride].permute(0, 2, 3, 4, 1)
        return F.linear(x_BTHWC, self.weight.flatten(1), self.bias).permute(0, 4, 1, 2, 3)


class FrameConv3d(nn.Conv3d):
    """A bias-free 1x3x3 convolution of stride 2; in float32 on a CPU, 2-D over all frames.

    PyTorch judges the size of a clip by its batch and channels, and sends a single
    clip of 3 channels to a kernel that is several times slower.

    Args:
        in_channels, out_channels: channels before and after.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size=(1, 3, 3),
            stride=(1, 2, 2),
            padding=(0, 1, 1),
            bias=False,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, out_channels, T, ceil(H / 2), ceil(W / 2)).

        Args:
            input: (B, in_channels, T, H, W); channels-last is fastest.
        """
        if not has_fast_form(input):
            return super().forward(input)
        x_FCHW = input.transpose(1, 2).flatten(0, 1)
        y_FCHW = F.conv2d(x_FCHW, self.weight[:, :, 0], stride=2, padding=1)
        return y_FCHW.unflatten(0, (len(input), -1)).transpose(1, 2)


class Stem(nn.Module):
    """A 1x3x3 convolution with spatial stride 2, then a depthwise 5x1x1 one, BN and ReLU.

    Args:
        in_channels: channels of the clip, 3 for RGB.
        out_channels: channels C that come out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_xy = FrameConv3d(in_channels, out_channels)
        self.conv_t = DepthwiseConv3d(out_channels, kernel_size=(STEM_TEMPORAL_TAPS, 1, 1))
        self.norm = BatchNorm3d(out_channels)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return (B, C, T, ceil(H / 2), ceil(W / 2)), not below 0."""
        return F.relu(self.norm(self.conv_t(self.conv_xy(x_BCTHW))), inplace=True)


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gate in (0, 1) computed from the mean of all channels.

    Args:
        channels: channels C of the input; the hidden layer has C / 16, rounded to 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden_channels = round_width(channels * SE_RATIO, divisor=_SE_DIVISOR)
        self.fc1 = PointwiseConv3d(channels, hidden_channels, bias=True)
        self.fc2 = PointwiseConv3d(hidden_channels, channels, bias=True)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return the input times its gates, same shape."""
        mean_BC111 = x_BCTHW.mean(dim=(2, 3, 4), keepdim=True)
        gate_BC111 = torch.sigmoid(self.fc2(F.relu(self.fc1(mean_BC111), inplace=True)))
        return x_BCTHW * gate_BC111


def drop_path(x_BCTHW: Tensor, probability: float) -> Tensor:
    """Return `x_BCTHW` with whole clips set to 0 at random and the others scaled up.

    Args:
        x_BCTHW: a residual branch, (B, ...).
        probability: chance in [0, 1) for each clip, drawn from torch's generator of
            its device; the others are divided by 1 - probability, which keeps the mean.

    Source: stochastic depth, arXiv:1603.09382, for each clip as PySlowFast's `drop_path`.
    """
    keep = 1 - probability
    shape = (len(x_BCTHW),) + (1,) * (x_BCTHW.ndim - 1)
    kept = torch.rand(shape, device=x_BCTHW.device) < keep
    return x_BCTHW * (kept / keep).to(x_BCTHW.dtype)


class Bottleneck(nn.Module):
    """X3D's residual block: 1x1x1, depthwise 3x3x3 [, squeeze-and-excitation], 1x1x1.

    Args:
        in_channels, inner_channels, out_channels: before, inside and after the block.
        spatial_stride: stride of the depthwise convolution along H and W, 1 or 2.
        spatial_dilation: its dilation along H and W.
        use_se: squeeze-and-excitation between the depthwise BN and Swish.
        shortcut_norm_when_same_width: BN on a shortcut convolution that changes only
            the size of the map. PySlowFast has it, PyTorchVideo has not.
        drop_path: chance in [0, 1) that a clip skips the block while training; 0 draws
            nothing.

    Source: X3D, arXiv:2004.04730, Sec. 3.1; details as in PySlowFast `X3DTransform`.
    """

    def __init__(
        self,
        in_channels: int,
        inner_channels: int,
        out_channels: int,
        *,
        spatial_stride: int = 1,
        spatial_dilation: int = 1,
        use_se: bool = False,
        shortcut_norm_when_same_width: bool = True,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.conv_a = PointwiseConv3d(in_channels, inner_channels)
        self.norm_a = BatchNorm3d(inner_channels)
        self.conv_b = DepthwiseConv3d(
            inner_channels,
            kernel_size=(3, 3, 3),
            spatial_stride=spatial_stride,
            spatial_dilation=spatial_dilation,
        )
        self.norm_b = BatchNorm3d(inner_channels)
        self.se = SqueezeExcitation(inner_channels) if use_se else None
        self.conv_c = PointwiseConv3d(inner_channels, out_channels)
        self.norm_c = BatchNorm3d(out_channels)
        same_width = in_channels == out_channels
        self.shortcut_conv = (
            PointwiseConv3d(in_channels, out_channels, spatial_stride=spatial_stride)
            if spatial_stride > 1 or not same_width
            else None
        )
        has_norm = self.shortcut_conv is not None and (
            not same_width or shortcut_norm_when_same_width
        )
        self.shortcut_norm = BatchNorm3d(out_channels) if has_norm else None

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Return (B, out_channels, T, ceil(H / stride), ceil(W / stride)), not below 0."""
        shortcut = x_BCTHW
        if self.shortcut_conv is not None:
            shortcut = self.shortcut_conv(shortcut)
        if self.shortcut_norm is not None:
            shortcut = self.shortcut_norm(shortcut)
        x = F.relu(self.norm_a(self.conv_a(x_BCTHW)), inplace=True)
        x = self.norm_b(self.conv_b(x))
        if self.se is not None:
            x = self.se(x)
        x = self.norm_c(self.conv_c(F.silu(x)))
        if self.training and self.drop_path > 0:
            x = drop_path(x, self.drop_path)
        return F.relu(x + shortcut, inplace=True)
