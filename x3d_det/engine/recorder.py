"""Everything that a step or an epoch leaves behind for people: journals, curves, lines."""

import logging
from collections.abc import Mapping

from x3d_det.engine.journal import Curves
from x3d_det.engine.options import Counters, TrainOptions
from x3d_det.engine.progress import Reporter, epoch_line
from x3d_det.engine.run_folder import RunFolder
from x3d_det.engine.step import StepResult

_logger = logging.getLogger(__name__)


class Recorder:
    """Writes down what the run does; on all ranks but the first it does nothing.

    Args:
        folder: the run's, with its journals; None on other ranks.
        options: of the run.
        first_step: steps done before this process.
    """

    def __init__(self, folder: RunFolder | None, options: TrainOptions, *, first_step: int) -> None:
        self._folder = folder
        self._options = options
        self._reporter = Reporter(
            options.num_steps,
            first_step=first_step,
            log_every_steps=options.log_every_steps,
            enabled=folder is not None,
        )
        self._curves = (
            None if folder is None else Curves(folder.path / "tensorboard", first_step=first_step)
        )

    def step(self, counters: Counters, result: StepResult, learning_rate: float) -> None:
        """Record the step that `counters.step` counts as its last."""
        if self._folder is None or self._curves is None:
            return
        step = counters.step
        epoch = self._options.epoch_of(step)
        entry = {
            "step": step,
            "epoch": epoch,
            "loss": result.loss,
            **result.numbers,
            "learning_rate": learning_rate,
            "gradient_norm": result.gradient_norm,
            "step_seconds": round(result.step_seconds, 6),
            "data_seconds": round(result.data_seconds, 6),
            "clips_per_second": round(result.num_clips / result.step_seconds, 3),
            "skipped": result.skipped,
        }
        self._folder.steps.append(entry)
        self._reporter.step(step, epoch=epoch, result=result)
        if result.skipped:
            _logger.warning("step %d is skipped: %s", step, result.skipped)
        elif step % self._options.log_every_steps == 0:
            numbers = {
                "loss": result.loss,
                "learning_rate": learning_rate,
                "gradient_norm": result.gradient_norm,
                "clips_per_second": result.num_clips / result.step_seconds,
                **result.numbers,
            }
            self._curves.add(step, {f"train/{name}": value for name, value in numbers.items()})

    def epoch_trained(self, epoch: int, summary: Mapping[str, float]) -> None:
        """Say how the training of an epoch went."""
        self._reporter.pause()
        if self._folder is not None:
            _logger.info("%s", epoch_line(epoch, self._options.num_epochs, summary))

    def epoch_evaluated(self, epoch: int, metrics: Mapping[str, float], seconds: float) -> None:
        """Say what an evaluation gave."""
        if self._folder is not None:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            _logger.info("epoch %d evaluated in %.1f s: %s", epoch, seconds, shown or "no metrics")

    def epoch_finished(
        self, step: int, entry: Mapping[str, object], metrics: Mapping[str, float]
    ) -> None:
        """Write the epoch's line and its curves, at the step that ends it."""
        if self._folder is None or self._curves is None:
            return
        self._folder.epochs.append(entry)
        curves = {f"evaluation/{name}": value for name, value in metrics.items()}
        self._curves.add(step, curves)

    def close(self) -> None:
        """Take the bar away and write out the curves."""
        self._reporter.pause()
        if self._curves is not None:
            self._curves.close()
