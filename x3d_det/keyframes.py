"""AVA's time: keyframes, their seconds in files, and the seconds of a clip round them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, order=True)
class Keyframe:
    """One second of one film at which people are boxed and their actions named."""

    video_id: str
    """Name of the video file without its last suffix; may begin with a dash."""
    timestamp: float
    """Seconds of the film; whole in AVA, not in AVA-Kinetics."""

    def __str__(self) -> str:
        return f"{self.video_id},{format_timestamp(self.timestamp)}"


def format_timestamp(timestamp: float) -> str:
    """Return a second as AVA's files write it: `0902`; with a fraction, `17.500000`."""
    rounded = round(timestamp, 6)
    return f"{int(rounded):04d}" if rounded == int(rounded) else f"{rounded:.6f}"


def clip_seconds(
    center_seconds: float, *, num_frames: int, sampling_stride: int, fps: float = 30.0
) -> np.ndarray:
    """Return the seconds (num_frames,) of the frames of a clip round a keyframe, float64.

    Frame i stands at `center + (i * stride - (num_frames * stride // 2)) / fps`, so frame
    num_frames // 2 of a clip of even length is the keyframe itself. Seconds may lie
    before or after the video; whoever reads the frames clamps them.

    Args:
        center_seconds: the keyframe.
        num_frames: frames of the clip.
        sampling_stride: steps of 1 / fps between two frames.
        fps: rate in which the stride counts, whatever rate the video has.

    Source: PySlowFast, slowfast/datasets/ava_dataset.py; it counts frames of a folder
        extracted at 30 a second where we count seconds.
    """
    half = num_frames * sampling_stride // 2
    steps = np.arange(num_frames) * sampling_stride - half
    return center_seconds + steps / fps
