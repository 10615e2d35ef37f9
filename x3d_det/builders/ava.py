"""AVA's config -> objects: which setting becomes which argument, in one look.

What Kinetics shares stands in `common`. Everything below this folder takes plain arguments.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pandas as pd
import torch

from x3d_det.builders.common import build_spec
from x3d_det.config.files import dataset_root
from x3d_det.config.schema import FRACTIONAL_RULES, ExperimentConfig
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
    View,
    all_views,
    check_videos,
    evaluation_boxes,
    make_loader,
    training_boxes,
)
from x3d_det.data.ava import ClipTransform
from x3d_det.dataset_tables import ActionClasses, DatasetTables
from x3d_det.engine import World
from x3d_det.errors import DataError
from x3d_det.evaluation.rules import rules_named
from x3d_det.io.ava_csv import AvaAnnotations
from x3d_det.io.frame_folder import FrameFolderReader
from x3d_det.models import X3DDetector, build_detector


def build_model(config: ExperimentConfig, device: torch.device | str = "cpu") -> X3DDetector:
    """Return the detector with fresh weights of the config's seed, in its fast memory layout."""
    dataset = config.dataset
    num_actions = dataset.num_classes  # the label map is read where it alone can tell
    if num_actions is None or dataset.classes is not None:
        num_actions = len(build_classes(config).output_ids)
    torch.manual_seed(config.seed)
    model = build_detector(
        build_spec(config.model),
        num_actions=num_actions,
        head=config.model.head,
        feature_stride=config.model.feature_stride,
        roi_size=config.model.roi_size,
        dropout=config.model.dropout,
        zero_init_residual=config.model.zero_init_residual,
    )
    return model.to(device=device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def build_source(config: ExperimentConfig) -> FrameSource:
    """Return where the frames of the data set come from."""
    dataset = config.dataset
    root = dataset_root(dataset)
    time = DatasetTables(dataset).time
    if dataset.frames is None:
        return VideoFolder(
            root / dataset.videos,
            extensions=dataset.video_extensions,
            video_start_seconds=time.start_seconds,
            video_starts=time.starts,
        )
    reader = FrameFolderReader(
        root / dataset.frames.folder,
        template=dataset.frames.template,
        fps=dataset.frames.fps,
        first_index=dataset.frames.first_index,
    )
    return FrameFolder(reader, video_start_seconds=time.start_seconds, video_starts=time.starts)


def build_classes(config: ExperimentConfig) -> ActionClasses:
    """Return the evaluated classes and the outputs of the model.

    Raises:
        DataError: label map and settings that contradict each other.
    """
    return DatasetTables(config.dataset).classes


def build_training_data(config: ExperimentConfig) -> tuple[AvaDataset, BoxCounts]:
    """Return the training keyframes as samples, every file and video checked, and counts."""
    tables = DatasetTables(config.dataset)
    uses_detected = config.boxes.train == "annotated_and_detected"
    boxes, counts = training_boxes(
        tables.learnt_rows(tables.annotations("train")),
        tables.person_boxes("train") if uses_detected else None,
        score_threshold=config.boxes.score_threshold,
        positive_iou=config.boxes.positive_iou,
        include_negatives=config.boxes.include_negatives,
        needs_action=config.dataset.labels == "single",
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
    return _samples(config, boxes, transform, tables.classes), counts


def _samples(
    config: ExperimentConfig, boxes: BoxTable, transform: ClipTransform, classes: ActionClasses
) -> AvaDataset:
    """Return keyframes as samples, after a look at whether all their videos are there."""
    source = build_source(config)
    check_videos(source, boxes.video_ids)
    return AvaDataset(
        boxes,
        source,
        transform,
        num_frames=config.clip.num_frames,
        sampling_stride=config.clip.sampling_stride,
        num_classes=len(classes.output_ids),
        fps=config.clip.fps,
        seed=config.seed,
        still_keyframe=config.clip.still_keyframe,
    )


@dataclass(frozen=True)
class EvaluationData:
    """What a model is scored on."""

    dataset: AvaDataset
    """As `config.clip` shows it; `view_dataset` shows it in other ways."""
    counts: BoxCounts
    annotations: AvaAnnotations
    exclusions: pd.DataFrame | None
    classes: ActionClasses

    def annotations_under(self, rules: str) -> AvaAnnotations:
        """Return the annotations as rules take them: most know no keyframes without people."""
        if rules_named(rules).keyframe_rows:
            return self.annotations
        empty = self.annotations.empty_keyframes.iloc[:0]
        return replace(self.annotations, empty_keyframes=empty)


def build_evaluation_data(config: ExperimentConfig) -> EvaluationData:
    """Return the validation keyframes with the boxes that are scored, and their annotations.

    Raises:
        DataError: files with faults, missing videos, keyframes that the rules do not know.
    """
    tables = DatasetTables(config.dataset)
    annotations = tables.annotations("val")
    exclusions = tables.exclusions("val")
    proposals = tables.person_boxes("val") if config.boxes.evaluate == "detected" else None
    _require_known_seconds(config, annotations, proposals, exclusions)
    boxes, counts = evaluation_boxes(
        tables.learnt_rows(annotations),
        proposals,
        score_threshold=config.boxes.score_threshold,
        exclusions=exclusions,
    )
    transform = _view_transform(config, View(short_side_px=config.clip.eval_short_side))
    dataset = _samples(config, boxes, transform, tables.classes)
    return EvaluationData(dataset, counts, annotations, exclusions, tables.classes)


def build_views(config: ExperimentConfig) -> tuple[View, ...]:
    """Return the views over which scores are averaged, in the order in which they are added."""
    evaluation = config.evaluation
    return all_views(
        short_sides_px=evaluation.short_sides or (config.clip.eval_short_side,),
        flip=evaluation.flip,
        clips_per_keyframe=evaluation.clips_per_keyframe,
        clip_shift_seconds=evaluation.clip_shift_seconds,
    )


def view_dataset(config: ExperimentConfig, dataset: AvaDataset, view: View) -> AvaDataset:
    """Return the keyframes of `dataset` as one view shows them."""
    return dataset.shown_as(_view_transform(config, view), shift_seconds=view.shift_seconds)


def _view_transform(config: ExperimentConfig, view: View) -> EvalTransform:
    return EvalTransform(
        short_side_px=view.short_side_px,
        is_flipped=view.is_flipped,
        mean=config.clip.mean,
        std=config.clip.std,
    )


def _require_known_seconds(
    config: ExperimentConfig,
    annotations: AvaAnnotations,
    proposals: pd.DataFrame | None,
    exclusions: pd.DataFrame | None,
) -> None:
    """Refuse keyframes that the rules do not know now, and not after the training."""
    if rules_named(config.evaluation.rules).fractional_seconds:
        return
    files = config.dataset.val
    for table, path in (
        (annotations.rows, annotations.path),
        (proposals, files.person_boxes),
        (exclusions, files.exclusions),
    ):
        if table is None:
            continue
        fractions = table[table["timestamp"] % 1 != 0]
        if len(fractions):
            first = fractions.iloc[0]
            raise DataError(
                f"{path}:{first['line']}: the keyframe is at second {first['timestamp']:g} "
                f"({len(fractions):,} rows at fractions of a second); evaluation.rules = "
                f"{config.evaluation.rules} knows whole seconds only: --set evaluation.rules="
                f"{FRACTIONAL_RULES}, or dataset.keyframe_interval_seconds in the data set's YAML."
            )


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
