"""Config -> objects: which setting becomes which argument, in one look.

The only module that knows both; everything below takes plain arguments.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from x3d_det.config.files import dataset_root
from x3d_det.config.schema import ExperimentConfig, ModelConfig, TrainConfig
from x3d_det.data import (
    AvaBatch,
    AvaDataset,
    BoxCounts,
    BoxTable,
    EvalBatchSampler,
    EvalTransform,
    FrameFolder,
    FrameSource,
    TrainBatchSampler,
    TrainTransform,
    VideoFolder,
    check_videos,
    evaluation_boxes,
    make_loader,
    training_boxes,
)
from x3d_det.data.ava import ClipTransform
from x3d_det.engine import (
    TrainOptions,
    World,
    build_optimizer,
    cosine_schedule,
    parameter_groups,
    step_schedule,
    with_warmup,
)
from x3d_det.engine.optim import Schedule
from x3d_det.errors import CheckpointError, DataError
from x3d_det.formats.person_boxes import read_person_boxes
from x3d_det.io.ava_csv import AvaAnnotations, read_annotations, read_exclusions
from x3d_det.io.frame_folder import FrameFolderReader
from x3d_det.io.label_map import LabelMap, read_label_map
from x3d_det.io.weights import WeightsReport, load_model, load_weights
from x3d_det.models import X3D_SPECS, ActionDetector, X3DSpec, build_detector

_DTYPES = {"none": None, "float32": None, "bfloat16": torch.bfloat16}

# Settings that a resumed run may change: they alter how fast or where, never what.
CHANGEABLE_KEYS = (
    "config.train.num_workers",
    "config.train.log_every",
    "config.train.checkpoint_every_steps",
    "config.train.keep_checkpoints",
    "config.evaluation.num_workers",
    "config.dataset.root",
)


def resolve_device(config: ExperimentConfig) -> str:
    """Return "cuda" or "cpu"; `auto` takes a GPU where torch finds one."""
    if config.device != "auto":
        return config.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def set_threads(config: ExperimentConfig) -> int:
    """Give torch its CPU threads and return how many: the config's, or this process's share."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = config.num_threads or max(1, (available or 1) // processes)
    torch.set_num_threads(threads)
    return threads


def build_spec(model: ModelConfig) -> X3DSpec:
    """Return the member of the family, with the factors that the config changes."""
    factors = {
        name: getattr(model, name)
        for name in ("width_factor", "depth_factor", "bottleneck_factor")
        if getattr(model, name) is not None
    }
    return replace(X3D_SPECS[model.name], **factors)


def build_model(config: ExperimentConfig, device: torch.device | str = "cpu") -> ActionDetector:
    """Return the detector with fresh weights of the config's seed, in its fast memory layout."""
    torch.manual_seed(config.seed)
    model = build_detector(
        build_spec(config.model),
        num_actions=config.dataset.num_classes,
        head=config.model.head,
        feature_stride=config.model.feature_stride,
        roi_size=config.model.roi_size,
        dropout=config.model.dropout,
        zero_init_residual=config.model.zero_init_residual,
    )
    return model.to(device=device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def load_pretrained(model: nn.Module, path: Path) -> WeightsReport:
    """Start `model` from the weights of a checkpoint that fit; the report says which do.

    Raises:
        CheckpointError: the file cannot be read, or not one weight fits.
    """
    state, _ = load_model(path)
    report = load_weights(model, state, strict=False, source=str(path))
    if not report.matched:
        raise CheckpointError(
            f"pretrained = {path}: not one of its {len(state)} tensors fits this model; "
            f"{report.text()}"
        )
    return report


def build_source(config: ExperimentConfig) -> FrameSource:
    """Return where the frames of the data set come from."""
    dataset = config.dataset
    root = dataset_root(dataset)
    start_seconds = dataset.video_start_seconds
    if dataset.frames is None:
        return VideoFolder(
            root / dataset.videos,
            extensions=dataset.video_extensions,
            video_start_seconds=start_seconds,
        )
    reader = FrameFolderReader(
        root / dataset.frames.folder,
        template=dataset.frames.template,
        fps=dataset.frames.fps,
        first_index=dataset.frames.first_index,
    )
    return FrameFolder(reader, video_start_seconds=start_seconds)


def build_label_map(config: ExperimentConfig) -> LabelMap:
    """Return the evaluated classes.

    Raises:
        DataError: a class that the model has no output for.
    """
    path = dataset_root(config.dataset) / config.dataset.label_map
    label_map = read_label_map(path)
    highest = max(label_map.action_ids)
    if highest > config.dataset.num_classes:
        raise DataError(
            f"{path}: action id {highest} ({label_map.names[highest]}) is above "
            f"dataset.num_classes = {config.dataset.num_classes}; raise that, or use the label map "
            "that belongs to the annotations."
        )
    return label_map


def build_training_data(config: ExperimentConfig) -> tuple[AvaDataset, BoxCounts]:
    """Return the training keyframes as samples, every file and video checked, and counts."""
    root, files = dataset_root(config.dataset), config.dataset.train
    annotations = read_annotations(
        root / files.annotations, action_ids=range(1, config.dataset.num_classes + 1)
    )
    proposals = None
    if config.boxes.train == "annotated_and_detected":
        assert files.person_boxes is not None  # a cross-check of the config
        proposals = read_person_boxes(root / files.person_boxes)
    boxes, counts = training_boxes(
        annotations.rows,
        proposals,
        score_threshold=config.boxes.score_threshold,
        positive_iou=config.boxes.positive_iou,
        include_negatives=config.boxes.include_negatives,
    )
    clip = config.clip
    transform = TrainTransform(
        short_side_range_px=clip.train_short_side,
        crop_px=clip.train_crop,
        flip_probability=clip.flip_probability,
        color_jitter=clip.color_jitter,
        mean=clip.mean,
        std=clip.std,
        min_visible=config.boxes.min_visible,
    )
    return _samples(config, boxes, transform), counts


def _samples(config: ExperimentConfig, boxes: BoxTable, transform: ClipTransform) -> AvaDataset:
    """Return keyframes as samples, after a look at whether all their videos are there."""
    source = build_source(config)
    check_videos(source, boxes.video_ids)
    return AvaDataset(
        boxes,
        source,
        transform,
        num_frames=config.clip.num_frames,
        sampling_stride=config.clip.sampling_stride,
        num_classes=config.dataset.num_classes,
        fps=config.clip.fps,
        seed=config.seed,
        still_keyframe=config.clip.still_keyframe,
    )


@dataclass(frozen=True)
class EvaluationData:
    """What a model is scored on."""

    dataset: AvaDataset
    counts: BoxCounts
    annotations: AvaAnnotations
    exclusions: pd.DataFrame | None
    label_map: LabelMap


def build_evaluation_data(config: ExperimentConfig) -> EvaluationData:
    """Return the validation keyframes with the boxes that are scored, and their annotations."""
    root, files = dataset_root(config.dataset), config.dataset.val
    label_map = build_label_map(config)
    annotations = read_annotations(
        root / files.annotations, action_ids=range(1, config.dataset.num_classes + 1)
    )
    exclusions = None
    if files.exclusions is not None:
        exclusions = read_exclusions(root / files.exclusions)
    proposals = None
    if config.boxes.evaluate == "detected":
        assert files.person_boxes is not None  # a cross-check of the config
        proposals = read_person_boxes(root / files.person_boxes)
    boxes, counts = evaluation_boxes(
        annotations.rows,
        proposals,
        score_threshold=config.boxes.score_threshold,
        exclusions=exclusions,
    )
    clip = config.clip
    transform = EvalTransform(short_side_px=clip.eval_short_side, mean=clip.mean, std=clip.std)
    dataset = _samples(config, boxes, transform)
    return EvaluationData(dataset, counts, annotations, exclusions, label_map)


def build_training_batches(
    config: ExperimentConfig, dataset: AvaDataset, world: World
) -> tuple[Callable[[int], Iterator[AvaBatch]], int]:
    """Return (start step -> this rank's batches from there on, steps of an epoch)."""

    def sampler(start_step: int) -> TrainBatchSampler:
        return TrainBatchSampler(
            len(dataset),
            config.train.batch_size,
            seed=config.seed,
            num_epochs=config.train.epochs,
            rank=world.rank,
            world_size=world.world_size,
            accumulate_steps=config.train.accumulate_steps,
            start_step=start_step,
        )

    def batches(start_step: int) -> Iterator[AvaBatch]:
        return iter(
            make_loader(
                dataset,
                sampler(start_step),
                num_workers=config.train.num_workers,
                pin_memory=world.device.type == "cuda",
            )
        )

    return batches, sampler(0).steps_per_epoch


def build_evaluation_batches(
    config: ExperimentConfig, dataset: AvaDataset, world: World
) -> Iterator[AvaBatch]:
    """Return this rank's batches of an evaluation."""
    sampler = EvalBatchSampler(
        dataset.boxes.videos_G,
        config.evaluation.batch_size,
        rank=world.rank,
        world_size=world.world_size,
    )
    return iter(make_loader(dataset, sampler, num_workers=config.evaluation.num_workers))


def build_schedule(train: TrainConfig, steps_per_epoch: int) -> Schedule:
    """Return steps done -> learning rate; epochs become steps here."""
    if train.schedule == "cosine":
        schedule = cosine_schedule(train.learning_rate, num_steps=train.epochs * steps_per_epoch)
    else:
        boundaries = [round(epoch * steps_per_epoch) for epoch in train.step_epochs]
        factors = list(train.step_factors)
        if boundaries[0] > 0:
            factors.insert(0, 1.0)
        else:
            boundaries = boundaries[1:]
        schedule = step_schedule(train.learning_rate, boundaries=boundaries, relative_lrs=factors)
    return with_warmup(
        schedule,
        num_steps=round(train.warmup_epochs * steps_per_epoch),
        start_factor=train.warmup_start_factor,
    )


def build_train_optimizer(config: ExperimentConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser over the model's parameters."""
    groups = parameter_groups(model, weight_decay=config.train.weight_decay)
    return build_optimizer(config.train.optimizer, groups, momentum=config.train.momentum)


def build_train_options(
    config: ExperimentConfig, steps_per_epoch: int, *, resume: bool
) -> TrainOptions:
    """Return how long, how and how safely to train."""
    train = config.train
    return TrainOptions(
        num_steps=train.epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        seed=config.seed,
        accumulate_steps=train.accumulate_steps,
        clip_gradient_norm=train.clip_gradient_norm,
        autocast_dtype=_DTYPES[train.autocast],
        freeze_bn=train.freeze_bn,
        ema_decay=train.ema_decay,
        precise_bn_batches=train.precise_bn_batches,
        max_bad_steps=train.max_bad_steps,
        evaluate_every_epochs=train.evaluate_every_epochs,
        checkpoint_every_steps=train.checkpoint_every_steps,
        keep_checkpoints=train.keep_checkpoints,
        best_metric="mAP",
        log_every_steps=train.log_every,
        resume=resume,
        changeable=CHANGEABLE_KEYS,
    )


def evaluation_dtype(config: ExperimentConfig) -> torch.dtype:
    """Return the arithmetic of the network in evaluation."""
    return _DTYPES[config.evaluation.precision] or torch.float32
