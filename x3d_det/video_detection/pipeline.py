"""Decoding, persons and actions at the same time: three threads, bounded queues, one order.

    decode  --looks-->  persons  --found-->  actions  --results-->  the caller
            --------------- clips ---------->

The decoder waits when `clips` is full, and with it everything upstream, so that memory does
not depend on the video's length. An error travels down the same queues as the results: the
caller gets all that came before it, then the error itself.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor

from x3d_det.errors import DataError, VideoError
from x3d_det.tracking import ShotChanges
from x3d_det.video_detection.channel import Channel, Closed
from x3d_det.video_detection.frames import ShownFrame, VideoSource
from x3d_det.video_detection.options import PipelineOptions
from x3d_det.video_detection.results import KeyframeActions
from x3d_det.video_detection.window import ClipWindow, Look, Moment, Ready

FindPersons = Callable[[Moment, np.ndarray | None], np.ndarray]
"""Moment and full frame -> float64 (N, 5): corners in fractions of the frame, score."""
ScorePersons = Callable[[Sequence[tuple[Ready[Tensor], np.ndarray]]], list[KeyframeActions]]
"""Moments with their clips and persons (N, 5) -> the results, in the same order."""


@dataclass
class StageTimes:
    """Where the time went, in seconds of work; the stages work at the same time."""

    decode: float = 0.0
    """Taking frames from the source."""
    convert: float = 0.0
    """Frames to RGB, and scaling those that clips show."""
    persons: float = 0.0
    """Finding persons."""
    actions: float = 0.0
    """Clips through the network."""
    caller: float = 0.0
    """Between two results, in the caller's hands."""
    total: float = 0.0
    """From the first result asked for to the last one given."""


@dataclass
class Progress:
    """What has been done so far; read it at any time, and in full after the end."""

    times: StageTimes = field(default_factory=StageTimes)
    num_frames: int = 0
    """Frames of the source that were gone through."""
    num_keyframes: int = 0
    num_clips: int = 0
    """Keyframes with persons, which the network saw."""
    last_seconds: float = 0.0
    """Second of the last frame that was gone through."""
    notes: list[str] = field(default_factory=list)
    """What the caller should know: boxes given for seconds after the end."""
    damage: str | None = None
    """What broke the video, and at which second; what came before it was gone through."""


@dataclass(frozen=True)
class _Job:
    """A moment on its way, and the frames shown before it; or frames alone."""

    ready: Ready[Tensor] | None
    frames: tuple[ShownFrame, ...] = ()


@dataclass(frozen=True)
class _Result:
    keyframe: KeyframeActions | None
    frames: tuple[ShownFrame, ...] = ()


@dataclass(frozen=True)
class _Failure:
    error: BaseException


class _End:
    """The last item of a queue."""


class Pipeline:
    """One video's way through the stages.

    Args:
        source: its frames.
        make_window: its moments, given what is to be told of each moment's full frame.
        find: the persons of a moment; called in one thread, moment after moment.
        score: their actions; called in one thread.
        needs_frames: whether `find` looks at the full frame.
        keeps_frames: whether the caller gets the frames too.
        finish: the last touch to each result, in their order.
        known: the results of the moments that say so, in their order; without numbers.
        num_moments: how many there are, all to be inside the video; None: as many as it has.
        start_seconds, end_seconds: frames outside this range are not given to the caller.
        options: sizes of queues and batches.
    """

    def __init__(
        self,
        source: VideoSource,
        make_window: Callable[[Look | None], ClipWindow[Tensor]],
        *,
        find: FindPersons,
        score: ScorePersons,
        finish: Callable[[KeyframeActions], KeyframeActions],
        known: Iterator[KeyframeActions],
        needs_frames: bool,
        keeps_frames: bool,
        num_moments: int | None,
        start_seconds: float,
        end_seconds: float | None,
        options: PipelineOptions,
    ) -> None:
        self.source = source
        self.progress = Progress()
        self._find, self._score = find, score
        self._finish, self._known = finish, known
        self._keeps_frames = keeps_frames
        self._start_seconds = start_seconds
        self._first = start_seconds - source.tolerance_seconds
        self._last = None if end_seconds is None else end_seconds - source.tolerance_seconds
        self._options = options
        size = options.queue_keyframes
        self._looks: Channel[tuple[Moment, np.ndarray]] = Channel()
        self._found: Channel[np.ndarray | _Failure] = Channel()
        self._jobs: Channel[_Job | _End | _Failure] = Channel(size)
        self._results: Channel[_Result | _End | _Failure] = Channel(size)
        self._finds_beside = needs_frames
        self._num_moments, self._num_passed = num_moments, 0
        self._window = make_window(self._look if needs_frames else None)
        self._waiting: deque[ShownFrame] = deque()
        self._threads: list[threading.Thread] = []

    def run(self) -> Generator[KeyframeActions | ShownFrame, None, None]:
        """Yield each moment's result, then the frames shown before it; lastly the frames left.

        Closing this iterator, or an error, ends all threads before it returns.
        """
        progress = self.progress
        times = progress.times
        started = time.perf_counter()
        try:
            self._start()
            while not isinstance(item := self._results.get(), _End):
                if isinstance(item, _Failure):
                    raise item.error
                given = time.perf_counter()
                times.total = given - started
                if item.keyframe is not None:
                    yield item.keyframe
                yield from item.frames
                times.caller += time.perf_counter() - given
            times.total = time.perf_counter() - started
        finally:
            self.close()

    def close(self) -> None:
        """End the threads and let go of the source; may be called twice."""
        channels: tuple[Channel[Any], ...] = (self._looks, self._found, self._jobs, self._results)
        for channel in channels:
            channel.close()
        if self.source.info.is_live:
            self.source.close()  # wakes the decoder, which may wait for a frame
        for thread in self._threads:
            if thread is not threading.current_thread() and thread.ident is not None:
                thread.join()
        self.source.close()

    def _start(self) -> None:
        work: list[tuple[str, Callable[[], None], Channel[Any]]] = [
            ("decode", self._decode, self._jobs),
            ("actions", self._act, self._results),
        ]
        if self._finds_beside:
            work.append(("persons", self._find_all, self._found))
        for name, target, below in work:
            thread = threading.Thread(
                target=_run_stage, args=(target, below), name=f"x3d_det {name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    # the decoder's thread

    def _decode(self) -> None:
        """Go through the source; what breaks it behind the first frame ends it, and is noted."""
        frames = self._timed_frames()
        previous: ShownFrame | None = None
        ended = True
        try:
            for frame in frames:
                if previous is not None:
                    self._pass_on(self._timed_show(previous, frame.seconds))
                previous = frame
                if self._keeps_frames and self._is_in_range(frame.seconds):
                    self._waiting.append(frame)
                    self._release_early()
                if self._is_done(frame.seconds):
                    ended = False
                    break
        except VideoError as error:
            if previous is None:
                raise
            self.progress.damage = str(error)
        assert previous is not None
        if ended:
            self._pass_on(self._window.finish(previous))
            self._check_end(previous)
        if self._waiting:
            self._jobs.put(_Job(None, tuple(self._waiting)))
        self._jobs.put(_End())

    def _check_end(self, last: ShownFrame) -> None:
        """Raise where nothing was in the range; note seconds asked for after the end."""
        name = self.source.info.name
        where = f"its last frame is at second {last.seconds:.3f}"
        if not self._num_passed and last.seconds < self._first:
            raise VideoError(
                f"{name}: has no frame from second {self._start_seconds:g} on; {where}."
            )
        if self._num_moments is None or self._num_passed == self._num_moments:
            return
        left = self._num_moments - self._num_passed
        text = (
            f"{name}: {left} of the {self._num_moments} seconds with boxes lie after its end, "
            f"second {self._window.next_seconds:g} first; {where}."
        )
        if not self._num_passed:
            raise VideoError(f"{text} Check the second at which the video starts.")
        self.progress.notes.append(text)

    def _timed_frames(self) -> Iterator[ShownFrame]:
        progress = self.progress
        frames = self.source.frames()
        cuts, shot = ShotChanges(), 0
        while True:
            started = time.perf_counter()
            try:
                frame = next(frames, None)
            finally:
                progress.times.decode += time.perf_counter() - started
            if frame is None:
                return
            progress.num_frames += 1
            progress.last_seconds = frame.seconds
            shot += cuts.is_new_shot(frame.luma_HW())
            yield ShownFrame(frame.seconds, frame.duration_seconds, shot, frame)

    def _timed_show(self, frame: ShownFrame, end_seconds: float) -> list[Ready[Tensor]]:
        started = time.perf_counter()
        ready = self._window.show_until(frame, end_seconds)
        self.progress.times.convert += time.perf_counter() - started
        return ready

    def _pass_on(self, ready: Sequence[Ready[Tensor]]) -> None:
        for one in ready:
            self._num_passed += 1
            frames = []
            while self._waiting and self._waiting[0].seconds < one.moment.seconds:
                frames.append(self._waiting.popleft())
            self._jobs.put(_Job(one, tuple(frames)))

    def _release_early(self) -> None:
        """Let go of frames whose next moment is far away."""
        upcoming = self._window.next_seconds
        limit = None if upcoming is None else upcoming - self._options.hold_seconds
        while self._waiting and (limit is None or self._waiting[0].seconds < limit):
            self._jobs.put(_Job(None, (self._waiting.popleft(),)))

    def _is_in_range(self, seconds: float) -> bool:
        return self._first <= seconds and (self._last is None or seconds < self._last)

    def _is_done(self, seconds: float) -> bool:
        if self._window.next_seconds is not None:
            return False
        return not self._keeps_frames or (self._last is not None and seconds >= self._last)

    def _look(self, moment: Moment, frame_HWC: np.ndarray) -> None:
        # No bound of its own: the decoder is never further ahead than `clips` lets it be.
        self._looks.put((moment, frame_HWC))

    # the persons' thread

    def _find_all(self) -> None:
        while True:
            item = self._looks.get()
            started = time.perf_counter()
            found = self._find(*item)
            self.progress.times.persons += time.perf_counter() - started
            self._found.put(found)

    # the actions' thread

    def _act(self) -> None:
        """Score batches of moments; which ones make a batch depends on the moments alone."""
        batch: list[tuple[_Job, np.ndarray | None]] = []
        while True:
            item = self._jobs.get()
            if isinstance(item, _Job) and item.ready is not None:
                persons = self._persons_of(item.ready.moment)
                if isinstance(persons, _Failure):
                    item = persons
                else:
                    batch.append((item, persons))
                    if len(batch) < self._options.clips_per_batch:
                        continue
            self._score_batch(batch)
            batch = []
            if isinstance(item, _Failure):
                raise item.error
            if isinstance(item, _End):
                self._results.put(item)
                return
            if item.ready is None:
                self._results.put(_Result(None, item.frames))

    def _persons_of(self, moment: Moment) -> np.ndarray | _Failure | None:
        if moment.is_known:
            return None
        return self._found.get() if self._finds_beside else self._find(moment, None)

    def _score_batch(self, batch: Sequence[tuple[_Job, np.ndarray | None]]) -> None:
        progress = self.progress
        started = time.perf_counter()
        pairs = [
            (job.ready, persons)
            for job, persons in batch
            if job.ready is not None and persons is not None
        ]
        scored = iter(self._score(pairs) if pairs else ())
        progress.times.actions += time.perf_counter() - started
        for job, persons in batch:
            assert job.ready is not None
            if persons is None:
                keyframe = self._known_result(job.ready)
            else:
                keyframe = next(scored)
                progress.num_clips += keyframe.has_actions and bool(keyframe.persons)
            progress.num_keyframes += keyframe.has_actions
            self._results.put(_Result(self._finish(keyframe), job.frames))

    def _known_result(self, ready: Ready[Tensor]) -> KeyframeActions:
        keyframe = next(self._known, None)
        if keyframe is None or keyframe.seconds != ready.moment.seconds:
            found = "missing" if keyframe is None else f"of second {keyframe.seconds:g}"
            raise DataError(
                f"{self.source.info.name}: the known result of second {ready.moment.seconds:g} is "
                f"{found}; begin anew."
            )
        return replace(keyframe, shot=ready.shot)


def _run_stage(work: Callable[[], None], below: Channel[Any]) -> None:
    """Run a thread; its error goes to the stage below."""
    try:
        work()
    except Closed:
        pass
    except BaseException as error:
        with contextlib.suppress(Closed):
            below.put(_Failure(error))
