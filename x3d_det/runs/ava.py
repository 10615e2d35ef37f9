"""Training and scoring on AVA: the two runs that the commands start.

They stand here, above `build`, because training scores its model in the same way
as the evaluation command does.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from x3d_det.builders.ava import (
    EvaluationData,
    build_classes,
    build_evaluation_batches,
    build_evaluation_data,
    build_model,
    build_source,
    build_training_batches,
    build_training_data,
    build_views,
    view_dataset,
)
from x3d_det.builders.common import (
    build_schedule,
    build_train_optimizer,
    build_train_options,
    evaluation_dtype,
    resolve_device,
    set_threads,
)
from x3d_det.config.load import dump_config
from x3d_det.config.schema import FRACTIONAL_RULES, ExperimentConfig
from x3d_det.data import AvaBatch
from x3d_det.dataset_tables import ActionClasses
from x3d_det.engine import BatchNote, TrainResult, World, end_world, start_world
from x3d_det.engine.infer import (
    Activation,
    KeyframeScores,
    detection_table,
    score_dataset,
    weighted_by_person,
)
from x3d_det.engine.step import ComputeLoss
from x3d_det.engine.train import train
from x3d_det.errors import CheckpointError
from x3d_det.evaluation import AvaReport, evaluate_ava
from x3d_det.evaluation.analysis import explain_evaluation
from x3d_det.io.ava_write import write_detections
from x3d_det.io.files import atomic_write
from x3d_det.io.weights import load_model, load_weights
from x3d_det.models import X3DDetector
from x3d_det.models.fused import fuse_for_inference
from x3d_det.runs.start_weights import start_weights
from x3d_det.score_page import write_score

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluated:
    """A scored model, on rank 0."""

    report: AvaReport
    detections: pd.DataFrame
    num_keyframes: int
    seconds: float


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
            "classes": _names(scoring.classes),
        },
        export_metadata=_export_metadata(config, scoring.classes),
    )
    if world.is_main:
        _write_side_files(config, output_dir, result)
    if result.finished:
        end_world(world)
    return result


def evaluate_checkpoint(
    config: ExperimentConfig, checkpoint: Path, output_dir: Path
) -> tuple[Evaluated | None, list[Path]]:
    """Score the model of a checkpoint; rank 0 returns the result and the files written.

    Raises:
        X3DDetError: the checkpoint is damaged or of another model, or data cannot be read.
    """
    model, data, world = load_for_scoring(config, checkpoint)
    evaluated = score_on_ava(config, model, data, world)
    files: list[Path] = []
    if evaluated is not None:
        files = _write_explained(config, data, evaluated, output_dir)
        files.append(output_dir / "detections.csv")
        write_detections(evaluated.detections, files[-1])
    end_world(world)
    return evaluated, files


def _write_explained(
    config: ExperimentConfig, data: EvaluationData, evaluated: Evaluated, output_dir: Path
) -> list[Path]:
    """Write the score with its reasons, the worst keyframes drawn."""
    report, analysis = explain_evaluation(
        data.annotations_under(config.evaluation.rules),
        evaluated.detections,
        label_map=data.classes.label_map,
        rules=config.evaluation.rules,
        exclusions=data.exclusions,
        label_map_name=str(config.dataset.label_map),
    )
    return write_score(
        report,
        analysis,
        output_dir,
        annotations=data.annotations,
        detections=evaluated.detections,
        label_map=data.classes.label_map,
        source=build_source(config),
    )


def load_for_scoring(
    config: ExperimentConfig, checkpoint: Path
) -> tuple[X3DDetector, EvaluationData, World]:
    """Return the model of a checkpoint in eval mode, what it is scored on, and the ranks.

    Raises:
        X3DDetError: the checkpoint is damaged or of another model, or data cannot be read.
    """
    state, metadata = load_model(checkpoint)
    _require_same_model(config, checkpoint, metadata)
    set_threads(config)
    world = start_world(resolve_device(config))
    data = build_evaluation_data(config)
    model = build_model(config, world.device)
    load_weights(model, state, strict=True, source=str(checkpoint))
    if world.is_main:
        _logger.info("validation: %s", "; ".join(data.counts.lines()))
    return model.eval(), data, world


def score_on_ava(
    config: ExperimentConfig, model: X3DDetector, data: EvaluationData, world: World
) -> Evaluated | None:
    """Return report and detections of a model in eval mode on rank 0, None on other ranks."""
    started = time.perf_counter()
    scored = score_boxes(config, model, data, world)
    if scored is None:
        return None
    report, detections = evaluate_scores(config, data, scored)
    seconds = time.perf_counter() - started
    return Evaluated(report, detections, len(data.dataset), seconds)


def score_boxes(
    config: ExperimentConfig, model: X3DDetector, data: EvaluationData, world: World
) -> list[KeyframeScores] | None:
    """Return the scores of all boxes over all views on rank 0, None on other ranks."""
    fused = fuse_for_inference(model, dtype=evaluation_dtype(config)).to(world.device)
    scored = score_dataset(
        fused,
        _batches_of_views(config, data, world),
        num_keyframes=len(data.dataset),
        world=world,
        activation=_ACTIVATIONS[config.dataset.labels],
    )
    if scored is None or not config.evaluation.weight_by_person_score:
        return scored
    return weighted_by_person(scored)


def _batches_of_views(
    config: ExperimentConfig, data: EvaluationData, world: World
) -> Iterator[Iterator[AvaBatch]]:
    views = build_views(config)
    for number, view in enumerate(views, start=1):
        if len(views) > 1 and world.is_main:
            _logger.info("view %d of %d: %s", number, len(views), view)
        yield build_evaluation_batches(config, view_dataset(config, data.dataset, view), world)


def evaluate_scores(
    config: ExperimentConfig, data: EvaluationData, scored: Sequence[KeyframeScores]
) -> tuple[AvaReport, pd.DataFrame]:
    """Return the report on a model's scores, and their detections."""
    targets = data.classes.targets_of(np.array(data.classes.label_map.action_ids))
    detections = detection_table(scored, action_ids=sorted(targets.tolist()))
    detections["action_id"] = data.classes.ids_of(detections["action_id"].to_numpy())
    report = evaluate_ava(
        data.annotations_under(config.evaluation.rules),
        detections,
        label_map=data.classes.label_map,
        rules=config.evaluation.rules,
        exclusions=data.exclusions,
        label_map_name=str(config.dataset.label_map),
    )
    return report, detections


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
_ACTIVATIONS: dict[str, Activation] = {"multi": "sigmoid", "single": "softmax"}


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


def _names(classes: ActionClasses) -> dict[str, str]:
    return {str(action_id): name for action_id, name in classes.label_map.names.items()}


def _export_metadata(config: ExperimentConfig, classes: ActionClasses) -> dict[str, str]:
    return {
        "format": "x3d_det action detector",
        "config": json.dumps(config.model_dump(mode="json")),
        "classes": json.dumps(_names(classes)),
        "output_ids": json.dumps(classes.output_ids),
        "labels": config.dataset.labels,
        "torch": str(torch.__version__),
    }


_MODEL_KEYS = {
    "model": (
        "name",
        "head",
        "feature_stride",
        "width_factor",
        "depth_factor",
        "bottleneck_factor",
        "roi_size",
    ),
    "clip": ("num_frames", "sampling_stride", "fps", "mean", "std"),
}


def _require_same_model(
    config: ExperimentConfig, checkpoint: Path, metadata: Mapping[str, str]
) -> None:
    """Refuse a checkpoint of another model or other classes before anything is built."""
    if "config" not in metadata:
        return
    trained: dict[str, Any] = json.loads(metadata["config"])
    wanted = config.model_dump(mode="json")
    differences = [
        (f"{section}.{key}", trained[section][key], wanted[section][key])
        for section, keys in _MODEL_KEYS.items()
        for key in keys
        if trained[section][key] != wanted[section][key]
    ]
    labels = metadata.get("labels", "multi")
    if labels != config.dataset.labels:
        differences.append(("dataset.labels", labels, config.dataset.labels))
    classes = build_classes(config)
    differences += _output_differences(trained["dataset"], metadata, config, classes)
    if differences:
        setting, found, asked = differences[0]
        raise CheckpointError(
            f"checkpoint {checkpoint} was trained with {setting} = {found}, the "
            f"config has {asked}; evaluate it with the config that it was trained with, "
            f"or --set {setting}={found}"
        )
    trained_classes = json.loads(metadata["classes"])
    for action_id, name in _names(classes).items():
        other = trained_classes.get(action_id, name)
        if other != name:
            raise CheckpointError(
                f"checkpoint {checkpoint}: action id {action_id} is {other!r} there and {name!r} "
                f"in {config.dataset.label_map}; use the label map that it was trained with"
            )


def _output_differences(
    trained: Mapping[str, Any],
    metadata: Mapping[str, str],
    config: ExperimentConfig,
    classes: ActionClasses,
) -> list[tuple[str, Any, Any]]:
    """Return (setting, trained, asked) where the model's outputs stand for other actions."""
    if "output_ids" in metadata:
        trained_ids = tuple(json.loads(metadata["output_ids"]))
    else:
        trained_ids = tuple(range(1, trained["num_classes"] + 1))
    if trained_ids == classes.output_ids:
        return []
    if trained.get("classes") is None and config.dataset.classes is None:
        return [("dataset.num_classes", len(trained_ids), len(classes.output_ids))]
    asked = "null" if config.dataset.classes is None else list(classes.output_ids)
    if trained.get("classes") is None:
        return [("dataset.classes", "null", asked)]
    return [("dataset.classes", list(trained_ids), asked)]


def _write_side_files(config: ExperimentConfig, output_dir: Path, result: TrainResult) -> None:
    """Write the resolved config and the curves beside what the engine wrote."""
    from x3d_det.visualization.curves import plot_curves

    with atomic_write(output_dir / "config.yaml", "w") as file:
        file.write(dump_config(config))
    if result.step:
        plot_curves(output_dir / "journal.jsonl", output_dir / "curves.png")
