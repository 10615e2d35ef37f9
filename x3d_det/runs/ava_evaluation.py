"""Scoring a detector on the keyframes of AVA: a checkpoint's, or one in training."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from x3d_det.builders.ava import (
    EvaluationData,
    build_evaluation_batches,
    build_evaluation_data,
    build_model,
    build_source,
    build_views,
    view_dataset,
)
from x3d_det.builders.common import evaluation_dtype, resolve_device, set_threads
from x3d_det.config.schema import ExperimentConfig
from x3d_det.data import AvaBatch
from x3d_det.engine import World, end_world, start_world
from x3d_det.engine.infer import (
    Activation,
    KeyframeScores,
    detection_table,
    score_dataset,
    weighted_by_person,
)
from x3d_det.evaluation import AvaReport
from x3d_det.evaluation.analysis import explain_score
from x3d_det.evaluation.ava import AvaTables, Scored
from x3d_det.evaluation.rules import rules_named
from x3d_det.io.ava_write import write_detections
from x3d_det.io.weights import load_model, load_weights
from x3d_det.models import X3DDetector
from x3d_det.models.fused import fuse_for_inference
from x3d_det.runs.detector_file import require_same_model
from x3d_det.score_page import write_score

_logger = logging.getLogger(__name__)

_ACTIVATIONS: dict[str, Activation] = {"multi": "sigmoid", "single": "softmax"}


@dataclass(frozen=True)
class Evaluated:
    """A scored model, on rank 0."""

    report: AvaReport
    scored: Scored
    """What the report was made of, for its reasons."""
    detections: pd.DataFrame
    num_keyframes: int
    seconds: float


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
    return write_score(
        evaluated.report,
        explain_score(evaluated.report, evaluated.scored),
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
    require_same_model(config, checkpoint, metadata)
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
    boxes = score_boxes(config, model, data, world)
    if boxes is None:
        return None
    report, scored, detections = evaluate_scores(config, data, boxes)
    seconds = time.perf_counter() - started
    return Evaluated(report, scored, detections, len(data.dataset), seconds)


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
    config: ExperimentConfig, data: EvaluationData, boxes: Sequence[KeyframeScores]
) -> tuple[AvaReport, Scored, pd.DataFrame]:
    """Return the report on a model's scores, what it was made of, and the detections."""
    targets = data.classes.targets_of(np.array(data.classes.label_map.action_ids))
    detections = detection_table(boxes, action_ids=sorted(targets.tolist()))
    detections["action_id"] = data.classes.ids_of(detections["action_id"].to_numpy())
    tables = AvaTables(
        data.annotations_under(config.evaluation.rules),
        detections,
        data.exclusions,
        data.classes.label_map,
        str(config.dataset.label_map),
    )
    return *tables.evaluate(rules_named(config.evaluation.rules)), detections
