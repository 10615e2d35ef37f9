"""Kinetics: whole videos with one label as samples, in training and in testing.

Shape suffixes in this file: B clips of a batch, V clips of one video (random crops of one
clip in training, views in testing), C channels, T frames, H x W pixels.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from x3d_det.data.batch import BatchLoader, Keys
from x3d_det.data.kinetics_batch import KineticsBatch, KineticsSample, collate_videos
from x3d_det.data.kinetics_transforms import KineticsTrainTransform, KineticsViewTransform
from x3d_det.data.kinetics_videos import (
    BrokenVideos,
    ClipPlan,
    ClipRule,
    Spacing,
    VideoFiles,
    broken_text,
    clip_span_seconds,
    frame_offsets,
    view_starts,
)
from x3d_det.errors import DataError, VideoError
from x3d_det.io.video import DEFAULT_MAX_PIXELS, DecodedClip
from x3d_det.io.video_lists import LabelledVideo

__all__ = [
    "BrokenVideos",
    "ClipPlan",
    "ClipRule",
    "KineticsBatch",
    "KineticsLoader",
    "KineticsSample",
    "KineticsTrainDataset",
    "KineticsViewDataset",
    "Spacing",
    "VideoKey",
    "collate_videos",
    "make_kinetics_loader",
    "view_starts",
]

# Last number of the seed of a random draw; the samplers (0) and AVA's samples (1) use others.
_START_PURPOSE = 2
_CROP_PURPOSE = 3
_STAND_IN_PURPOSE = 4
# Videos tried for one sample; so many broken ones in a row are no accident.
_MAX_TRIES = 10


class VideoKey(NamedTuple):
    """What is asked of a data set; plain pairs (epoch, index) do as well."""

    epoch: int
    index: int  # type: ignore[assignment]  # hides `tuple.index`, which nobody asks of a key
    plan: ClipPlan | None = None
    """None is the data set's own."""


class KineticsTrainDataset(Dataset[KineticsSample]):
    """Videos for training: a clip at a random second, cropped at random once or several times.

    Asked for by (epoch, index) or `VideoKey`: everything random is a function of the seed,
    the epoch, the index and the crop. A video that cannot be read is replaced by another,
    which is drawn from the same numbers; what was replaced is told with the sample.

    Args:
        videos: with their labels.
        plan: the clip, where a key has no other.
        transform: frames to a clip.
        fps: rate in which the stride counts.
        spacing: how far frames lie apart, see `frame_offsets`.
        crops_per_video: V, clips cut out of one decode, each with chance of its own.
        seed: of everything random.
        max_broken: how many different videos may be replaced in this process; 0 allows none.
            `KineticsLoader` holds the same limit over all workers.
        num_threads: decoder threads a read.
        max_pixels: largest width times height.

    Raises:
        DataError: no videos.
        ValueError: a plan or number that cannot be.
    """

    def __init__(
        self,
        videos: Sequence[LabelledVideo],
        *,
        plan: ClipPlan,
        transform: KineticsTrainTransform,
        fps: float = 30.0,
        spacing: Spacing = "stride",
        crops_per_video: int = 1,
        seed: int = 0,
        max_broken: int = 0,
        num_threads: int = 1,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        if not videos:
            raise DataError("the training set has no videos.")
        if crops_per_video < 1:
            raise ValueError(f"crops_per_video is {crops_per_video}; at least 1 is allowed.")
        plan.check()
        self.videos = VideoFiles(videos, num_threads=num_threads, max_pixels=max_pixels)
        self.plan = plan
        self.transform = transform
        self.fps = fps
        self.spacing: Spacing = spacing
        self.crops_per_video = crops_per_video
        self.seed = seed
        self.broken = BrokenVideos(max_broken)

    def __len__(self) -> int:
        return len(self.videos)

    def video_name(self, index: int) -> str:
        """Return the last folder and the name of a video's file."""
        return self.videos.name(index)

    def __getitem__(self, key: tuple[int, int] | VideoKey) -> KineticsSample:
        """Return one sample; arguments and errors as `__getitems__`."""
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, int] | VideoKey]) -> list[KineticsSample]:
        """Return several samples.

        Args:
            keys: epoch and index of each, and the clip's plan where it is not the data set's.

        Raises:
            DataError: more than `max_broken` videos cannot be read.
        """
        return [self._sample(VideoKey(*key)) for key in keys]

    def _sample(self, key: VideoKey) -> KineticsSample:
        plan = key.plan or self.plan
        index, clip, failures = self._first_readable(key, plan)
        clips = [self._crop(clip, plan, key, crop) for crop in range(self.crops_per_video)]
        name = self.videos.name(index)
        return KineticsSample(
            clips_VCTHW=torch.stack(clips),
            label=int(self.videos.labels[index]),
            video_name=name,
            index=index,
            num_clamped=clip.num_clamped,
            num_decoded=clip.num_decoded,
            decode_seconds=clip.decode_seconds,
            broken=tuple(self.videos.name(place) for place in failures),
            replaced=tuple(f"{text}; {name} stands in." for text in failures.values()),
        )

    def _crop(self, clip: DecodedClip, plan: ClipPlan, key: VideoKey, crop: int) -> Tensor:
        return self.transform(
            clip.frames_THWC,
            short_side_range_px=plan.short_side_range_px,
            crop_px=plan.crop_px,
            rng=np.random.default_rng((self.seed, key.epoch, key.index, crop, _CROP_PURPOSE)),
        )

    def _first_readable(
        self, key: VideoKey, plan: ClipPlan
    ) -> tuple[int, DecodedClip, dict[int, str]]:
        """Return the first video of those drawn that can be read, its clip, and the others.

        Whether one could be read before plays no part: a resumed run draws the same.
        """
        failures: dict[int, str] = {}
        for index in self._candidates(key):
            if index in failures:
                continue
            try:
                return index, self._read(index, key, plan), failures
            except VideoError as error:
                failures[index] = broken_text(self.videos, index, error)
                self.broken.add(self.videos.name(index), failures[index])
        raise DataError(
            f"none of {len(failures)} videos drawn for one sample can be read: "
            f"{' | '.join(failures.values())}. "
            "Look whether the folder of videos is there and whole."
        )

    def _candidates(self, key: VideoKey) -> Iterator[int]:
        yield key.index
        rng = np.random.default_rng((self.seed, key.epoch, key.index, _STAND_IN_PURPOSE))
        yield from rng.integers(len(self), size=_MAX_TRIES - 1).tolist()

    def _read(self, index: int, key: VideoKey, plan: ClipPlan) -> DecodedClip:
        rng = np.random.default_rng((self.seed, key.epoch, key.index, _START_PURPOSE))
        span = clip_span_seconds(plan.num_frames, plan.sampling_stride, self.fps)
        last_start = max(0.0, self.videos.duration_seconds(index) - span)
        start = rng.uniform(0, last_start)
        offsets = frame_offsets(plan.num_frames, plan.sampling_stride, self.fps, self.spacing)
        return self.videos.read(index, (start + offsets)[None])[0]


class KineticsViewDataset(Dataset[KineticsSample]):
    """Videos for testing: one sample is one video with all of its views, decoded once.

    A video that cannot be read is an error that names it; no other takes its place.

    Args:
        videos: with their labels.
        num_frames: T.
        sampling_stride: steps of 1 / fps between two frames.
        transform: frames of a clip to its crops.
        num_clips: clips of a video; V is this times the crops of `transform`.
        clip_rule: where they lie, see `view_starts`.
        fps: rate in which the stride counts.
        spacing: how far frames lie apart, see `frame_offsets`.
        num_threads: decoder threads a read.
        max_pixels: largest width times height.

    Raises:
        DataError: no videos.
        ValueError: a number that cannot be.
    """

    def __init__(
        self,
        videos: Sequence[LabelledVideo],
        *,
        num_frames: int,
        sampling_stride: int,
        transform: KineticsViewTransform,
        num_clips: int = 1,
        clip_rule: ClipRule = "middle",
        fps: float = 30.0,
        spacing: Spacing = "stride",
        num_threads: int = 1,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        if not videos:
            raise DataError("the test set has no videos.")
        if min(num_frames, sampling_stride, num_clips) < 1:
            raise ValueError(
                f"num_frames is {num_frames}, sampling_stride {sampling_stride} and num_clips "
                f"{num_clips}; all must be at least 1."
            )
        self.videos = VideoFiles(videos, num_threads=num_threads, max_pixels=max_pixels)
        self.transform = transform
        self.num_clips = num_clips
        self.clip_rule: ClipRule = clip_rule
        self.span_seconds = clip_span_seconds(num_frames, sampling_stride, fps)
        self.offsets_T = frame_offsets(num_frames, sampling_stride, fps, spacing)

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def views_per_video(self) -> int:
        """V."""
        return self.num_clips * self.transform.num_crops

    def video_name(self, index: int) -> str:
        """Return the last folder and the name of a video's file."""
        return self.videos.name(index)

    def __getitem__(self, key: tuple[int, int] | VideoKey) -> KineticsSample:
        """Return one video with its views; the epoch plays no part.

        Raises:
            VideoError: it cannot be read.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, int] | VideoKey]) -> list[KineticsSample]:
        """Return several videos; arguments and errors as `__getitem__`."""
        return [self._sample(key[1]) for key in keys]

    def _sample(self, index: int) -> KineticsSample:
        read, places_VT = self._read(index)
        num_crops, crop_px = self.transform.num_crops, self.transform.crop_px
        clips_VCTHW = torch.empty(self.views_per_video, 3, places_VT.shape[1], crop_px, crop_px)
        for crops, own_T in zip(clips_VCTHW.split(num_crops), places_VT, strict=True):
            crops.copy_(self.transform(read.frames_THWC[own_T]))
        return KineticsSample(
            clips_VCTHW=clips_VCTHW,
            label=int(self.videos.labels[index]),
            video_name=self.videos.name(index),
            index=index,
            num_clamped=int(read.clamped_T[places_VT].sum()),
            num_decoded=read.num_decoded,
            decode_seconds=read.decode_seconds,
        )

    def _read(self, index: int) -> tuple[DecodedClip, np.ndarray]:
        try:
            duration = self.videos.duration_seconds(index)
            starts = view_starts(duration, self.span_seconds, self.num_clips, self.clip_rule)
            return self.videos.read(index, starts[:, None] + self.offsets_T)
        except VideoError as error:
            raise VideoError(broken_text(self.videos, index, error)) from error


class KineticsLoader(BatchLoader[KineticsBatch]):
    """Batches of a Kinetics data set, made by `make_kinetics_loader`.

    `broken` collects the videos that were replaced, over all workers of this process.
    """

    broken: BrokenVideos | None = None
    """None in testing, where nothing is ever replaced."""

    def __iter__(self) -> Iterator[KineticsBatch]:
        """Yield the batches in the sampler's order.

        Raises:
            X3DDetError: as `BatchLoader`; also when more videos were replaced than allowed.
        """
        for batch in super().__iter__():
            for name, text in zip(batch.broken, batch.replaced, strict=True):
                if self.broken is not None:
                    self.broken.add(name, text)
            yield batch


def make_kinetics_loader(
    dataset: KineticsTrainDataset | KineticsViewDataset,
    batch_sampler: Sampler[Keys],
    *,
    num_workers: int,
    pin_memory: bool = False,
    timeout_seconds: float = 600.0,
) -> KineticsLoader:
    """Return the batches of a Kinetics data set; the arguments are those of `BatchLoader`.

    The sampler counts videos, not clips: a batch of n keys has n times V clips.
    """
    loader = KineticsLoader(
        dataset,
        batch_sampler,
        collate_videos,
        num_workers=num_workers,
        pin_memory=pin_memory,
        timeout_seconds=timeout_seconds,
    )
    if isinstance(dataset, KineticsTrainDataset):
        loader.broken = BrokenVideos(dataset.broken.max_broken)
    return loader
