"""Videos -> the persons of their keyframes, in a journal that a killed run goes on with.

One thread decodes the next keyframes while the detector looks at these. Shape suffixes:
H x W pixels, C channels red, green, blue, T frames, N boxes.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from x3d_det.boxes import clip_boxes, px_to_norm
from x3d_det.data.clips import FrameSource
from x3d_det.errors import DataError, VideoError, X3DDetError
from x3d_det.io.film_time import FilmTime
from x3d_det.keyframes import Keyframe
from x3d_det.persons.journal import (
    CORNER_DECIMALS,
    SCORE_DECIMALS,
    FoundPersons,
    PersonJournal,
    Records,
)
from x3d_det.persons.keyframe_plan import KEYFRAMES_PER_PIECE, KeyframePlan, Piece, Shard
from x3d_det.persons.summary import ShardedRun, read_run, shard_keyframes
from x3d_det.progress import ProgressLine

if TYPE_CHECKING:
    from x3d_det.persons.detector import PersonDetector

# Far-apart keyframes are sought one by one: decoding all frames in between would take longer.
_SEEK_GAP_SECONDS = 15.0
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")

_logger = logging.getLogger(__name__)
_Item = TypeVar("_Item")


@dataclass(frozen=True)
class _Decoded:
    """The frames of one piece; None where the video shows no such second."""

    piece: Piece
    frames_HWC: tuple[np.ndarray | None, ...]


@dataclass(frozen=True)
class _Unreadable:
    """A video that is given up, and why."""

    video_id: str
    reason: str


def run_shard(
    plan: KeyframePlan,
    source: FrameSource,
    detector: "PersonDetector",
    *,
    output_dir: Path,
    shard: Shard,
    video_start_seconds: float,
    video_starts: Mapping[str, float] | None = None,
    batch_size: int,
    resume: bool = False,
    progress_threshold: float = 0.8,
) -> ShardedRun:
    """Look at every keyframe of a shard that its journal lacks; return what all shards have.

    A batch holds frames of one video, and the same ones whatever was done before. A video that
    cannot be read is given up at its first error; the others go on.

    Args:
        plan: all keyframes.
        source: where frames come from.
        detector: finds the persons.
        output_dir: folder of the journals.
        shard: which part of the plan.
        video_start_seconds: second of the film at which the source's files start.
        video_starts: the same for single videos, by video id.
        batch_size: frames a call of the detector, 1 to `KEYFRAMES_PER_PIECE`.
        resume: go on with an earlier run.
        progress_threshold: score from which the progress line counts a person.

    Raises:
        DataError: a journal that stands in the way (see `PersonJournal`) or contradicts the
            others (`read_run`), or a detector that gives numbers that are not finite.
        X3DDetError: no memory for a batch, no space on the disk, or the shard is at work.
    """
    assert 1 <= batch_size <= KEYFRAMES_PER_PIECE
    settings: dict[str, Any] = {
        "keyframes": plan.identity,
        "video_start_seconds": video_start_seconds,
        "detector": dict(detector.settings),
    }
    if video_starts:
        settings["video_starts"] = dict(video_starts)
    time = FilmTime(start_seconds=video_start_seconds, starts=video_starts or {})
    keyframes = shard_keyframes(plan, shard)
    with PersonJournal(
        output_dir, shard, settings=settings, keyframes=keyframes, resume=resume
    ) as journal:
        label = "persons" if shard.count == 1 else f"persons, shard {shard}"
        num_done = len(journal.records)
        with ProgressLine(label, len(keyframes), unit="keyframes", already_done=num_done) as line:
            pieces = [
                left
                for piece in plan.pieces(shard)
                if (left := _unfinished(piece, journal.records, batch_size))
            ]
            unreadable = _go_through(
                pieces,
                _Frames(source, time),
                detector,
                journal,
                line,
                batch_size=batch_size,
                threshold=progress_threshold,
            )
        journal.end({**plan.unreadable, **unreadable})
    return read_run(output_dir, plan, num_shards=shard.count, settings=settings)


def _go_through(
    pieces: Sequence[Piece],
    frames: "_Frames",
    detector: "PersonDetector",
    journal: PersonJournal,
    line: ProgressLine,
    *,
    batch_size: int,
    threshold: float,
) -> dict[str, str]:
    """Look at these pieces, and return the videos that were given up, and why."""
    done = journal.records
    num_done, num_persons = len(done), done.num_persons(threshold)
    unreadable: dict[str, str] = {}
    with contextlib.closing(_ahead(frames.decode(pieces))) as decoded:
        for item in decoded:
            if isinstance(item, _Unreadable):
                unreadable[item.video_id] = item.reason
                line.close()
                _logger.warning("video %s is given up: %s", item.video_id, item.reason)
                continue
            for found in _detect(item, detector, batch_size):
                new = [one for one in found if one.keyframe not in done]
                journal.append(new)
                num_done += len(new)
                num_persons += sum(box[-1] >= threshold for one in new for box in one.boxes)
                line.update(num_done, f"{num_persons:,} persons")
    return unreadable


def _unfinished(piece: Piece, done: Records, batch_size: int) -> Piece | None:
    """Return the batches of a piece that have a keyframe to do, each batch whole."""
    left: list[float] = []
    for batch in _batches(piece.timestamps, batch_size):
        if any(Keyframe(piece.video_id, second) not in done for second in batch):
            left += batch
    return Piece(piece.video_id, tuple(left)) if left else None


def _batches(timestamps: Sequence[float], batch_size: int) -> Iterator[Sequence[float]]:
    for first in range(0, len(timestamps), batch_size):
        yield timestamps[first : first + batch_size]


def _detect(
    decoded: _Decoded, detector: "PersonDetector", batch_size: int
) -> Iterator[list[FoundPersons]]:
    """Yield what is found, batch after batch."""
    pairs = list(zip(decoded.piece.timestamps, decoded.frames_HWC, strict=True))
    for first in range(0, len(pairs), batch_size):
        batch = pairs[first : first + batch_size]
        frames = [frame_HWC for _, frame_HWC in batch if frame_HWC is not None]
        boxes = iter(_detect_batch(detector, frames) if frames else [])
        found = []
        for timestamp, frame_HWC in batch:
            keyframe = Keyframe(decoded.piece.video_id, timestamp)
            if frame_HWC is None:
                found.append(FoundPersons(keyframe, is_outside=True))
            else:
                rows = normalised_rows(next(boxes), frame_HWC.shape[:2], keyframe)
                found.append(FoundPersons(keyframe, rows))
        yield found


def _detect_batch(detector: "PersonDetector", frames_HWC: list[np.ndarray]) -> list[np.ndarray]:
    try:
        boxes = detector.detect(frames_HWC)
    except RuntimeError as error:
        if not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
            raise
        height, width = frames_HWC[0].shape[:2]
        raise X3DDetError(
            f"not enough memory for a batch of {len(frames_HWC)} frames of {width}x{height}; what "
            "was found is kept: go on with --resume and a smaller --batch-size."
        ) from error
    assert len(boxes) == len(frames_HWC)
    return boxes


def normalised_rows(
    boxes_px: np.ndarray, size_px: tuple[int, ...], keyframe: Keyframe
) -> tuple[tuple[float, ...], ...]:
    """Return x1, y1, x2, y2 in fractions of the frame, and the score, rounded, by falling score.

    Equal scores stand by their corners, so that the order never depends on the detector's.
    A box that rounding leaves without area is dropped.

    Args:
        boxes_px: (N, 5), corners in pixels and score.
        size_px: height and width of the frame.
        keyframe: for messages.

    Raises:
        DataError: a number that is not finite.
    """
    if not np.isfinite(boxes_px).all():
        raise DataError(
            f"{keyframe}: the detector gives boxes that are not finite numbers; its weights are "
            "damaged or do not belong to its model."
        )
    height, width = size_px
    corners = px_to_norm(boxes_px[:, :4].astype(np.float64), height_px=height, width_px=width)
    corners = clip_boxes(corners, height=1.0, width=1.0).round(CORNER_DECIMALS)
    scores = boxes_px[:, 4].astype(np.float64).round(SCORE_DECIMALS)
    rows = np.column_stack([corners, scores])
    rows = rows[(rows[:, 0] < rows[:, 2]) & (rows[:, 1] < rows[:, 3])]
    order = np.lexsort((*rows[:, 3::-1].T, -rows[:, 4]))
    return tuple(tuple(row) for row in rows[order].tolist())


class _Frames:
    """Reads the frames of keyframes, and tells seconds outside a video from a broken video."""

    def __init__(self, source: FrameSource, time: FilmTime) -> None:
        self._source = source
        self._time = time

    def decode(self, pieces: Sequence[Piece]) -> Iterator[_Decoded | _Unreadable]:
        """Yield the pieces decoded; a video ends at its first error."""
        given_up: set[str] = set()
        for piece in pieces:
            if piece.video_id in given_up:
                continue
            try:
                yield _Decoded(piece, tuple(self._read(piece)))
            except VideoError as error:
                given_up.add(piece.video_id)
                yield _Unreadable(piece.video_id, str(error))

    def _read(self, piece: Piece) -> Iterator[np.ndarray | None]:
        seconds = np.array(piece.timestamps)
        for group in np.split(seconds, np.flatnonzero(np.diff(seconds) > _SEEK_GAP_SECONDS) + 1):
            num_extra = 0
            try:
                clip = self._source.read(piece.video_id, group)
            except VideoError:
                # Broken, or all of the group is outside the video: the file's first frame, asked
                # for besides, can then be read and the rest is marked as outside.
                num_extra = 1
                first = self._time.start_of(piece.video_id)
                clip = self._source.read(piece.video_id, np.array([first, *group]))
            for frame_HWC, is_outside in zip(
                clip.frames_THWC[num_extra:], clip.clamped_T[num_extra:], strict=True
            ):
                yield None if is_outside else frame_HWC


def _ahead(items: Iterator[_Item]) -> Generator[_Item, None, None]:
    """Yield the items, made in a thread: one waits and one is in work while the caller has one."""
    ready: queue.Queue[_Item | BaseException | None] = queue.Queue(maxsize=1)
    stop = threading.Event()

    def put(item: _Item | BaseException | None) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:  # handed to the caller, who raises it
            put(error)

    thread = threading.Thread(target=work, name="decode", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
