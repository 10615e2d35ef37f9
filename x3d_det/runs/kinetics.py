"""A training and an evaluation on clips with one label, as the commands run them."""

import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from x3d_det.builders.common import (
    build_train_optimizer,
    build_train_options,
    evaluation_dtype,
    resolve_device,
    set_threads,
)
from x3d_det.builders.kinetics import (
    KineticsLists,
    build_classifier,
    build_course,
    build_lists,
    build_train_dataset,
)
from x3d_det.builders.kinetics_views import build_view_batches, build_view_dataset
from x3d_det.checkpoints import read_checkpoint
from x3d_det.checkpoints.pretrained import fill_model
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.config.load import dump_config
from x3d_det.data.kinetics import KineticsBatch, KineticsViewDataset
from x3d_det.engine import BatchNote, TrainResult, World, end_world, start_world
from x3d_det.engine.classify import VideoScores, score_videos
from x3d_det.engine.losses import class_loss, mix_clips
from x3d_det.engine.step import ComputeLoss
from x3d_det.engine.train import train
from x3d_det.errors import CheckpointError
from x3d_det.evaluation.kinetics import KineticsReport, evaluate_kinetics
from x3d_det.io.files import atomic_write
from x3d_det.models import X3DClassifier
from x3d_det.models.fused import fuse_for_inference
from x3d_det.runs.start_weights import start_weights
from x3d_det.zoo import weights_path

_logger = logging.getLogger(__name__)

CLASSIFIER_FORMAT = "x3d_det classifier"
"""What `model.safetensors` of a training says that it is."""


@dataclass(frozen=True)
class EvaluatedVideos:
    """A scored classifier, on rank 0."""

    report: KineticsReport
    scores: list[VideoScores]
    seconds: float


def train_on_kinetics(
    config: KineticsConfig,
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
    lists = build_lists(config, ("train", "val"))
    dataset, views = build_train_dataset(config, lists), build_view_dataset(config, lists)
    model = build_classifier(config, world.device)
    course = build_course(config, dataset, world)
    start_weights(
        model,
        config.pretrained,
        world,
        class_names=lists.class_names,
        resume_from=output_dir if resume else None,
    )
    if world.is_main:
        _log_plan(config, lists, model, course.lines, device=world.device, threads=threads)

    def evaluate(model_for_use: nn.Module, epoch: int) -> Mapping[str, float]:
        assert isinstance(model_for_use, X3DClassifier)
        evaluated = score_on_kinetics(config, model_for_use, lists, views, world)
        if evaluated is None:
            return {}
        return {"top1": evaluated.report.top1, "top5": evaluated.report.top5}

    result = train(
        model=model,
        compute_loss=_loss(config),
        batches=course.batches,
        optimizer=build_train_optimizer(config, model),
        schedule=course.schedule,
        output_dir=output_dir,
        options=build_train_options(
            config,
            steps_per_epoch=course.steps_per_epoch,
            epoch_ends=course.epoch_ends,
            best_metric="top1",
            resume=resume,
            stop_after_epoch=stop_after_epoch,
        ),
        world=world,
        evaluate=evaluate,
        note_batch=_Notes(),
        before_step=course.before_step,
        statistics_batches=course.statistics_batches,
        run_metadata={
            "config": config.model_dump(mode="json"),
            "classes": list(lists.class_names),
            "training_list": lists.digest("train"),
        },
        export_metadata=_export_metadata(config, model, lists.class_names),
    )
    if world.is_main:
        _write_side_files(config, output_dir, result)
    if result.finished:
        end_world(world)
    return result


def load_classifier(
    config: KineticsConfig,
    checkpoint: str | Path,
    class_names: tuple[str, ...],
    device: torch.device | str = "cpu",
) -> X3DClassifier:
    """Return the model of a checkpoint, in eval mode.

    Args:
        config: of the network that it must hold, and of the normalisation of its input.
        checkpoint: a file of any known layout, or a name of `x3d_det.zoo`.
        class_names: of the labels that its outputs are to stand for.
        device: where the model goes.

    Raises:
        CheckpointError: it is damaged, no classifier, or one of another network, other classes
            or another normalisation.
    """
    found = read_checkpoint(weights_path(str(checkpoint)))
    if found.kind != "classifier":
        raise CheckpointError(
            f"checkpoint {checkpoint} holds a {found.kind} and no classifier of whole clips; a "
            "detector is scored by tools/evaluate_ava.py."
        )
    if found.num_classes != len(class_names):
        raise CheckpointError(
            f"checkpoint {checkpoint} tells {found.num_classes} classes apart, and data set "
            f"{config.dataset.name} has {len(class_names)}; give the data set that it was trained "
            "on (--set dataset=NAME), or train a new class layer by --set pretrained=FILE."
        )
    _require_same_names(checkpoint, found.class_names, class_names)
    for name, theirs, ours in zip(
        ("mean", "std"), found.normalisation, (config.clip.mean, config.clip.std), strict=True
    ):
        if any(not math.isclose(a, b, abs_tol=1e-3) for a, b in zip(theirs, ours, strict=True)):
            raise CheckpointError(
                f"checkpoint {checkpoint} was trained with clip.{name} = {list(theirs)}, and the "
                f"config has {list(ours)}; add --set clip.{name}="
                f"'[{', '.join(f'{value:g}' for value in theirs)}]'"
            )
    model = build_classifier(config, device)
    fill_model(model, found, strict=True, class_names=class_names)
    return model.eval()


def _require_same_names(
    checkpoint: str | Path, theirs: tuple[str, ...] | None, ours: tuple[str, ...]
) -> None:
    for label, (their_name, our_name) in enumerate(zip(theirs or ours, ours, strict=True)):
        if their_name != our_name:
            raise CheckpointError(
                f"checkpoint {checkpoint}: class {label} is {their_name!r} there and "
                f"{our_name!r} in the data set; name the classes in the order that it was trained "
                "with by --set dataset.classes=FILE"
            )


def score_on_kinetics(
    config: KineticsConfig,
    model: X3DClassifier,
    lists: KineticsLists,
    views: KineticsViewDataset,
    world: World,
    *,
    show_progress: bool = False,
) -> EvaluatedVideos | None:
    """Return report and scores of a model on the validation videos on rank 0, None elsewhere.

    Progress is for commands alone: a training has its own bar, and the two do not mix.
    """
    started = time.perf_counter()
    scores = score_videos(
        fuse_for_inference(model, dtype=evaluation_dtype(config)).to(world.device),
        build_view_batches(config, views, world, show_progress=show_progress),
        num_videos=len(views),
        max_clips=config.evaluation.batch_size,
        world=world,
    )
    if scores is None:
        return None
    report = evaluate_kinetics(scores, lists.class_names)
    return EvaluatedVideos(report, scores, time.perf_counter() - started)


def counts_of_run(output_dir: Path) -> str:
    """Return how often videos were replaced and frames repeated, over the whole run, in words.

    Several processes: what the first of them met.
    """
    steps = [json.loads(line) for line in (output_dir / "journal.jsonl").read_text().splitlines()]
    broken, clamped = (
        round(sum(step.get(name, 0.0) for step in steps))
        for name in ("broken_videos", "clamped_frames")
    )
    return (
        f"broken videos replaced: {broken:,} times; "
        f"frames repeated at the ends of videos shorter than their clips: {clamped:,}"
    )


def _loss(config: KineticsConfig) -> ComputeLoss[KineticsBatch]:
    """Return the loss of a batch; the journal gets its accuracy and what was clamped or broken."""
    train_config, num_classes = config.train, config.dataset.num_classes

    def compute(model: nn.Module, batch: KineticsBatch) -> tuple[Tensor, dict[str, float]]:
        batch = batch.to(next(model.parameters()).device)
        clips_BCTHW, targets = batch.clips_BCTHW, batch.labels_B
        # Without gradients BatchNorm statistics are taken, and evaluation mixes nothing.
        if train_config.mixup_alpha and torch.is_grad_enabled():
            clips_BCTHW, targets = mix_clips(
                clips_BCTHW, targets, num_classes=num_classes, alpha=train_config.mixup_alpha
            )
        logits_BK = model(clips_BCTHW)
        loss = class_loss(logits_BK, targets, label_smoothing=train_config.label_smoothing)
        right_B = logits_BK.detach().argmax(dim=1) == batch.labels_B
        # The journal has the mean over accumulated batches, and these are counts of a step.
        num_parts = train_config.accumulate_steps
        numbers = {
            "top1": right_B.float().mean().item(),
            "clamped_frames": float(batch.num_clamped * num_parts),
            "broken_videos": float(len(batch.broken) * num_parts),
        }
        return loss, numbers

    return compute


class _Notes:
    """Describes batches for the log, and warns of each broken video once."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __call__(self, batch: KineticsBatch) -> BatchNote:
        for name, text in zip(batch.broken, batch.replaced, strict=True):
            if name not in self._known:
                self._known.add(name)
                _logger.warning("broken video: %s", text)
        return BatchNote(
            text=", ".join(batch.video_names),
            num_clips=batch.num_clips,
            num_frames=batch.num_decoded,
            decode_seconds=batch.decode_seconds,
        )


def _log_plan(
    config: KineticsConfig,
    lists: KineticsLists,
    model: nn.Module,
    stages: tuple[str, ...],
    *,
    device: torch.device,
    threads: int,
) -> None:
    for split, videos in lists.videos.items():
        num_classes = len({video.label for video in videos})
        _logger.info("%s: %s videos of %d classes", split, f"{len(videos):,}", num_classes)
    for note in lists.notes:
        _logger.info("%s", note)
    _logger.info(
        "X3D-%s, %s parameters, on %s (%d threads): %d epochs, %d clips a step",
        config.model.name.upper(),
        f"{sum(p.numel() for p in model.parameters()):,}",
        device,
        threads,
        config.train.epochs,
        config.train.batch_size,
    )
    for line in stages:
        _logger.info("%s", line)


def _export_metadata(
    config: KineticsConfig, model: X3DClassifier, class_names: tuple[str, ...]
) -> dict[str, str]:
    return {
        "format": CLASSIFIER_FORMAT,
        "config": json.dumps(config.model_dump(mode="json")),
        "spec": json.dumps(asdict(model.backbone.spec)),
        "classes": json.dumps(class_names),
        "normalisation": json.dumps({"mean": config.clip.mean, "std": config.clip.std}),
        "torch": str(torch.__version__),
    }


def _write_side_files(config: KineticsConfig, output_dir: Path, result: TrainResult) -> None:
    """Write the resolved config and the curves beside what the engine wrote."""
    from x3d_det.visualization.curves import plot_curves

    with atomic_write(output_dir / "config.yaml", "w") as file:
        file.write(dump_config(config))
    if result.step:
        plot_curves(output_dir / "journal.jsonl", output_dir / "curves.png")
