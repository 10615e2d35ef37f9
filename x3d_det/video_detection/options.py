"""How fast and with how much memory a video is gone through; none of it changes a result."""

import math
from dataclasses import dataclass

from x3d_det.errors import ConfigError
from x3d_det.io.video import DEFAULT_MAX_PIXELS


@dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """Sizes of queues and batches.

    Raises:
        ConfigError: a value outside its range.
    """

    clips_per_batch: int = 1
    """Keyframes whose clips go through the network together. More are faster on a GPU and come
    later; the last digits of scores may differ, as arithmetic of another shape rounds otherwise."""
    queue_keyframes: int = 1
    """Keyframes that wait in front of the network, and as many behind it."""
    decode_threads: int = 1
    """Threads of the video decoder; 0 leaves the number to FFmpeg."""
    max_pixels: int = DEFAULT_MAX_PIXELS
    """Largest width times height of a video's frames."""
    hold_seconds: float = 2.0
    """A frame waits for the keyframe after it if that is no further away; else it comes at once."""
    live_frames: int = 32
    """Frames of a camera or stream that wait to be seen; then the oldest is dropped."""

    def __post_init__(self) -> None:
        for name, least in (
            ("clips_per_batch", 1),
            ("queue_keyframes", 1),
            ("decode_threads", 0),
            ("max_pixels", 1),
            ("live_frames", 1),
        ):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be {least} or more.")
        if not (math.isfinite(self.hold_seconds) and self.hold_seconds >= 0):
            raise ConfigError(f"hold_seconds is {self.hold_seconds}; it must be 0 or more.")
