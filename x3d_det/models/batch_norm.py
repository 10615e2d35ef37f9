"""BatchNorm whose statistics are exact to float32 in the channels-last layout.

Shape suffixes in this file: B clips, C channels, T frames, H x W cells.

PyTorch adds up a channel of a channels-last tensor one cell after the other in
float32: at X3D's sizes its mean is off by 1e-5 of the spread and the loss by 1e-4.
Here each column of the map is added up for itself and the columns are joined in
float64, at the same speed; what is left is 3e-7.

A batch may be normalised in several parts (`set_batch_norm_splits`): training on
grids of changing batch size keeps the number of clips that share statistics.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from x3d_det.models.depthwise import CHANNELS_LAST, has_fast_form


class BatchNorm3d(nn.BatchNorm3d):
    """`nn.BatchNorm3d`, and in training, in float32 on a CPU, with exact statistics."""

    num_splits: int = 1
    """Parts of a training batch with statistics of their own; see `set_batch_norm_splits`."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised (B, C, T, H, W).

        Args:
            input: (B, C, T, H, W); channels-last is fastest. In training B is a
                multiple of `num_splits`.
        """
        if self.training and self.num_splits > 1:
            return self._forward_in_parts(input)
        num_values = input.numel() // self.num_features
        if not (self.training and has_fast_form(input) and num_values > 1):
            return super().forward(input)
        normalised, mean_C, variance_C = _BatchNorm.apply(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._update(mean_C, variance_C * (num_values / (num_values - 1)))
        return normalised

    def _forward_in_parts(self, x_BCTHW: Tensor) -> Tensor:
        """Normalise each part for itself; keep the statistics of the whole batch."""
        if len(x_BCTHW) % self.num_splits:
            raise ValueError(
                f"a batch of {len(x_BCTHW)} clips cannot be normalised in {self.num_splits} equal "
                "parts; set_batch_norm_splits must get a divisor of the batch."
            )
        parts = [self._normalise(part) for part in x_BCTHW.chunk(self.num_splits)]
        normalised, means, variances = zip(*parts, strict=True)
        if self.track_running_stats:
            num_values = x_BCTHW.numel() // self.num_features
            means_SC, variances_SC = torch.stack(means).double(), torch.stack(variances).double()
            variance_C = variances_SC.mean(dim=0) + means_SC.var(dim=0, correction=0)
            variance_C *= num_values / (num_values - 1)
            self._update(means_SC.mean(dim=0), variance_C)
        return torch.cat(normalised)

    def _normalise(self, x_BCTHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a part of a batch normalised, its mean and its biased variance."""
        num_values = x_BCTHW.numel() // self.num_features
        if has_fast_form(x_BCTHW) and num_values > 1:
            parts: tuple[Tensor, Tensor, Tensor] = _BatchNorm.apply(
                x_BCTHW, self.weight, self.bias, self.eps
            )
            return parts
        mean_C = self.weight.detach().new_zeros(self.num_features)
        variance_C = torch.ones_like(mean_C)
        normalised = F.batch_norm(  # a momentum of 1 leaves the part's own statistics
            x_BCTHW, mean_C, variance_C, self.weight, self.bias, True, 1.0, self.eps
        )
        return normalised, mean_C, variance_C * ((num_values - 1) / num_values)

    @torch.no_grad()
    def _update(self, mean_C: Tensor, variance_C: Tensor) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.mul_(1 - share).add_(mean_C, alpha=share)
        self.running_var.mul_(1 - share).add_(variance_C, alpha=share)


def set_batch_norm_splits(model: nn.Module, num_splits: int) -> None:
    """Let every `BatchNorm3d` of a model normalise training batches in equal parts.

    Neighbouring clips make a part. The running statistics are those of the whole
    batch: the mean of the parts' means, the mean of their variances and the variance
    of their means, so that they do not depend on the number of parts but through the
    layers before. 1 is plain BatchNorm; evaluation mode knows no parts. The number is
    not part of the state dict.

    Args:
        model: changed in place.
        num_splits: a divisor of the batches to come.

    Raises:
        ValueError: `num_splits` is below 1.

    Source: Multigrid, arXiv:1912.00998, and PySlowFast's SubBatchNorm3d, which keeps
    running statistics of each part and joins them (by the same formula) for
    evaluation: there the spread of the parts' means is smoothed away.
    """
    if num_splits < 1:
        raise ValueError(f"num_splits is {num_splits}; it must be 1 or more.")
    for module in model.modules():
        if isinstance(module, BatchNorm3d):
            module.num_splits = num_splits


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
