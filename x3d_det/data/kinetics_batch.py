"""The clips of one video as a sample, and those of several as a batch.

Shape suffixes in this file: B clips of a batch, V clips of one video, C channels, T frames,
H x W pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from x3d_det.errors import DataError


@dataclass(frozen=True, kw_only=True)
class KineticsSample:
    """The clips of one video, ready for the model."""

    clips_VCTHW: Tensor
    """float32, normalised. In testing: clip after clip, the crops of each side by side."""
    label: int
    """Index of its class."""
    video_name: str
    """Last folder and name of the file."""
    index: int
    """Place in the data set; after a replacement that of the video shown."""
    num_clamped: int
    """Frames that stand in for seconds outside the video; a frame of several crops counts once."""
    num_decoded: int
    """Frames decoded."""
    decode_seconds: float
    """Wall time of reading the frames."""
    broken: tuple[str, ...] = ()
    """Names of the videos that could not be read and that this one stands in for."""
    replaced: tuple[str, ...] = ()
    """One text for each of `broken`: what is wrong with it, and what stands in."""


@dataclass(frozen=True, kw_only=True)
class KineticsBatch:
    """Clips of one size; those of a video follow each other, equally many of each video."""

    clips_BCTHW: Tensor
    """float32, normalised."""
    labels_B: Tensor
    """int64, class indices, one for each clip; `video_labels` has one for each video."""
    clips_per_video: int
    """V; B is the number of videos times V."""
    video_names: tuple[str, ...]
    """One for each video, as `indices`."""
    indices: tuple[int, ...]
    """Places in the data set."""
    num_clamped: int
    """Frames that stand in for seconds outside their videos."""
    num_decoded: int
    """Frames decoded."""
    decode_seconds: float
    """Wall time of reading frames, added up over the videos."""
    broken: tuple[str, ...] = ()
    """As in `KineticsSample`, of all videos."""
    replaced: tuple[str, ...] = ()
    """As in `KineticsSample`, of all videos."""

    @property
    def num_clips(self) -> int:
        """B."""
        return len(self.labels_B)

    @property
    def num_videos(self) -> int:
        """B / V."""
        return len(self.indices)

    @property
    def video_labels(self) -> Tensor:
        """int64, class indices, one for each video."""
        return self.labels_B[:: self.clips_per_video]

    def pin_memory(self) -> "KineticsBatch":
        """Return the batch with its tensors in page-locked memory, for copies to a GPU."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def to(self, device: torch.device | str) -> "KineticsBatch":
        """Return the batch with its tensors on `device`."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> "KineticsBatch":
        changed = {"clips_BCTHW": change(self.clips_BCTHW), "labels_B": change(self.labels_B)}
        return KineticsBatch(**{**vars(self), **changed})


def collate_videos(samples: Sequence[KineticsSample]) -> KineticsBatch:
    """Return one batch of the clips of several videos.

    Raises:
        DataError: clips of differing sizes, each named.
    """
    shapes = {tuple(sample.clips_VCTHW.shape) for sample in samples}
    if len(shapes) > 1:
        named = ", ".join(f"{one.video_name} {tuple(one.clips_VCTHW.shape)}" for one in samples)
        raise DataError(f"clips of differing sizes cannot make one batch: {named}.")
    num_views = len(samples[0].clips_VCTHW)
    if len(samples) == 1:
        clips_BCTHW = samples[0].clips_VCTHW  # 30 views of X3D-XL are 730 MB: no copy
    else:
        clips_BCTHW = torch.cat([sample.clips_VCTHW for sample in samples])
    labels = torch.tensor([sample.label for sample in samples], dtype=torch.int64)
    return KineticsBatch(
        clips_BCTHW=clips_BCTHW,
        labels_B=labels.repeat_interleave(num_views),
        clips_per_video=num_views,
        video_names=tuple(sample.video_name for sample in samples),
        indices=tuple(sample.index for sample in samples),
        num_clamped=sum(sample.num_clamped for sample in samples),
        num_decoded=sum(sample.num_decoded for sample in samples),
        decode_seconds=sum(sample.decode_seconds for sample in samples),
        broken=tuple(name for sample in samples for name in sample.broken),
        replaced=tuple(text for sample in samples for text in sample.replaced),
    )
