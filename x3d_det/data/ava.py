"""AVA keyframes as samples: clip, boxes, actions.

Shape suffixes in this file: B clips, C channels, T frames, H x W pixels, N boxes of a clip,
K actions.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from x3d_det.data.clips import FrameSource
from x3d_det.data.proposals import BoxTable, check_action_ids
from x3d_det.data.transforms import TransformedClip
from x3d_det.errors import DataError, VideoError
from x3d_det.io.video import DecodedClip
from x3d_det.keyframes import Keyframe, clip_seconds

# Last number of the seed of a sample's random draws; the samplers use another.
_TRANSFORM_PURPOSE = 1


class ClipTransform(Protocol):
    """Frames and boxes to what the model sees; all chance from the generator."""

    def __call__(
        self, frames_THWC: np.ndarray, boxes_norm: np.ndarray, rng: np.random.Generator
    ) -> TransformedClip:
        """Return clip and boxes."""
        ...


@dataclass(frozen=True, kw_only=True)
class AvaSample:
    """One keyframe, ready for the model."""

    clip_CTHW: Tensor
    """float32, normalised."""
    boxes_xyxy_px: Tensor
    """float32 (N, 4), pixels of this clip; without those that the crop removed."""
    targets_NK: Tensor
    """float32, 1 where box n has action k + 1; all 0 for detected boxes without a match."""
    boxes_norm: np.ndarray
    """float64 (N, 4), the same boxes in fractions of the full frame, never changed."""
    person_scores_N: np.ndarray
    """float64, how sure the detector was; 1 for annotated boxes."""
    video_id: str
    timestamp: float
    """Seconds of the film."""
    index: int
    """Place in the data set."""
    num_boxes_dropped: int
    """Boxes that the crop removed."""
    num_clamped: int
    """Frames of the clip that stand in for seconds outside the video."""
    num_decoded: int
    """Frames decoded for this sample; with several read at once, its share."""
    decode_seconds: float
    """Wall time of reading the frames, or its share."""


class AvaDataset(Dataset[AvaSample]):
    """Keyframes with boxes; asked for by (epoch, index), so that draws repeat exactly.

    A keyframe without boxes is no sample: `proposals` counts those. A video that cannot be
    read is an error that names it; no other sample takes its place.

    Args:
        boxes: keyframes, boxes and actions.
        source: where the frames come from.
        transform: frames and boxes to clip and boxes.
        num_frames: T, frames of a clip.
        sampling_stride: steps of 1 / fps between two frames.
        fps: rate in which the stride counts.
        num_classes: K; action id a is column a - 1 of the targets.
        seed: of everything random.
        still_keyframe: a control: every frame of the clip is the keyframe's.

    Raises:
        DataError: an action id above `num_classes`.
    """

    def __init__(
        self,
        boxes: BoxTable,
        source: FrameSource,
        transform: ClipTransform,
        *,
        num_frames: int,
        sampling_stride: int,
        num_classes: int,
        fps: float = 30.0,
        seed: int = 0,
        still_keyframe: bool = False,
    ) -> None:
        if not len(boxes):
            raise DataError("the data set has no keyframe with a person box.")
        check_action_ids(boxes, num_classes=num_classes, path="annotations")
        self.boxes = boxes
        self.source = source
        self.transform = transform
        self.num_frames = num_frames
        self.sampling_stride = sampling_stride
        self.num_classes = num_classes
        self.fps = fps
        self.seed = seed
        self.still_keyframe = still_keyframe
        self.shift_seconds = 0.0

    def __len__(self) -> int:
        return len(self.boxes)

    def shown_as(self, transform: ClipTransform, *, shift_seconds: float) -> "AvaDataset":
        """Return the same keyframes seen in another way; boxes and source are shared.

        Args:
            transform: as for the class.
            shift_seconds: from the keyframe to the clip's middle.
        """
        other = copy.copy(self)
        other.transform, other.shift_seconds = transform, shift_seconds
        return other

    def keyframe(self, index: int) -> Keyframe:
        """Return video and second of a sample."""
        return self.boxes.keyframe(index)

    def __getitem__(self, key: tuple[int, int]) -> AvaSample:
        """Return one sample.

        Args:
            key: epoch and index; the epoch changes the random draws and nothing else.

        Raises:
            VideoError: its frames cannot be read.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[AvaSample]:
        """Return several samples; neighbours of one video are decoded in one go.

        Raises:
            VideoError: the frames of one of them cannot be read.
        """
        samples: list[AvaSample] = []
        for run in _runs_of_one_video(self.boxes, keys):
            decoded = self._read([index for _, index in run])
            for (epoch, index), clip in zip(run, decoded, strict=True):
                samples.append(self._sample(epoch, index, clip))
        return samples

    def _read(self, indices: Sequence[int]) -> list[DecodedClip]:
        """Decode the clips of keyframes of one video, every frame once."""
        keyframes = [self.keyframe(index) for index in indices]
        wanted = [self._seconds(keyframe.timestamp) for keyframe in keyframes]
        # Windows of neighbours share seconds up to rounding errors; a microsecond is no frame.
        seconds, places = np.unique(np.round(np.concatenate(wanted), 6), return_inverse=True)
        try:
            read = self.source.read(
                keyframes[0].video_id,
                seconds,
                required_seconds=[keyframe.timestamp for keyframe in keyframes],
            )
        except VideoError as error:
            names = ", ".join(str(keyframe) for keyframe in keyframes)
            raise VideoError(f"{error} (keyframe {names})") from error
        return [
            DecodedClip(
                frames_THWC=read.frames_THWC[own],
                pts_seconds_T=read.pts_seconds_T[own],
                clamped_T=read.clamped_T[own],
                num_decoded=read.num_decoded // len(indices),
                decode_seconds=read.decode_seconds / len(indices),
            )
            for own in places.reshape(-1, self.num_frames)
        ]

    def _seconds(self, timestamp: float) -> np.ndarray:
        if self.still_keyframe:
            return np.full(self.num_frames, timestamp)
        return clip_seconds(
            timestamp + self.shift_seconds,
            num_frames=self.num_frames,
            sampling_stride=self.sampling_stride,
            fps=self.fps,
        )

    def _sample(self, epoch: int, index: int, decoded: DecodedClip) -> AvaSample:
        keyframe = self.keyframe(index)
        boxes_norm = self.boxes.boxes(index)
        rng = np.random.default_rng((self.seed, epoch, index, _TRANSFORM_PURPOSE))
        seen = self.transform(decoded.frames_THWC, boxes_norm, rng)
        targets_NK = self.boxes.targets(index, self.num_classes)[seen.kept_N]
        return AvaSample(
            clip_CTHW=seen.clip_CTHW,
            boxes_xyxy_px=torch.from_numpy(seen.boxes_xyxy_px.astype(np.float32)),
            targets_NK=torch.from_numpy(targets_NK),
            boxes_norm=boxes_norm[seen.kept_N],
            person_scores_N=self.boxes.person_scores(index)[seen.kept_N],
            video_id=keyframe.video_id,
            timestamp=keyframe.timestamp,
            index=index,
            num_boxes_dropped=len(boxes_norm) - len(seen.kept_N),
            num_clamped=decoded.num_clamped,
            num_decoded=decoded.num_decoded,
            decode_seconds=decoded.decode_seconds,
        )


def _runs_of_one_video(
    boxes: BoxTable, keys: Sequence[tuple[int, int]]
) -> list[list[tuple[int, int]]]:
    """Split keys where neither the next index nor the same video follows."""
    runs: list[list[tuple[int, int]]] = []
    for key in keys:
        previous = runs[-1][-1][1] if runs else None
        follows = previous is not None and key[1] == previous + 1
        if follows and boxes.videos_G[key[1]] == boxes.videos_G[previous]:
            runs[-1].append(key)
        else:
            runs.append([key])
    return runs
