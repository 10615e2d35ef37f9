"""Frames as they come -> the clips of keyframes, every frame converted and scaled once.

A frame answers the seconds that lie before the next frame's time, as `io.video.read_frames_at`
has it; overlapping clips share the scaled frame. Only what an open clip needs is kept.
Shape suffixes: T frames, H x W pixels, C channels.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from x3d_det.video_detection.frames import ShownFrame

_Small = TypeVar("_Small")
# Rounding errors of a quotient of seconds; a billionth of a step is none.
_EPSILON = 1e-9


@dataclass(frozen=True)
class Moment:
    """A second at which persons are looked for, and at a keyframe their actions too."""

    seconds: float
    has_actions: bool = True
    is_known: bool = False
    """The result is there already: neither persons nor clip are needed."""


Look = Callable[[Moment, np.ndarray], None]
"""Is given a moment and its full frame (H, W, 3) uint8."""


def grid_moments(
    interval_seconds: float,
    *,
    looks: int = 1,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
) -> Iterator[Moment]:
    """Yield keyframes at the multiples of the interval in [start, end), and looks between them.

    Multiples count from second 0 whatever the start, so that a part of a video has the
    keyframes that the whole has.

    Args:
        interval_seconds: from one keyframe to the next, above 0.
        looks: moments an interval; the first is the keyframe.
        start_seconds, end_seconds: half-open range; None has no end.
    """
    first = math.ceil(start_seconds * looks / interval_seconds - _EPSILON)
    for index in itertools.count(max(first, 0)):
        whole, part = divmod(index, looks)
        seconds = whole * interval_seconds + part * interval_seconds / looks
        if end_seconds is not None and seconds >= end_seconds:
            return
        yield Moment(seconds, has_actions=part == 0)


@dataclass(frozen=True)
class Ready(Generic[_Small]):
    """A moment whose frames have all come."""

    moment: Moment
    frames_T: tuple[_Small, ...]
    """The scaled frames of the clip; none between keyframes."""
    num_clamped: int
    """Frames of the clip that stand in for seconds outside the video."""
    shot: int
    """The shot of the frame shown at the moment."""


@dataclass(eq=False)
class _Open(Generic[_Small]):
    """A moment that waits for frames."""

    moment: Moment
    seconds_T: list[float]
    frames_T: list[_Small] = field(default_factory=list)
    num_clamped: int = 0
    shot: int | None = None
    """Known as soon as the moment's own frame is."""

    @property
    def is_complete(self) -> bool:
        return self.shot is not None and len(self.frames_T) == len(self.seconds_T)


class ClipWindow(Generic[_Small]):
    """Gives every moment the frames shown at its seconds.

    Args:
        moments: by rising second; may have no end.
        clip_seconds: keyframe's second -> the rising seconds (T,) of its clip's frames.
        tolerance_seconds: how much later than asked a frame may begin.
        scale: full frame (H, W, 3) uint8 -> what a clip keeps of it; called once a frame, and
            only for frames that a clip shows.
        look: is given each moment whose result is not known, and its full frame, as soon as
            that has come; None where nobody wants them.
    """

    def __init__(
        self,
        moments: Iterable[Moment],
        *,
        clip_seconds: Callable[[float], np.ndarray],
        tolerance_seconds: float,
        scale: Callable[[np.ndarray], _Small],
        look: Look | None = None,
    ) -> None:
        self._moments = iter(moments)
        self._next = next(self._moments, None)
        self._clip_seconds = clip_seconds
        self._tolerance = tolerance_seconds
        self._scale = scale
        self._look = look
        self._open: deque[_Open[_Small]] = deque()
        # In binary 0.1 + 0.2 is not 0.3: a little more lead than the clip has opens it in time.
        self._lead_seconds = max(0.0, -float(clip_seconds(0.0)[0])) + 1e-3

    @property
    def next_seconds(self) -> float | None:
        """Second of the first moment that has not come out; None where all have."""
        first = self._open[0].moment if self._open else self._next
        return None if first is None else first.seconds

    def show_until(self, frame: ShownFrame, end_seconds: float) -> list[Ready[_Small]]:
        """Give `frame` to all seconds before `end_seconds`, when the next one begins.

        Returns the moments that this completes, in their order.
        """
        while self._next is not None and self._next.seconds - self._lead_seconds < end_seconds:
            self._open_next(self._next)
        self._show(frame, end_seconds, self._open)
        return self._completed()

    def finish(self, frame: ShownFrame) -> list[Ready[_Small]]:
        """Give the video's last frame to all seconds that are left, of moments inside the video.

        Returns the moments that this completes; `next_seconds` then is the first that lies
        after the end.
        """
        end_seconds = frame.seconds + frame.duration_seconds
        last_moment = end_seconds - self._tolerance
        while self._next is not None and self._next.seconds < last_moment:
            self._open_next(self._next)
        inside = [
            one for one in self._open if one.shot is not None or one.moment.seconds < last_moment
        ]
        for one in inside:
            left = one.seconds_T[len(one.frames_T) :]
            one.num_clamped += sum(second > end_seconds + 2 * self._tolerance for second in left)
        self._show(frame, math.inf, inside)
        return self._completed()

    def _open_next(self, moment: Moment) -> None:
        has_clip = moment.has_actions and not moment.is_known
        seconds = np.round(self._clip_seconds(moment.seconds), 6) if has_clip else ()
        self._open.append(_Open(moment, [float(second) for second in seconds]))
        self._next = next(self._moments, None)

    def _show(
        self, frame: ShownFrame, end_seconds: float, moments: Iterable[_Open[_Small]]
    ) -> None:
        shown = _Shown(frame, self._scale)
        for one in moments:
            if one.shot is None and one.moment.seconds + self._tolerance < end_seconds:
                one.shot = frame.shot
                if self._look is not None and not one.moment.is_known:
                    self._look(one.moment, shown.full())
            for second in one.seconds_T[len(one.frames_T) :]:
                if second + self._tolerance >= end_seconds:
                    break
                one.frames_T.append(shown.small())
                one.num_clamped += second + self._tolerance < frame.seconds

    def _completed(self) -> list[Ready[_Small]]:
        ready: list[Ready[_Small]] = []
        while self._open and self._open[0].is_complete:
            one = self._open.popleft()
            assert one.shot is not None
            ready.append(Ready(one.moment, tuple(one.frames_T), one.num_clamped, one.shot))
        return ready


class _Shown(Generic[_Small]):
    """A frame that is converted and scaled when it is asked for, once."""

    def __init__(self, frame: ShownFrame, scale: Callable[[np.ndarray], _Small]) -> None:
        self._frame, self._scale = frame, scale
        self._full: np.ndarray | None = None
        self._small: _Small | None = None

    def full(self) -> np.ndarray:
        if self._full is None:
            self._full = self._frame.rgb_HWC()
        return self._full

    def small(self) -> _Small:
        if self._small is None:
            self._small = self._scale(self.full())
        return self._small
