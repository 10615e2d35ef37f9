"""BatchNorm statistics: recomputed over many batches, snapshot, and held still."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Batch = TypeVar("Batch")


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return the BatchNorm layers that keep running statistics, in the model's order."""
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]


def freeze_batch_norms(model: nn.Module) -> None:
    """Let the BatchNorm layers use, and no longer change, their running statistics.

    Their scale and shift go on being trained. `model.train()` undoes it.
    """
    for module in batch_norms(model):
        module.eval()


class BatchNormSnapshot:
    """The running statistics of a moment, to go back to after a step that is skipped."""

    def __init__(self, model: nn.Module) -> None:
        self._buffers = [buffer for norm in batch_norms(model) for buffer in norm.buffers()]
        self._saved = [buffer.clone() for buffer in self._buffers]

    @torch.no_grad()
    def restore(self) -> None:
        """Put the statistics back."""
        for buffer, saved in zip(self._buffers, self._saved, strict=True):
            buffer.copy_(saved)


@torch.no_grad()
def recompute_batch_norms(
    model: nn.Module,
    batches: Iterable[Batch],
    forward: Callable[[nn.Module, Batch], object],
    *,
    sum_over_ranks: Callable[[Tensor], object] | None = None,
) -> int:
    """Replace the running statistics by those of all `batches` with the present weights.

    Over the batches b with mean m_b and unbiased variance v_b the new statistics
    are mean(m_b) and mean(v_b + m_b^2) - mean(m_b)^2, summed in float64.

    Args:
        model: is put into train mode for the time and back; weights stay.
        batches: few hundred clips are enough; empty leaves the model as it is.
        forward: runs the model on one batch; what it returns is dropped.
        sum_over_ranks: adds a float64 vector up over all ranks, in place; then
            each rank may have batches of its own and all get the same statistics.

    Returns:
        The number of batches seen, of all ranks.

    Source: PySlowFast's precise BN (fvcore); ours adds the spread of the batch
    means to the variance, which fvcore's first form leaves out.
    """
    norms = batch_norms(model)
    modes = {module: module.training for module in model.modules()}
    momenta = [norm.momentum for norm in norms]
    totals = torch.zeros_like(_means_and_squares(norms))
    num_batches = 0
    model.train()
    for norm in norms:
        norm.momentum = 1.0  # the running statistics become those of the last batch
    snapshot = BatchNormSnapshot(model)
    try:
        for batch in batches:
            forward(model, batch)
            totals += _means_and_squares(norms)
            num_batches += 1
    finally:
        snapshot.restore()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
    if sum_over_ranks is not None:
        counted = torch.cat([totals, totals.new_tensor([num_batches])])
        sum_over_ranks(counted)
        totals, num_batches = counted[:-1], int(counted[-1])
    if num_batches:
        _set_statistics(norms, totals / num_batches)
    return num_batches


def _means_and_squares(norms: list[_BatchNorm]) -> Tensor:
    """Return the mean and var + mean^2 of every layer as one float64 vector."""
    parts = []
    for norm in norms:
        mean, var = (value.double() for value in _statistics(norm))
        parts += [mean, var + mean**2]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def _set_statistics(norms: list[_BatchNorm], values: Tensor) -> None:
    """Put the running statistics to what `_means_and_squares` would return as `values`."""
    sizes = [size for norm in norms for size in (norm.num_features,) * 2]
    parts = iter(values.split(sizes))
    for norm, mean, square in zip(norms, parts, parts, strict=True):
        running_mean, running_var = _statistics(norm)
        running_mean.copy_(mean)
        running_var.copy_((square - mean**2).clamp(min=0))


def _statistics(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var
