"""Depthwise 3-D convolution, one filter a channel, with a gradient that is fast on CPUs.

Shape suffixes in this file: B clips, C channels, T frames, H x W cells, F = B T frames,
P = H W cells in one row.

PyTorch's own forward is fast in channels-last, 5x1x1 and dilated ones excepted; its
backward runs at a tenth of that speed. Here every piece is put in terms of
convolutions that are fast, with the same sums in another order:

* gradient of the input: a forward convolution of the output's gradient with the
  filters turned round, zeros inserted first where the stride is 2;
* gradient of the filters: one 2-D depthwise filter gradient for each temporal tap,
  over all pairs of frames that tap joins;
* taps along time alone (the stem's 5x1x1): frames and cells as rows and columns of
  an image, a 2-D convolution;
* dilation 2: the four interleaved grids of even and odd cells, as four clips.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

CHANNELS_LAST = torch.channels_last_3d


class DepthwiseConv3d(nn.Conv3d):
    """A bias-free depthwise convolution that keeps the number of frames.

    In float32 on a CPU it runs in the fast form, elsewhere as `nn.Conv3d`; the
    values are the same but for the order of the sums. A gradient of the gradient
    exists only in `nn.Conv3d`'s form.

    Args:
        channels: channels C, in and out.
        kernel_size: odd taps along T, H and W.
        spatial_stride: stride along H and W; along T it is 1.
        spatial_dilation: dilation along H and W, 1 or 2; along T it is 1.

    Raises:
        ValueError: stride and dilation are both above 1.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: tuple[int, int, int],
        spatial_stride: int = 1,
        spatial_dilation: int = 1,
    ) -> None:
        if spatial_stride > 1 and spatial_dilation > 1:
            raise ValueError(
                f"spatial_stride {spatial_stride} with spatial_dilation {spatial_dilation}: "
                "one of them must be 1."
            )
        taps_t, taps_h, taps_w = kernel_size
        super().__init__(
            channels,
            channels,
            kernel_size,
            stride=(1, spatial_stride, spatial_stride),
            padding=(
                taps_t // 2,
                spatial_dilation * (taps_h // 2),
                spatial_dilation * (taps_w // 2),
            ),
            dilation=(1, spatial_dilation, spatial_dilation),
            groups=channels,
            bias=False,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Return (B, C, T, ceil(H / stride), ceil(W / stride)).

        Args:
            input: (B, C, T, H, W); channels-last is fastest.
        """
        if not has_fast_form(input):
            return super().forward(input)
        return depthwise_conv3d(
            input, self.weight, spatial_stride=self.stride[1], spatial_dilation=self.dilation[1]
        )


def has_fast_form(x_BCTHW: Tensor) -> bool:
    """Tell whether the convolutions of this package replace PyTorch's for this input."""
    return (
        x_BCTHW.device.type == "cpu"
        and x_BCTHW.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
    )


def depthwise_conv3d(
    x_BCTHW: Tensor, weight: Tensor, *, spatial_stride: int = 1, spatial_dilation: int = 1
) -> Tensor:
    """Return the depthwise convolution of odd taps that keeps the frames, in the fast form.

    Args:
        x_BCTHW: input of any layout; the output is channels-last.
        weight: (C, 1, taps along T, H, W), odd.
        spatial_stride: stride along H and W.
        spatial_dilation: dilation along H and W, 1 or 2; 1 where the stride is above 1.
    """
    if spatial_dilation == 2 and weight.shape[3:] != (1, 1):
        grids = _DepthwiseConv3d.apply(split_even_odd(x_BCTHW), weight, 1)
        return join_even_odd(grids, *x_BCTHW.shape[3:])
    return _DepthwiseConv3d.apply(x_BCTHW, weight, spatial_stride)


class _DepthwiseConv3d(torch.autograd.Function):
    """The undilated convolution; `depthwise_conv3d` puts the dilated one on top."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        x = x.contiguous(memory_format=CHANNELS_LAST)
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return _convolve(x, weight, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=CHANNELS_LAST)
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = _input_gradient(grad, weight, ctx.stride, x.shape)
        if ctx.needs_input_grad[1]:
            grad_weight = _weight_gradient(x, grad, weight.shape, ctx.stride)
        return grad_x, grad_weight, None


def _convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    channels, _, taps_t, taps_h, taps_w = weight.shape
    if (taps_h, taps_w, stride) == (1, 1, 1):
        y_BCTP = F.conv2d(as_rows(x), weight.flatten(3), padding=(taps_t // 2, 0), groups=channels)
        return y_BCTP.unflatten(3, x.shape[3:])
    return F.conv3d(
        x,
        weight,
        stride=(1, stride, stride),
        padding=(taps_t // 2, taps_h // 2, taps_w // 2),
        groups=channels,
    )


def _input_gradient(grad: Tensor, weight: Tensor, stride: int, shape: torch.Size) -> Tensor:
    if stride > 1:
        spread = torch.empty(shape, dtype=grad.dtype, memory_format=CHANNELS_LAST).zero_()
        spread[:, :, :, ::stride, ::stride] = grad
        grad = spread
    return _convolve(grad, weight.flip(2, 3, 4), 1)


def _weight_gradient(x: Tensor, grad: Tensor, shape: torch.Size, stride: int) -> Tensor:
    channels, _, taps_t, taps_h, taps_w = shape
    offsets = range(-(taps_t // 2), taps_t // 2 + 1)
    if (taps_h, taps_w, stride) == (1, 1, 1):
        taps = [_pointwise_tap_gradient(x, grad, offset) for offset in offsets]
    elif 1 < x.shape[0] < x.shape[2]:  # few long clips: clip by clip needs no copy of grad
        clips = zip(x.split(1), grad.split(1), strict=True)
        return torch.stack([_weight_gradient(*clip, shape, stride) for clip in clips]).sum(dim=0)
    else:
        taps = _spatial_tap_gradients(x, grad, shape, stride, offsets)
    return torch.stack([tap.reshape(channels, 1, taps_h, taps_w) for tap in taps], dim=2)


def _pointwise_tap_gradient(x: Tensor, grad: Tensor, offset: int) -> Tensor:
    """Return sum of grad(t) x(t + offset) for each channel, (C,), of taps along time alone.

    As matrix product of all channels with all, whose diagonal it is: the stem's 24
    channels are few enough for that to beat a product and a sum.
    """
    x_BQC, grad_BQC = (
        frames.flatten(2).transpose(1, 2) for frames in _joined_frames(x, grad, offset)
    )
    return torch.bmm(grad_BQC.transpose(1, 2), x_BQC).diagonal(dim1=1, dim2=2).sum(dim=0)


def _joined_frames(x: Tensor, grad: Tensor, offset: int) -> tuple[Tensor, Tensor]:
    """Return the frames of `x` and of `grad` that the temporal tap at `offset` joins."""
    num_frames = x.shape[2]
    num_joined = max(0, num_frames - abs(offset))
    return (
        x.narrow(2, min(max(0, offset), num_frames), num_joined),
        grad.narrow(2, min(max(0, -offset), num_frames), num_joined),
    )


def _spatial_tap_gradients(
    x: Tensor, grad: Tensor, shape: torch.Size, stride: int, offsets: range
) -> list[Tensor]:
    """Return, for each temporal tap, the gradient (C, 1, taps along H, W) of its 2-D filter.

    The frames of all clips stand in one row, and a tap joins each with the one
    `offset` further on. Where that one belongs to the next clip, grad is zero.
    """
    channels, _, _, taps_h, taps_w = shape
    num_frames = x.shape[2]
    x_FCHW = as_frames(x)
    masked = grad.clone(memory_format=CHANNELS_LAST) if x.shape[0] > 1 else grad
    taps = []
    for offset in offsets:
        first, last = max(0, -offset), max(0, offset)
        if abs(offset) >= num_frames:
            taps.append(x.new_zeros(channels, 1, taps_h, taps_w))
            continue
        edge = slice(num_frames - last, None) if offset > 0 else slice(0, first)
        if x.shape[0] > 1:
            masked[:, :, edge] = 0
        grad_FCHW = as_frames(masked)
        taps.append(
            conv2d_weight(
                x_FCHW[last : len(x_FCHW) - first],
                (channels, 1, taps_h, taps_w),
                grad_FCHW[first : len(grad_FCHW) - last],
                stride=stride,
                padding=(taps_h // 2, taps_w // 2),
                groups=channels,
            )
        )
        if x.shape[0] > 1:
            masked[:, :, edge] = grad[:, :, edge]
    return taps


def as_frames(x_BCTHW: Tensor) -> Tensor:
    """Return clips as channels-last frames (F, C, H, W), the same memory if channels-last.

    This and the next two state the strides, because PyTorch's own views give a
    dimension of size 1 any stride, and its convolutions then take the memory for
    not channels-last and copy it.
    """
    num_clips, channels, num_frames, height, width = x_BCTHW.shape
    return x_BCTHW.contiguous(memory_format=CHANNELS_LAST).as_strided(
        (num_clips * num_frames, channels, height, width),
        (height * width * channels, 1, width * channels, channels),
    )


def as_clips(x_FCHW: Tensor, num_clips: int) -> Tensor:
    """Return frames as channels-last clips (B, C, T, H, W), the same memory if channels-last."""
    channels, height, width = x_FCHW.shape[1:]
    num_frames = len(x_FCHW) // num_clips
    cells = height * width * channels
    return x_FCHW.contiguous(memory_format=torch.channels_last).as_strided(
        (num_clips, channels, num_frames, height, width),
        (num_frames * cells, 1, cells, width * channels, channels),
    )


def as_rows(x_BCTHW: Tensor) -> Tensor:
    """Return clips as images of T rows, (B, C, T, P), the same memory if channels-last."""
    num_clips, channels, num_frames, height, width = x_BCTHW.shape
    row = height * width * channels
    return x_BCTHW.contiguous(memory_format=CHANNELS_LAST).as_strided(
        (num_clips, channels, num_frames, height * width), (num_frames * row, 1, row, channels)
    )


def split_even_odd(x_BCTHW: Tensor) -> Tensor:
    """Return the grids of even and odd rows and columns as clips, (4 B, C, T, H / 2, W / 2)."""
    height, width = x_BCTHW.shape[3:]
    x_BTHWC = F.pad(x_BCTHW, (0, width % 2, 0, height % 2)).permute(0, 2, 3, 4, 1)
    grids = x_BTHWC.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).permute(0, 3, 5, 1, 2, 4, 6)
    return grids.flatten(0, 2).permute(0, 4, 1, 2, 3)


def join_even_odd(grids: Tensor, height: int, width: int) -> Tensor:
    """Return the clips (B, C, T, height, width) that `split_even_odd` took apart."""
    x_BTHWC = (
        grids.permute(0, 2, 3, 4, 1)
        .unflatten(0, (-1, 2, 2))
        .permute(0, 3, 4, 1, 5, 2, 6)
        .flatten(4, 5)
        .flatten(2, 3)
    )
    return x_BTHWC[:, :, :height, :width].contiguous().permute(0, 4, 1, 2, 3)
