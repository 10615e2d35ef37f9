"""What a person sees of a run: a live bar on a terminal, plain lines elsewhere, a line an epoch."""

import logging
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from x3d_det.engine.step import StepResult

_logger = logging.getLogger(__name__)
_MIN_SECONDS_BETWEEN_LINES = 2.0


class StderrHandler(logging.StreamHandler):  # type: ignore[type-arg, unused-ignore]
    """Log handler that looks up `sys.stderr` at each line, so that lines go above a live bar."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """The present `sys.stderr`."""
        return sys.stderr


@dataclass
class Meter:
    """Sums over the steps of one epoch."""

    num_steps: int = 0
    num_skipped: int = 0
    loss_sum: float = 0.0
    step_seconds: float = 0.0
    data_seconds: float = 0.0
    num_clips: int = 0
    num_frames: int = 0
    decode_seconds: float = 0.0

    def add(self, result: StepResult) -> None:
        """Count one step."""
        self.num_steps += 1
        self.num_skipped += bool(result.skipped)
        self.loss_sum += 0.0 if result.skipped else result.loss
        self.step_seconds += result.step_seconds
        self.data_seconds += result.data_seconds
        self.num_clips += result.num_clips
        self.num_frames += sum(note.num_frames for note in result.notes)
        self.decode_seconds += sum(note.decode_seconds for note in result.notes)

    def summary(self) -> dict[str, float]:
        """Return the means and rates of the epoch so far."""
        num_good = self.num_steps - self.num_skipped
        return {
            "loss": self.loss_sum / num_good if num_good else float("nan"),
            "clips_per_second": _ratio(self.num_clips, self.step_seconds),
            "data_share": _ratio(self.data_seconds, self.step_seconds),
            "decoded_frames_per_second": _ratio(self.num_frames, self.decode_seconds),
            "num_skipped": self.num_skipped,
            "seconds": self.step_seconds,
        }


def peak_memory_bytes() -> int:
    """Return the largest resident size that this process has had."""
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes


def epoch_line(epoch: int, num_epochs: int, summary: Mapping[str, float]) -> str:
    """Return the line that stands at an epoch's end."""
    parts = [
        f"epoch {epoch}/{num_epochs}: loss {summary['loss']:.4f}",
        f"{summary['clips_per_second']:.2f} clips/s",
        f"data {100 * summary['data_share']:.0f} % of the step",
    ]
    if summary["decoded_frames_per_second"]:
        parts.append(f"decoding {summary['decoded_frames_per_second']:.0f} frames/s a worker")
    parts.append(f"{int(summary['num_skipped'])} steps skipped")
    parts.append(f"peak {peak_memory_bytes() / 2**30:.2f} GiB")
    return ", ".join(parts)


class Reporter:
    """Shows steps as they are done.

    Args:
        num_steps: of the whole run.
        first_step: where this process begins.
        log_every_steps: of the plain lines; also at least two seconds lie between two.
        enabled: False on all ranks but the first.
    """

    def __init__(
        self, num_steps: int, *, first_step: int, log_every_steps: int, enabled: bool = True
    ) -> None:
        self._num_steps = num_steps
        self._log_every_steps = log_every_steps
        self._enabled = enabled
        self._mean_step_seconds = 0.0
        self._last_line_seconds = 0.0
        self._bar: Progress | None = None
        if enabled and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(
                "train", total=num_steps, completed=first_step, epoch=1, text=""
            )

    def step(self, step: int, *, epoch: int, result: StepResult) -> None:
        """Show one step; `step` counts the steps done, this one included."""
        if not self._enabled:
            return
        keep = 0.9 if self._mean_step_seconds else 0.0
        self._mean_step_seconds = keep * self._mean_step_seconds + (1 - keep) * result.step_seconds
        left_seconds = (self._num_steps - step) * self._mean_step_seconds
        text = (
            f"loss {result.loss:.4f}  {result.step_seconds:.2f} s/step  "
            f"data {result.data_seconds:.2f} s  "
            f"{_ratio(result.num_clips, result.step_seconds):.1f} clips/s  "
            f"{_clock(left_seconds)} left"
        )
        if self._bar is not None:
            self._bar.start()
            self._bar.update(self._task, completed=step, epoch=epoch, text=text)
            return
        now = time.monotonic()
        due = step % self._log_every_steps == 0 or step == self._num_steps
        if due and now - self._last_line_seconds >= _MIN_SECONDS_BETWEEN_LINES:
            self._last_line_seconds = now
            _logger.info("epoch %d  step %d/%d  %s", epoch, step, self._num_steps, text)

    def pause(self) -> None:
        """Take the bar away until the next step, so that others may print."""
        if self._bar is not None:
            self._bar.stop()


def _ratio(count: float, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
