"""Training and scoring on AVA: the two runs that the commands start.

They stand here, above `build`, because training scores its model in the same way
as the evaluation command does.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from x3d_det.build import (
    EvaluationData,
    build_evaluation_batches,
    build_evaluation_data,
    build_label_map,
    build_model,
    build_schedule,
    build_train_optimizer,
    build_train_options,
    build_training_batches,
    build_training_data,
    evaluation_dtype,
    load_pretrained,
    resolve_device,
    set_threads,
)
from x3d_det.config.load import dump_config
from x3d_det.config.schema import ExperimentConfig
from x3d_det.data import AvaBatch
from x3d_det.engine import BatchNote, TrainResult, World, detect_actions, end_world, start_world
from x3d_det.engine.train import train
from x3d_det.errors import CheckpointError
from x3d_det.evaluation import AvaReport, evaluate_ava, write_report
from x3d_det.io.ava_write import write_detections
from x3d_det.io.files import atomic_write
from x3d_det.io.label_map import LabelMap
from x3d_det.io.weights import load_model, load_weights
from x3d_det.models import ActionDetector
from x3d_det.models.fused import fuse_for_inference

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluated:
    """A scored model, on rank 0."""

    report: AvaReport
    detections: pd.DataFrame
    num_keyframes: int
    seconds: float


def train_on_ava(config: ExperimentConfig, output_dir: Path, *, resume: bool) -> TrainResult:
    """Train, scoring along the way, and leave everything in `output_dir`.

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
    model = build_model(config, world.device)
    _start_weights(config, model, world)
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
        assert isinstance(model_for_use, ActionDetector)
        evaluated = score_on_ava(config, model_for_use, scoring, world)
        return {"mAP": evaluated.report.mean_ap} if evaluated is not None else {}

    result = train(
        model=model,
        compute_loss=_loss,
        batches=batches,
        optimizer=build_train_optimizer(config, model),
        schedule=build_schedule(config.train, steps_per_epoch),
        output_dir=output_dir,
        options=build_train_options(config, steps_per_epoch, resume=resume),
        world=world,
        evaluate=evaluate,
        note_batch=_note,
        run_metadata={
            "config": config.model_dump(mode="json"),
            "classes": _classes(scoring.label_map),
        },
        export_metadata=_export_metadata(config, scoring.label_map),
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
    state, metadata = load_model(checkpoint)
    _require_same_model(config, checkpoint, metadata)
    set_threads(config)
    world = start_world(resolve_device(config))
    data = build_evaluation_data(config)
    model = build_model(config, world.device)
    load_weights(model, state, strict=True, source=str(checkpoint))
    if world.is_main:
        _logger.info("validation: %s", "; ".join(data.counts.lines()))
    evaluated = score_on_ava(config, model.eval(), data, world)
    files: list[Path] = []
    if evaluated is not None:
        files = write_report(evaluated.report, output_dir)
        files.append(output_dir / "detections.csv")
        write_detections(evaluated.detections, files[-1])
    end_world(world)
    return evaluated, files


def score_on_ava(
    config: ExperimentConfig, model: ActionDetector, data: EvaluationData, world: World
) -> Evaluated | None:
    """Return report and detections of a model in eval mode on rank 0, None on other ranks."""
    started = time.perf_counter()
    fused = fuse_for_inference(model, dtype=evaluation_dtype(config)).to(world.device)
    detections = detect_actions(
        fused,
        build_evaluation_batches(config, data.dataset, world),
        action_ids=data.label_map.action_ids,
        num_keyframes=len(data.dataset),
        world=world,
    )
    if detections is None:
        return None
    annotations = data.annotations
    if config.evaluation.rules != "activitynet2020":  # the others know no keyframes without people
        annotations = replace(annotations, empty_keyframes=annotations.empty_keyframes.iloc[:0])
    report = evaluate_ava(
        annotations,
        detections,
        label_map=data.label_map,
        rules=config.evaluation.rules,
        exclusions=data.exclusions,
        label_map_name=str(config.dataset.label_map),
    )
    seconds = time.perf_counter() - started
    return Evaluated(report, detections, len(data.dataset), seconds)


def _loss(model: nn.Module, batch: AvaBatch) -> tuple[Tensor, dict[str, float]]:
    """Return the mean binary cross-entropy over boxes and actions; 0 where there is no box."""
    device = next(model.parameters()).device
    batch = batch.to(device)
    logits_NK = model(batch.clips_BCTHW, batch.boxes_xyxy_px)
    numbers = {"boxes": float(len(logits_NK))}
    if not len(logits_NK):
        return logits_NK.sum(), numbers
    return F.binary_cross_entropy_with_logits(logits_NK.float(), batch.targets_NK), numbers


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


def _start_weights(config: ExperimentConfig, model: nn.Module, world: World) -> None:
    if config.pretrained is not None:
        report = load_pretrained(model, config.pretrained)
        if world.is_main:
            _logger.info("pretrained %s: %s", config.pretrained, report.text())
    elif world.is_main:
        _logger.info(
            "starting from random weights; published results start from Kinetics "
            "(--set pretrained=FILE)"
        )


def _classes(label_map: LabelMap) -> dict[str, str]:
    return {str(action_id): label_map.names[action_id] for action_id in label_map.action_ids}


def _export_metadata(config: ExperimentConfig, label_map: LabelMap) -> dict[str, str]:
    return {
        "format": "x3d_det action detector",
        "config": json.dumps(config.model_dump(mode="json")),
        "classes": json.dumps(_classes(label_map)),
        "torch": str(torch.__version__),
    }


def _require_same_model(
    config: ExperimentConfig, checkpoint: Path, metadata: Mapping[str, str]
) -> None:
    """Refuse a checkpoint of another model or other classes before anything is built."""
    if "config" not in metadata:
        return
    trained: dict[str, Any] = json.loads(metadata["config"])
    wanted = config.model_dump(mode="json")
    for section, keys in (
        (
            "model",
            (
                "name",
                "head",
                "feature_stride",
                "width_factor",
                "depth_factor",
                "bottleneck_factor",
                "roi_size",
            ),
        ),
        ("clip", ("num_frames", "sampling_stride", "fps", "mean", "std")),
        ("dataset", ("num_classes",)),
    ):
        for key in keys:
            found, asked = trained[section][key], wanted[section][key]
            if found != asked:
                raise CheckpointError(
                    f"checkpoint {checkpoint} was trained with {section}.{key} = {found}, the "
                    f"config has {asked}; evaluate it with the config that it was trained with, "
                    f"or --set {section}.{key}={found}"
                )
    trained_classes = json.loads(metadata["classes"])
    for action_id, name in _classes(build_label_map(config)).items():
        other = trained_classes.get(action_id, name)
        if other != name:
            raise CheckpointError(
                f"checkpoint {checkpoint}: action id {action_id} is {other!r} there and {name!r} "
                f"in {config.dataset.label_map}; use the label map that it was trained with"
            )


def _write_side_files(config: ExperimentConfig, output_dir: Path, result: TrainResult) -> None:
    """Write the resolved config and the curves beside what the engine wrote."""
    from x3d_det.visualization.curves import plot_curves

    with atomic_write(output_dir / "config.yaml", "w") as file:
        file.write(dump_config(config))
    if result.step:
        plot_curves(output_dir / "journal.jsonl", output_dir / "curves.png")
