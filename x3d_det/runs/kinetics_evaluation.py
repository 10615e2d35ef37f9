"""Scoring a checkpoint on the validation videos of a Kinetics, as the command runs it."""

import logging
from collections.abc import Sequence
from pathlib import Path

from x3d_det.builders.common import resolve_device, set_threads
from x3d_det.builders.kinetics import build_lists
from x3d_det.builders.kinetics_views import build_view_dataset
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.engine import end_world, start_world
from x3d_det.evaluation.kinetics_files import write_kinetics_report
from x3d_det.runs.kinetics import EvaluatedVideos, load_classifier, score_on_kinetics
from x3d_det.zoo import weights_path

_logger = logging.getLogger(__name__)


def evaluate_checkpoint(
    config: KineticsConfig, checkpoint: str, result: Path
) -> tuple[EvaluatedVideos | None, list[Path]]:
    """Score the model of a checkpoint; rank 0 returns the result and the files written.

    Args:
        config: of the model, the videos and their views.
        checkpoint: a file of any known layout, or a name of `x3d_det.zoo`.
        result: path of the JSON file; the table and the picture go beside it.

    Raises:
        X3DDetError: the checkpoint is damaged or of another model, or videos cannot be read.
    """
    set_threads(config)
    world = start_world(resolve_device(config))
    # Once, by rank 0: a name of the zoo may be a download.
    path = world.on_main(lambda: weights_path(checkpoint))
    lists = build_lists(config, ("val",))
    model = load_classifier(config, path, lists.class_names, world.device)
    views = build_view_dataset(config, lists)
    if world.is_main:
        for note in lists.notes:
            _logger.info("%s", note)
        _logger.info("%s videos, %s", f"{len(views):,}", views_text(config))
    evaluated = score_on_kinetics(config, model, lists, views, world, show_progress=True)
    files: list[Path] = []
    if evaluated is not None:
        files = _write(config, checkpoint, evaluated, lists.notes, result)
    end_world(world)
    return evaluated, files


def views_text(config: KineticsConfig) -> str:
    """Return what is shown of every video, in words."""
    evaluation = config.evaluation
    short_side_px, crop_px = config.evaluation_sizes_px
    clips, crops = evaluation.num_clips, evaluation.num_crops
    return (
        f"{_views(config)} of each: {_counted(clips, 'clip')} "
        f"({evaluation.clip_rule}) x {_counted(crops, 'crop')} of {crop_px} px at short side "
        f"{short_side_px} px"
    )


def _views(config: KineticsConfig) -> str:
    return _counted(config.evaluation.num_clips * config.evaluation.num_crops, "view")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _write(
    config: KineticsConfig,
    checkpoint: str,
    evaluated: EvaluatedVideos,
    list_notes: Sequence[str],
    result: Path,
) -> list[Path]:
    return write_kinetics_report(
        evaluated.report,
        evaluated.scores,
        result,
        run={
            "checkpoint": checkpoint,
            "dataset": config.dataset.name,
            "views": views_text(config),
            "list_notes": list(list_notes),
            "config": config.model_dump(mode="json"),
        },
        title=f"X3D-{config.model.name.upper()} on {config.dataset.name}: what is taken for what",
        subtitle=f"{evaluated.report.num_videos:,} videos, {_views(config)} of each",
    )
