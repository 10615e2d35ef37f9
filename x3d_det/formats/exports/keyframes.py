"""Which annotated frames of an export are keyframes, and at which second.

Seconds here are of the video file; the film's offset is added when rows are written.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

from x3d_det.formats.exports.imported import MAX_VIDEO_SECONDS
from x3d_det.formats.foreign_files import FileFault

MAX_KEYFRAMES = 1_000_000
REACH_SECONDS = 0.1
"""An annotated frame further than this from a keyframe does not stand for it."""

_ROUNDING = 1e-6


@dataclass(frozen=True)
class KeyframeClock:
    """Keyframes of one video whose export counts frames.

    Args:
        fps: frames a second.
        interval_seconds: keyframes stand at whole multiples of it; 0 makes every annotated
            frame one.
    """

    fps: float
    interval_seconds: float

    def seconds(self, frame: int) -> float:
        """Return the second of a frame."""
        return frame / self.fps

    def keyframes(self, first: int, last: int, *, step: int = 1) -> Iterator[tuple[float, int]]:
        """Yield the keyframes from frame `first` to frame `last`, as (second, nearest frame).

        Args:
            first: first annotated frame.
            last: last annotated frame, included.
            step: frames from one annotated frame to the next; where every annotated frame
                is a keyframe.
        """
        if not self.interval_seconds:
            for frame in range(first, last + 1, step):
                yield self.seconds(frame), frame
            return
        number = max(math.floor(self.seconds(first) / self.interval_seconds) - 1, 0)
        while True:
            second = number * self.interval_seconds
            frame = math.floor(second * self.fps + 0.5 + _ROUNDING)
            if frame > last:
                return
            if frame >= first:
                yield second, frame
            number += 1


def checked_keyframes(
    clock: KeyframeClock, first: int, last: int, place: str, *, step: int = 1
) -> list[tuple[float, int]]:
    """Return `clock.keyframes`, after checking that there are not absurdly many.

    Raises:
        FileFault: the last frame is a week or more after the start, or there are more
            than a million keyframes.
    """
    check_second(clock.seconds(last), place)
    spacing = clock.interval_seconds or step / clock.fps
    if (last - first) / clock.fps / spacing > MAX_KEYFRAMES:
        raise FileFault(
            place,
            f"frames {first} to {last} make more than {MAX_KEYFRAMES:,} keyframes; is the "
            "number right?",
        )
    return list(clock.keyframes(first, last, step=step))


def check_second(second: float, place: str) -> None:
    """Raise a `FileFault` for a second of a file that cannot be meant."""
    if not 0 <= second <= MAX_VIDEO_SECONDS:
        raise FileFault(
            place,
            f"second {second:g} of the file is not in 0 to {MAX_VIDEO_SECONDS:,} (a week); "
            "is the frame number or the frame rate right?",
        )


def nearest_to_keyframes(
    seconds: Collection[float], *, interval_seconds: float, frame_seconds: float = 0.0
) -> dict[float, float]:
    """Return annotated second -> second of its keyframe, for those that stand for one.

    Of the annotated seconds of a video the nearest to each keyframe stands for it, the
    earlier of two; no further off than half a frame, or half the way to the next annotated
    second and 0.1 s.

    Args:
        seconds: annotated seconds of one video.
        interval_seconds: as in `KeyframeClock`.
        frame_seconds: duration of a frame; 0 where it is not known.
    """
    if not interval_seconds:
        return {second: second for second in seconds}
    ordered = sorted(set(seconds))
    gap = min((after - before for before, after in pairwise(ordered)), default=math.inf)
    reach = max(frame_seconds / 2, min(gap / 2, REACH_SECONDS)) + _ROUNDING
    best: dict[int, tuple[float, float]] = {}
    for second in ordered:
        number = math.floor(second / interval_seconds + 0.5)
        distance = abs(second - number * interval_seconds)
        nearest = best.get(number, (math.inf, 0.0))[0]
        if distance <= reach and distance < nearest - _ROUNDING:
            best[number] = (distance, second)
    return {second: number * interval_seconds for number, (_, second) in best.items()}
