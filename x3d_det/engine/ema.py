"""Exponential moving average of a model's weights."""

from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Averaged copy of a model's parameters and floating-point buffers.

    After each step: average = d * average + (1 - d) * weights. The decay d grows
    as min(decay, (1 + n) / (10 + n)) over the n updates before, so that the random
    start is forgotten in a short run too. Buffers that count stay equal to the model's.

    Args:
        model: its present weights are the first average.
        decay: in [0, 1); 0.999 averages over about 1,000 steps.

    Source: the decay's growth is that of TensorFlow's ExponentialMovingAverage(num_updates).
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay is {decay}; it must be in [0, 1).")
        self.decay = decay
        self.restart(model)

    def restart(self, model: nn.Module) -> None:
        """Take the model's present weights for the first average."""
        self.num_updates = 0
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model's present weights."""
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        self.num_updates += 1
        for name, value in model.state_dict().items():
            average = self.weights[name]
            if average.is_floating_point():
                average.lerp_(value.detach(), 1 - decay)
            else:
                average.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs."""
        return {"weights": self.weights, "num_updates": self.num_updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state; the names and shapes must be the model's."""
        self.num_updates = state["num_updates"]
        for name, average in self.weights.items():
            saved: Tensor = state["weights"][name]
            average.copy_(saved)
