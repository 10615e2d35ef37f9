"""The fast depthwise convolution against PyTorch's own, value and gradients."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from x3d_det.models.depthwise import (
    DepthwiseConv3d,
    as_clips,
    as_frames,
    as_rows,
    depthwise_conv3d,
    join_even_odd,
    split_even_odd,
)

KINDS = {  # taps, spatial stride, spatial dilation
    "3x3x3": ((3, 3, 3), 1, 1),
    "3x3x3 stride 2": ((3, 3, 3), 2, 1),
    "3x3x3 dilation 2": ((3, 3, 3), 1, 2),
    "5x1x1": ((5, 1, 1), 1, 1),
    "1x3x3 stride 2": ((1, 3, 3), 2, 1),
    "5x1x1 stride 2": ((5, 1, 1), 2, 1),
}
SHAPES = {  # odd and even sizes, more clips than frames and fewer, taps beyond the clip
    "few long clips": (2, 8, 5, 9, 11),
    "many short clips": (5, 24, 3, 8, 7),
    "one clip": (1, 54, 4, 4, 4),
    "one frame": (3, 8, 1, 6, 5),
    "two frames": (3, 8, 2, 6, 5),
    "one cell": (2, 16, 3, 1, 1),
    "one of everything": (1, 1, 1, 1, 1),
}


def plain(x_BCTHW, weight, stride, dilation):
    taps = weight.shape[2:]
    return F.conv3d(
        x_BCTHW,
        weight,
        stride=(1, stride, stride),
        padding=(taps[0] // 2, dilation * (taps[1] // 2), dilation * (taps[2] // 2)),
        dilation=(1, dilation, dilation),
        groups=x_BCTHW.shape[1],
    )


def gradients(function, x_BCTHW, weight, *options):
    x_BCTHW = x_BCTHW.detach().requires_grad_()
    weight = weight.detach().requires_grad_()
    y_BCTHW = function(x_BCTHW, weight, *options)
    grad = torch.randn(y_BCTHW.shape, generator=torch.Generator().manual_seed(7))
    return y_BCTHW.detach(), *torch.autograd.grad(y_BCTHW, (x_BCTHW, weight), grad.to(x_BCTHW))


def fast(x_BCTHW, weight, stride, dilation):
    return depthwise_conv3d(x_BCTHW, weight, spatial_stride=stride, spatial_dilation=dilation)


def test_by_hand():
    """Three frames of one cell and the taps 1, 10, 100: a sum of the neighbours."""
    x_BCTHW = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 3, 1, 1)
    weight = torch.tensor([1.0, 10.0, 100.0]).view(1, 1, 3, 1, 1)
    y, grad_x, grad_weight = gradients(fast, x_BCTHW, weight, 1, 1)
    # frame 0: 10 * 1 + 100 * 2, frame 1: 1 + 20 + 300, frame 2: 2 + 30
    assert y.flatten().tolist() == [210.0, 321.0, 32.0]
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(7)).flatten()
    torch.testing.assert_close(
        grad_x.flatten(),
        torch.stack([10 * g[0] + g[1], 100 * g[0] + 10 * g[1] + g[2], 100 * g[1] + 10 * g[2]]),
    )
    torch.testing.assert_close(
        grad_weight.flatten(),
        torch.stack([g[1] + 2 * g[2], g[0] + 2 * g[1] + 3 * g[2], 2 * g[0] + 3 * g[1]]),
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_equals_conv3d(kind, shape):
    """Tolerance: float32 sums of at most 27 * 500 terms in another order."""
    taps, stride, dilation = kind
    torch.manual_seed(0)
    x_BCTHW = torch.randn(shape)
    weight = torch.randn(shape[1], 1, *taps)
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        x_BCTHW = x_BCTHW.contiguous(memory_format=layout)
        ours = gradients(fast, x_BCTHW, weight, stride, dilation)
        theirs = gradients(plain, x_BCTHW.double(), weight.double(), stride, dilation)
        for name, one, other in zip(("value", "x", "weight"), ours, theirs, strict=True):
            error = (one - other).abs().max() / other.abs().max().clamp(min=1e-6)
            assert error < 3e-6, (name, layout, float(error))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_gradcheck_in_double(kind):
    taps, stride, dilation = kind
    torch.manual_seed(0)
    x_BCTHW = torch.randn(2, 2, 3, 4, 5, dtype=torch.double, requires_grad=True)
    weight = torch.randn(2, 1, *taps, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(fast, (x_BCTHW, weight, stride, dilation), fast_mode=True)


def test_two_runs_are_bit_identical():
    torch.manual_seed(0)
    for shape in ((8, 54, 4, 20, 20), (2, 54, 8, 20, 20)):
        x_BCTHW = torch.randn(shape).contiguous(memory_format=torch.channels_last_3d)
        weight = torch.randn(54, 1, 3, 3, 3)
        runs = [gradients(fast, x_BCTHW, weight, 2, 1) for _ in range(3)]
        for run in runs[1:]:
            assert all(torch.equal(one, other) for one, other in zip(runs[0], run, strict=True))


def test_only_the_gradients_that_are_needed():
    x_BCTHW = torch.randn(2, 4, 3, 5, 5)
    weight = torch.randn(4, 1, 3, 3, 3, requires_grad=True)
    fast(x_BCTHW, weight, 1, 1).sum().backward()
    assert weight.grad is not None
    x_BCTHW.requires_grad_()
    fast(x_BCTHW, weight.detach(), 1, 1).sum().backward()
    assert x_BCTHW.grad is not None


def test_layer_equals_its_plain_form():
    torch.manual_seed(0)
    for taps, stride, dilation in KINDS.values():
        layer = DepthwiseConv3d(
            8, kernel_size=taps, spatial_stride=stride, spatial_dilation=dilation
        )
        x_BCTHW = torch.randn(2, 8, 3, 7, 6)
        torch.testing.assert_close(layer(x_BCTHW), nn.Conv3d.forward(layer, x_BCTHW))
        double = nn.Conv3d.forward(layer.double(), x_BCTHW.double())
        torch.testing.assert_close(layer(x_BCTHW.double()), double)


def test_layer_runs_under_autocast():
    layer = DepthwiseConv3d(8, kernel_size=(3, 3, 3))
    x_BCTHW = torch.randn(1, 8, 3, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        y_BCTHW = layer(x_BCTHW)
    assert y_BCTHW.dtype == torch.bfloat16
    torch.testing.assert_close(y_BCTHW.float(), layer(x_BCTHW), rtol=0.05, atol=0.05)


def test_stride_and_dilation_together_are_refused():
    with pytest.raises(ValueError, match=r"spatial_stride 2 with spatial_dilation 2: one of them"):
        DepthwiseConv3d(8, kernel_size=(3, 3, 3), spatial_stride=2, spatial_dilation=2)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5, 6), (1, 3, 1, 5, 6), (1, 3, 4, 1, 1)])
def test_views_keep_the_values_and_the_memory(shape):
    clips, channels, frames, rows, columns = shape
    x_BCTHW = torch.randn(shape).contiguous(memory_format=torch.channels_last_3d)
    x_FCHW = as_frames(x_BCTHW)
    assert x_FCHW.shape == (clips * frames, channels, rows, columns)
    assert torch.equal(x_FCHW[frames - 1], x_BCTHW[0, :, frames - 1])
    assert torch.equal(as_clips(x_FCHW, clips), x_BCTHW)
    assert torch.equal(as_rows(x_BCTHW), x_BCTHW.flatten(3))
    for view in (x_FCHW, as_clips(x_FCHW, clips), as_rows(x_BCTHW)):
        assert view.data_ptr() == x_BCTHW.data_ptr()
    contiguous = x_BCTHW.contiguous()
    assert torch.equal(as_frames(contiguous), x_FCHW)


def test_even_and_odd_grids_by_hand_and_back():
    x_BCTHW = torch.arange(15.0).view(1, 1, 1, 3, 5)
    grids = split_even_odd(x_BCTHW)
    # rows 0 and 2 with columns 0, 2, 4; then with columns 1, 3 and the padding
    assert grids[0, 0, 0].tolist() == [[0.0, 2.0, 4.0], [10.0, 12.0, 14.0]]
    assert grids[1, 0, 0].tolist() == [[1.0, 3.0, 0.0], [11.0, 13.0, 0.0]]
    assert grids[2, 0, 0].tolist() == [[5.0, 7.0, 9.0], [0.0, 0.0, 0.0]]
    assert torch.equal(join_even_odd(grids, 3, 5), x_BCTHW)
    clips_BCTHW = torch.randn(2, 3, 4, 5, 6)
    assert torch.equal(join_even_odd(split_even_odd(clips_BCTHW), 5, 6), clips_BCTHW)
