"""A training on AVA, as the command runs it."""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from x3d_det.builders.ava import (
    build_evaluation_data,
    build_model,
    build_training_batches,
    build_training_data,
)
from x3d_det.builders.common import (
    build_schedule,
    build_train_optimizer,
    build_train_options,
    resolve_device,
    set_threads,
)
from x3d_det.config.load import dump_config
from x3d_det.config.schema import FRACTIONAL_RULES, ExperimentConfig
from x3d_det.data import AvaBatch
from x3d_det.engine import BatchNote, TrainResult, end_world, start_world
from x3d_det.engine.step import ComputeLoss
from x3d_det.engine.train import train
from x3d_det.io.files import atomic_write
from x3d_det.models import X3DDetector
from x3d_det.runs.ava_evaluation import score_on_ava
from x3d_det.runs.detector_file import class_names, export_metadata
from x3d_det.runs.start_weights import start_weights

_logger = logging.getLogger(__name__)


def train_on_ava(
    config: ExperimentConfig,
    output_dir: Path,
    *,
    resume: bool,
    stop_after_epoch: int | None = None,
) -> TrainResult:
    """Train, scoring along the way, and leave everything in `output_dir`.

    Args:
        config: the experiment.
        output_dir: is made where it does not stand.
        resume: go on with the run there.
        stop_after_epoch: leave after the evaluation of this epoch, to go on by a resume.

    Raises:
        X3DDetError: data, files or settings that cannot be trained with; see `engine.train`.
    """
    threads = set_threads(config)
    world = start_world(resolve_device(config))
    training, counts = build_training_data(config)
    scoring = build_evaluation_data(config)
    if world.is_main:
        _logger.info("training: %s", "; ".join(counts.lines()))
        _logger.info("validation: %s", "; ".join(scoring.counts.lines()))
        if config.evaluation.rules == FRACTIONAL_RULES:
            _logger.info(
                "validation: by the rules %s, which know fractions of a second", FRACTIONAL_RULES
            )
    model = build_model(config, world.device)
    start_weights(model, config.pretrained, world, resume_from=output_dir if resume else None)
    batches, steps_per_epoch = build_training_batches(config, training, world)
    if world.is_main:
        _logger.info(
            "X3D-%s, %s parameters, on %s (%d threads): %d epochs of %d steps of %d clips",
            config.model.name.upper(),
            f"{sum(p.numel() for p in model.parameters()):,}",
            world.device,
            threads,
            config.train.epochs,
            steps_per_epoch,
            config.train.batch_size,
        )

    def evaluate(model_for_use: nn.Module, epoch: int) -> Mapping[str, float]:
        assert isinstance(model_for_use, X3DDetector)
        evaluated = score_on_ava(config, model_for_use, scoring, world)
        return {"mAP": evaluated.report.mean_ap} if evaluated is not None else {}

    result = train(
        model=model,
        compute_loss=_LOSSES[config.dataset.labels],
        batches=batches,
        optimizer=build_train_optimizer(config, model),
        schedule=build_schedule(config.train, steps_per_epoch),
        output_dir=output_dir,
        options=build_train_options(
            config,
            steps_per_epoch=steps_per_epoch,
            best_metric="mAP",
            resume=resume,
            stop_after_epoch=stop_after_epoch,
        ),
        world=world,
        evaluate=evaluate,
        note_batch=_note,
        run_metadata={
            "config": config.model_dump(mode="json"),
            "classes": class_names(scoring.classes),
        },
        export_metadata=export_metadata(config, scoring.classes),
    )
    if world.is_main:
        _write_side_files(config, output_dir, result)
    if result.finished:
        end_world(world)
    return result


def _multi_label_loss(model: nn.Module, batch: AvaBatch) -> tuple[Tensor, dict[str, float]]:
    """Return the mean binary cross-entropy over boxes and actions; 0 where there is no box."""
    logits_NK, targets_NK, numbers = _logits(model, batch)
    if not len(logits_NK):
        return logits_NK.sum(), numbers
    return F.binary_cross_entropy_with_logits(logits_NK, targets_NK), numbers


def _single_label_loss(model: nn.Module, batch: AvaBatch) -> tuple[Tensor, dict[str, float]]:
    """Return the mean cross-entropy over boxes, each of one action; 0 where there is no box."""
    logits_NK, targets_NK, numbers = _logits(model, batch)
    if not len(logits_NK):
        return logits_NK.sum(), numbers
    return F.cross_entropy(logits_NK, targets_NK.argmax(dim=1)), numbers


def _logits(model: nn.Module, batch: AvaBatch) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Return logits and targets on the model's device, and what the journal notes."""
    batch = batch.to(next(model.parameters()).device)
    logits_NK = model(batch.clips_BCTHW, batch.boxes_xyxy_px)
    return logits_NK.float(), batch.targets_NK, {"boxes": float(len(logits_NK))}


_LOSSES: dict[str, ComputeLoss[AvaBatch]] = {
    "multi": _multi_label_loss,
    "single": _single_label_loss,
}


def _note(batch: AvaBatch) -> BatchNote:
    return BatchNote(
        text=", ".join(
            f"{video_id} at {timestamp:g}"
            for video_id, timestamp in zip(batch.video_ids, batch.timestamps, strict=True)
        ),
        num_clips=batch.num_clips,
        num_frames=batch.num_decoded,
        decode_seconds=batch.decode_seconds,
    )


def _write_side_files(config: ExperimentConfig, output_dir: Path, result: TrainResult) -> None:
    """Write the resolved config and the curves beside what the engine wrote."""
    from x3d_det.visualization.curves import plot_curves

    with atomic_write(output_dir / "config.yaml", "w") as file:
        file.write(dump_config(config))
    if result.step:
        plot_curves(output_dir / "journal.jsonl", output_dir / "curves.png")
