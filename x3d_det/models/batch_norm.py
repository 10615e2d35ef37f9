"""BatchNorm whose statistics are exact to float32 in the channels-last layout.

Shape suffixes in this file: B clips, C channels, T frames, H x W cells.

PyTorch adds up a channel of a channels-last tensor one cell after the other in
float32: at X3D's sizes its mean is off by 1e-5 of the spread and the loss by 1e-4.
Here each column of the map is added up for itself and the columns are joined in
float64, at the same speed; what is left is 3e-7.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from x3d_det.models.depthwise import CHANNELS_LAST, has_fast_form


class BatchNorm3d(nn.BatchNorm3d):
    """`nn.BatchNorm3d`, and in training, in float32 on a CPU, with exact statistics."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised (B, C, T, H, W).

        Args:
            input: (B, C, T, H, W); channels-last is fastest.
        """
        num_values = input.numel() // self.num_features
        if not (self.training and has_fast_form(input) and num_values > 1):
            return super().forward(input)
        normalised, mean_C, variance_C = _BatchNorm.apply(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._update(mean_C, variance_C * (num_values / (num_values - 1)))
        return normalised

    @torch.no_grad()
    def _update(self, mean_C: Tensor, variance_C: Tensor) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.mul_(1 - share).add_(mean_C, alpha=share)
        self.running_var.mul_(1 - share).add_(variance_C, alpha=share)


def batch_statistics(x_BCTHW: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and (biased) variance of each channel, (C,) and (C,)."""
    clips, channels, frames, height, width = x_BCTHW.shape
    row = width * channels
    columns = x_BCTHW.contiguous(memory_format=CHANNELS_LAST).as_strided(
        (clips, row, frames, height), (frames * height * row, 1, height * row, row)
    )
    mean, variance = torch.batch_norm_update_stats(columns, None, None, 0.0)
    mean_WC = mean.view(width, channels).double()
    variance_WC = variance.view(width, channels).double()
    mean_C = mean_WC.mean(dim=0)
    variance_C = (variance_WC + (mean_WC - mean_C).square()).mean(dim=0)
    return mean_C.to(x_BCTHW.dtype), variance_C.to(x_BCTHW.dtype)


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        x = x.contiguous(memory_format=CHANNELS_LAST)
        mean, variance = batch_statistics(x)
        ctx.save_for_backward(x, weight, mean, (variance + eps).rsqrt())
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps), mean, variance

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight, mean, scale = ctx.saved_tensors
        grads = torch.ops.aten.native_batch_norm_backward(
            grad.contiguous(memory_format=CHANNELS_LAST),
            x,
            weight,
            None,
            None,
            mean,
            scale,
            True,
            ctx.eps,
            ctx.needs_input_grad[:3],
        )
        return (*grads, None)
