"""Config -> objects for clips with one label: lists, data sets, model, batches.

`common` has what AVA shares, `kinetics_views` the views of an evaluation.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from x3d_det.builders.common import build_schedule, build_spec
from x3d_det.config.files import dataset_root
from x3d_det.config.kinetics import KineticsConfig, MultigridConfig, VideoSplitConfig
from x3d_det.data.batch import TrainBatchSampler
from x3d_det.data.kinetics import (
    ClipPlan,
    KineticsBatch,
    KineticsTrainDataset,
    make_kinetics_loader,
)
from x3d_det.data.kinetics_transforms import KineticsTrainTransform
from x3d_det.data.multigrid import (
    MultigridBatchSampler,
    MultigridSchedule,
    MultigridStatisticsSampler,
)
from x3d_det.engine import World
from x3d_det.engine.optim import Schedule
from x3d_det.errors import DataError
from x3d_det.io.video_lists import LabelledVideo, VideoList, read_class_names, read_video_list
from x3d_det.models import X3D, X3DClassifier, set_batch_norm_splits

Split = Literal["train", "val"]


@dataclass(frozen=True)
class KineticsLists:
    """The videos of the splits asked for, and what their labels mean."""

    class_names: tuple[str, ...]
    """In the order of the labels, which is that of the model's outputs."""
    videos: dict[Split, tuple[LabelledVideo, ...]]
    notes: tuple[str, ...]
    """What was left out or assumed, in words with counts."""

    def digest(self, split: Split) -> str:
        """Return a hash over labels and file names, which a moved data set keeps."""
        lines = (f"{video.label} {video.path.name}\n" for video in self.videos[split])
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def build_lists(config: KineticsConfig, splits: Iterable[Split]) -> KineticsLists:
    """Return the videos of these splits, and the class names.

    The names are those of the file of classes, else of the training list, or, where an
    evaluation has no such list, of its own.

    Raises:
        DataError: lists with faults, missing videos, classes that contradict the config.
    """
    dataset = config.dataset
    root = dataset_root(dataset)
    found: dict[Split, VideoList] = {}
    if dataset.classes is not None:
        source = root / dataset.classes
        names = read_class_names(source)
    else:
        split: Split = "train" if (root / dataset.train.list).exists() else "val"
        source = root / _files(config, split).list
        found[split] = _read_list(config, split, None)
        names = found[split].class_names
    if len(names) != dataset.num_classes:
        raise DataError(
            f"{source} has {len(names)} classes, and dataset.num_classes is "
            f"{dataset.num_classes}; correct the one that is wrong: "
            f"--set dataset.num_classes={len(names)}, or name the file of all classes by "
            "--set dataset.classes=FILE"
        )
    lists = {split: found.get(split) or _read_list(config, split, names) for split in splits}
    notes = tuple(f"{split}: {note}" for split, one in lists.items() for note in one.notes)
    return KineticsLists(names, {split: one.videos for split, one in lists.items()}, notes)


def _read_list(config: KineticsConfig, split: Split, names: tuple[str, ...] | None) -> VideoList:
    dataset, files = config.dataset, _files(config, split)
    root = dataset_root(dataset)
    return read_video_list(
        root / files.list,
        videos_folder=root / (files.videos or dataset.videos),
        class_names=names,
        form=dataset.form,
        extensions=dataset.video_extensions,
        skip_missing=dataset.skip_missing,
    )


def _files(config: KineticsConfig, split: Split) -> VideoSplitConfig:
    return config.dataset.train if split == "train" else config.dataset.val


def build_classifier(config: KineticsConfig, device: torch.device | str = "cpu") -> X3DClassifier:
    """Return the classifier with fresh weights of the config's seed, in its fast memory layout."""
    clip, model = config.clip, config.model
    spec = replace(
        build_spec(model),
        num_frames=clip.num_frames,
        crop_size=clip.train_crop,
        sampling_stride=clip.sampling_stride,
    )
    torch.manual_seed(config.seed)
    backbone = X3D(spec, zero_init_residual=model.zero_init_residual, drop_path=model.drop_path)
    classifier = X3DClassifier(
        backbone, num_classes=config.dataset.num_classes, dropout=model.dropout
    )
    return classifier.to(device=device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload, no-any-return]


def build_clip_plan(config: KineticsConfig) -> ClipPlan:
    """Return the training clip that the config describes, before multigrid changes it."""
    clip = config.clip
    return ClipPlan(clip.num_frames, clip.sampling_stride, clip.train_crop, clip.train_short_side)


def build_train_dataset(config: KineticsConfig, lists: KineticsLists) -> KineticsTrainDataset:
    """Return the training videos as samples."""
    clip, train = config.clip, config.train
    return KineticsTrainDataset(
        lists.videos["train"],
        plan=build_clip_plan(config),
        transform=KineticsTrainTransform(
            flip_probability=clip.flip_probability,
            color_jitter=clip.color_jitter,
            rand_augment=clip.rand_augment,
            mean=clip.mean,
            std=clip.std,
        ),
        fps=clip.fps,
        spacing=clip.spacing,
        crops_per_video=train.crops_per_video,
        seed=config.seed,
        max_broken=train.max_broken_videos,
    )


@dataclass(frozen=True)
class TrainingCourse:
    """The batches of a run, its epochs, and what changes from step to step."""

    batches: Callable[[int], Iterator[KineticsBatch]]
    """Start step -> this rank's batches from there on."""
    schedule: Schedule
    """Steps done -> learning rate."""
    steps_per_epoch: int | None = None
    """Where all epochs have one length; else None, and `epoch_ends` is set."""
    epoch_ends: tuple[int, ...] | None = None
    """Steps done at the end of each epoch."""
    before_step: Callable[[nn.Module, int], None] | None = None
    """See `engine.train`."""
    statistics_batches: Callable[[nn.Module, int], Iterator[KineticsBatch]] | None = None
    """Those of precise-BN, where they are not those trained on; see `engine.train`."""
    lines: tuple[str, ...] = ()
    """The stages of multigrid, for the log."""


def build_course(
    config: KineticsConfig, dataset: KineticsTrainDataset, world: World
) -> TrainingCourse:
    """Return the course of a training, plain or on multigrid's changing grids.

    Raises:
        DataError: batches that cannot be divided or filled.
    """
    train = config.train
    videos_per_step = train.batch_size // train.crops_per_video
    if len(dataset) < videos_per_step:
        raise DataError(
            f"the training list has {len(dataset)} videos, fewer than the {videos_per_step} of "
            f"one step (train.batch_size = {train.batch_size}); lower train.batch_size."
        )
    if train.multigrid is not None:
        return _multigrid_course(config, train.multigrid, dataset, world)

    def sampler(start_step: int) -> TrainBatchSampler:
        return TrainBatchSampler(
            len(dataset),
            videos_per_step,
            seed=config.seed,
            num_epochs=train.epochs,
            rank=world.rank,
            world_size=world.world_size,
            accumulate_steps=train.accumulate_steps,
            start_step=start_step,
        )

    steps_per_epoch = sampler(0).steps_per_epoch
    return TrainingCourse(
        batches=_batches_of(config, dataset, world, sampler),
        schedule=build_schedule(train, steps_per_epoch),
        steps_per_epoch=steps_per_epoch,
    )


def _multigrid_course(
    config: KineticsConfig, grids: MultigridConfig, dataset: KineticsTrainDataset, world: World
) -> TrainingCourse:
    train = config.train
    multigrid = MultigridSchedule(
        len(dataset),
        plan=build_clip_plan(config),
        batch_size=train.batch_size,
        num_epochs=train.epochs,
        drop_epochs=train.step_epochs if train.schedule == "steps" else (),
        short_cycle=grids.short_cycle,
        long_cycle=grids.long_cycle,
        epoch_factor=grids.epoch_factor,
        bn_base_size=grids.bn_base_size,
        crops_per_video=train.crops_per_video,
        num_shares=world.world_size * train.accumulate_steps,
    )

    def batches_of(kind: type[MultigridBatchSampler]) -> Callable[[int], Iterator[KineticsBatch]]:
        def sampler(start_step: int) -> MultigridBatchSampler:
            return kind(
                multigrid,
                seed=config.seed,
                rank=world.rank,
                world_size=world.world_size,
                start_step=start_step,
            )

        return _batches_of(config, dataset, world, sampler)

    def before_step(model: nn.Module, step: int) -> None:
        set_batch_norm_splits(model, multigrid.shape(step).bn_splits)

    def statistics_batches(model: nn.Module, step: int) -> Iterator[KineticsBatch]:
        set_batch_norm_splits(model, multigrid.stage(step - 1).shapes[-1].bn_splits)
        return batches_of(MultigridStatisticsSampler)(step)

    plain = build_schedule(train, multigrid.plain_steps_per_epoch)
    return TrainingCourse(
        batches=batches_of(MultigridBatchSampler),
        schedule=multigrid.learning_rates(plain),
        epoch_ends=multigrid.epoch_ends,
        before_step=before_step,
        statistics_batches=statistics_batches,
        lines=tuple(multigrid.lines()),
    )


def _batches_of(
    config: KineticsConfig,
    dataset: KineticsTrainDataset,
    world: World,
    sampler: Callable[[int], TrainBatchSampler | MultigridBatchSampler],
) -> Callable[[int], Iterator[KineticsBatch]]:
    def batches(start_step: int) -> Iterator[KineticsBatch]:
        return iter(
            make_kinetics_loader(
                dataset,
                sampler(start_step),
                num_workers=config.train.num_workers,
                pin_memory=world.device.type == "cuda",
            )
        )

    return batches
