"""What a candidate's own process does: trains the experiment of its job, and scores it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from x3d_det.cli import log_to_stderr
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.config.schema import ExperimentConfig
from x3d_det.engine import TrainResult
from x3d_det.runs.ava import train_on_ava
from x3d_det.runs.candidate_job import JobResult, TrainingJob
from x3d_det.runs.kinetics import train_on_kinetics


def train_kinetics_candidate(job: TrainingJob) -> JobResult:
    """Train on whole clips; the score is top-1 on the views of the validation videos."""
    return _train(job, KineticsConfig.model_validate(job.config), train_on_kinetics, "top1")


def train_ava_candidate(job: TrainingJob) -> JobResult:
    """Train on persons with actions; the score is frame-mAP on the validation keyframes."""
    return _train(job, ExperimentConfig.model_validate(job.config), train_on_ava, "mAP")


def _train(
    job: TrainingJob, config: Any, train: Callable[..., TrainResult], metric: str
) -> JobResult:
    log_to_stderr()
    folder = Path(job.folder)
    result = train(
        config,
        folder,
        resume=(folder / "journal.jsonl").exists(),
        stop_after_epoch=job.stop_after_epoch,
    )
    epochs = len(result.history)
    seconds = sum(entry["seconds"] for entry in result.history)
    if epochs < (job.stop_after_epoch or config.train.epochs):
        return JobResult(status="stopped", reason=f"by signal {result.signal_number}")
    metrics = result.history[-1]["metrics"]
    return JobResult(
        status="done", score=metrics[metric], seconds=seconds, epochs=epochs, metrics=metrics
    )
