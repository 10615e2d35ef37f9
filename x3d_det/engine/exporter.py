"""What becomes of the weights for use: they are evaluated, written, and kept if the best."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from x3d_det.engine.distributed import World
from x3d_det.engine.options import Counters
from x3d_det.engine.recorder import Recorder
from x3d_det.errors import X3DDetError, did_you_mean
from x3d_det.io.weights import save_model

Evaluate = Callable[[nn.Module, int], Mapping[str, float]]
"""(copy of the model with the weights for use, epoch) -> metrics; called on every rank."""


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """Evaluates the weights for use and writes them into the run's folder.

    All ranks have one and call it together; rank 0's metrics count, and it alone writes.

    Args:
        output_dir: gets `model.safetensors` and, where a best metric is named,
            `model_best.safetensors`.
        world: of the run.
        recorder: is told of each evaluation.
        evaluate: gives the metrics; None gives none, and then no epoch is the best.
        best_metric: key of the metrics; higher is better. None keeps no best.
        metadata: goes into the files, beside the epoch, the step and the metrics.
    """

    output_dir: Path
    world: World
    recorder: Recorder
    evaluate: Evaluate | None
    best_metric: str | None
    metadata: Mapping[str, str]

    def export(self, model: nn.Module, epoch: int, counters: Counters) -> dict[str, float]:
        """Evaluate and write the model; return its metrics.

        Args:
            model: with the weights for use, in eval mode.
            epoch: the one just trained, counted from 1.
            counters: their step is written; a new best is noted in them.

        Raises:
            X3DDetError: the metrics lack the best metric; the disk is full.
        """
        metrics = self._metrics(model, epoch)
        names = ["model.safetensors"]
        if self._is_best(metrics, counters.best_value):
            counters.best_value = float(metrics[str(self.best_metric)])
            counters.best_step = counters.step
            names.append("model_best.safetensors")
        metadata = {
            **self.metadata,
            "epoch": str(epoch),
            "step": str(counters.step),
            "metrics": json.dumps(metrics),
        }

        def write() -> None:
            for name in names:
                save_model(self.output_dir / name, model.state_dict(), metadata)

        self.world.on_main(write)
        return metrics

    def _metrics(self, model: nn.Module, epoch: int) -> dict[str, float]:
        if self.evaluate is None:
            return {}
        start_seconds = time.monotonic()
        metrics = dict(self.world.broadcast_object(self.evaluate(model, epoch)))
        self.recorder.epoch_evaluated(epoch, metrics, time.monotonic() - start_seconds)
        return metrics

    def _is_best(self, metrics: Mapping[str, float], best_value: float | None) -> bool:
        name = self.best_metric
        if name is None or self.evaluate is None:
            return False
        if name not in metrics:
            raise X3DDetError(
                f"best_metric is {name}, but the evaluation gave {', '.join(metrics) or 'nothing'}"
                f"{did_you_mean(name, metrics)}."
            )
        return not math.isnan(metrics[name]) and (best_value is None or metrics[name] > best_value)
