"""Config -> the views of the validation videos that an evaluation averages over."""

from collections.abc import Iterator

import numpy as np

from x3d_det.builders.kinetics import KineticsLists
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.data.batch import EvalBatchSampler
from x3d_det.data.kinetics import KineticsBatch, KineticsViewDataset, make_kinetics_loader
from x3d_det.data.kinetics_transforms import KineticsViewTransform
from x3d_det.engine import World
from x3d_det.progress import ProgressLine


def build_view_dataset(config: KineticsConfig, lists: KineticsLists) -> KineticsViewDataset:
    """Return the validation videos, each as one sample with all of its views."""
    clip, evaluation = config.clip, config.evaluation
    short_side_px, crop_px = config.evaluation_sizes_px
    return KineticsViewDataset(
        lists.videos["val"],
        num_frames=clip.num_frames,
        sampling_stride=clip.sampling_stride,
        transform=KineticsViewTransform(
            short_side_px=short_side_px,
            crop_px=crop_px,
            num_crops=evaluation.num_crops,
            mean=clip.mean,
            std=clip.std,
        ),
        num_clips=evaluation.num_clips,
        clip_rule=evaluation.clip_rule,
        fps=clip.fps,
        spacing=clip.spacing,
    )


def build_view_batches(
    config: KineticsConfig,
    dataset: KineticsViewDataset,
    world: World,
    *,
    show_progress: bool = False,
) -> Iterator[KineticsBatch]:
    """Yield this rank's batches of whole videos; they are the same on any number of ranks.

    Args:
        config: its `evaluation.batch_size` counts clips: the 30 views of one video of X3D-L
            are 0.7 GB already.
        dataset: from `build_view_dataset`.
        world: of the run.
        show_progress: tell on rank 0 how many of its videos are done.
    """
    sampler = EvalBatchSampler(
        np.zeros(len(dataset), np.int64),  # unlike AVA's keyframes, any neighbours go together
        max(1, config.evaluation.batch_size // dataset.views_per_video),
        rank=world.rank,
        world_size=world.world_size,
    )
    loader = make_kinetics_loader(dataset, sampler, num_workers=config.evaluation.num_workers)
    if not (show_progress and world.is_main):
        yield from loader
        return
    num_mine, num_done = sum(len(keys) for keys in sampler), 0
    share = f" on rank 0 of {world.world_size}" if world.world_size > 1 else ""
    with ProgressLine(f"scoring{share}", num_mine, unit="videos") as line:
        for batch in loader:
            yield batch
            num_done += batch.num_videos
            line.update(num_done)
