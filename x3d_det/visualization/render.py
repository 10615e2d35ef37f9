"""A video with boxes and actions drawn on every frame.

The source is decoded once, one frame in memory at a time, and written as H.264
with every frame's own time, so that a varying frame rate stays as it was.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from x3d_det.errors import VideoError
from x3d_det.io.video import VideoInfo, iterate_frames, probe_video
from x3d_det.io.video_writer import VideoWriter
from x3d_det.keyframes import format_timestamp
from x3d_det.visualization.draw import Caption, draw_persons
from x3d_det.visualization.placement import PlateMemory
from x3d_det.visualization.timeline import KeyframePerson, Timeline, to_drawn

_KEYFRAME_LIT_SECONDS = 0.1  # the diamond is full so long round a keyframe: one frame is unseen
_NAMED_KEYFRAMES = 5


ProgressFunction = Callable[[float, float | None], None]
"""Told the seconds of the film drawn so far, and their total where the file says it."""


@dataclass(frozen=True, kw_only=True)
class RenderSummary:
    """What was drawn; persons are counted once a keyframe."""

    output_path: Path
    num_frames: int
    num_frames_with_persons: int
    num_keyframes: int
    num_annotated: int
    num_detected: int
    num_detected_without_action: int
    score_threshold: float
    notes: tuple[str, ...]
    """Why something that one may expect to see is not there."""

    def lines(self) -> list[str]:
        """Return the summary in plain words."""
        boxes = f"{self.num_annotated} annotated and {self.num_detected} detected boxes"
        text = (
            f"{self.output_path}: {_count(self.num_frames, 'frame')}, "
            f"{self.num_frames_with_persons} of them with boxes; "
            f"{boxes} on {_count(self.num_keyframes, 'keyframe')}"
        )
        if self.num_detected_without_action:
            text += (
                f"; {self.num_detected_without_action} of the detected are grey, "
                f"without an action at {self.score_threshold:.2f} or more"
            )
        return [f"{text}.", *self.notes]


def render_video(
    source: str | Path,
    output_path: str | Path,
    timeline: Timeline,
    *,
    action_names: Mapping[int, str],
    video_start_seconds: float,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    score_threshold: float = 0.3,
    top_k: int | None = 5,
    keep_sound: bool = True,
    crf: int = 23,
    progress: ProgressFunction | None = None,
) -> RenderSummary:
    """Draw a video's persons on all its frames and write an mp4.

    Args:
        source: video file.
        output_path: mp4 to write; appears when it is whole.
        timeline: the persons, from `build_timeline`.
        action_names: action id -> name as it is to be drawn (`short_action_names`).
        video_start_seconds: second of the film at which the file starts: 900 for AVA's
            fifteen-minute cuts, 0 where timestamps count from the start of the file.
        start_seconds, end_seconds: half-open range to draw, in seconds of the film, as the
            timestamps; None draws from the start or to the end.
        score_threshold: labels with a lower score are not drawn.
        top_k: at most so many labels a person; None draws all.
        keep_sound: carry the source's sound along.
        crf: quality of x264, 0 (lossless) to 51.
        progress: called a few times a second, and at the end.

    Raises:
        VideoError: the source cannot be read, or the range has no frame of it.
    """
    info = probe_video(source)
    first, last = _range_in_file(info, video_start_seconds, start_seconds, end_seconds)
    meter = _Meter(progress, first, _end_of(info, last))
    memory = PlateMemory()
    num_with_persons, drawn_from, drawn_to = 0, math.inf, first
    with VideoWriter(
        output_path,
        height=info.height,
        width=info.width,
        fps=info.fps,
        crf=crf,
        audio_from=info.path if keep_sound and info.has_audio else None,
        audio_start_seconds=first,
    ) as writer:
        for seconds, frame_HWC in iterate_frames(source, start_seconds=first, end_seconds=last):
            drawn_from, drawn_to = min(drawn_from, seconds), seconds
            film_seconds = seconds + video_start_seconds
            persons = timeline.persons_at(film_seconds)
            num_with_persons += bool(persons)
            drawn_HWC = draw_persons(
                frame_HWC,
                to_drawn(persons, height=info.height, width=info.width, action_names=action_names),
                score_threshold=score_threshold,
                top_k=top_k,
                caption=_caption(timeline, film_seconds),
                memory=memory,
            )
            writer.write(drawn_HWC, seconds=seconds - drawn_from)
            meter.update(seconds)
        if not writer.num_frames:
            raise _range_error(info, video_start_seconds, start_seconds, end_seconds)
    meter.finish(drawn_to)
    return _summary(
        timeline,
        output_path=Path(output_path),
        num_frames=writer.num_frames,
        num_frames_with_persons=num_with_persons,
        film_range=(drawn_from + video_start_seconds, drawn_to + video_start_seconds),
        frame_seconds=float(1 / info.fps),
        score_threshold=score_threshold,
    )


def _caption(timeline: Timeline, film_seconds: float) -> Caption:
    stamp = timeline.nearest(film_seconds)
    if stamp is None:
        return Caption(text=f"{film_seconds:.2f} s")
    return Caption(
        text=f"{film_seconds:.2f} s · keyframe {format_timestamp(stamp)}",
        at_keyframe=abs(film_seconds - stamp) <= _KEYFRAME_LIT_SECONDS,
    )


def _range_in_file(
    info: VideoInfo, video_start_seconds: float, start: float | None, end: float | None
) -> tuple[float, float | None]:
    """Return the range in seconds of the file."""
    first = 0.0 if start is None else start - video_start_seconds
    last = None if end is None else end - video_start_seconds
    beyond = info.duration_seconds is not None and first >= info.duration_seconds
    if first < 0 or beyond or (last is not None and last <= first):
        raise _range_error(info, video_start_seconds, start, end)
    return first, last


def _range_error(
    info: VideoInfo, video_start_seconds: float, start: float | None, end: float | None
) -> VideoError:
    wanted = " to ".join(
        name if value is None else f"{value:g} s"
        for name, value in (("the start", start), ("the end", end))
    )
    span = f"from second {video_start_seconds:g} on"
    if info.duration_seconds is not None:
        span = (
            f"seconds {video_start_seconds:g} to {video_start_seconds + info.duration_seconds:.2f}"
        )
    return VideoError(
        f"{info.path}: the range from {wanted} has no frame; the file shows {span} of the film. "
        "The start must lie inside and the end after it."
    )


def _end_of(info: VideoInfo, last: float | None) -> float | None:
    ends = [end for end in (info.duration_seconds, last) if end is not None]
    return min(ends, default=None)


class _Meter:
    """Tells the caller how far it is, not at every frame."""

    _EVERY_SECONDS = 0.1

    def __init__(self, progress: ProgressFunction | None, first: float, end: float | None) -> None:
        self._progress = progress
        self._first = first
        self._total = None if end is None else max(end - first, 0.0)
        self._told = time.monotonic()

    def update(self, seconds: float) -> None:
        now = time.monotonic()
        if now - self._told >= self._EVERY_SECONDS:
            self._told = now
            self._tell(seconds - self._first)

    def finish(self, seconds: float) -> None:
        self._tell(seconds - self._first if self._total is None else self._total)

    def _tell(self, done: float) -> None:
        if self._progress is not None:
            self._progress(done, self._total)


def _summary(
    timeline: Timeline,
    *,
    output_path: Path,
    num_frames: int,
    num_frames_with_persons: int,
    film_range: tuple[float, float],
    frame_seconds: float,
    score_threshold: float,
) -> RenderSummary:
    first, last = film_range
    inside = [s for s in timeline.timestamps if first - 1e-6 <= s <= last + frame_seconds]
    persons = [person for stamp in inside for person in timeline.persons[stamp]]
    detected = [person for person in persons if person.kind == "detection"]
    silent = [person for person in detected if not _has_action(person, score_threshold)]
    return RenderSummary(
        output_path=output_path,
        num_frames=num_frames,
        num_frames_with_persons=num_frames_with_persons,
        num_keyframes=len(inside),
        num_annotated=len(persons) - len(detected),
        num_detected=len(detected),
        num_detected_without_action=len(silent),
        score_threshold=score_threshold,
        notes=tuple(_notes(timeline, inside, first, last, score_threshold)),
    )


def _has_action(person: KeyframePerson, score_threshold: float) -> bool:
    return any(score is None or score >= score_threshold for _, score in person.labels)


def _notes(
    timeline: Timeline, inside: list[float], first: float, last: float, score_threshold: float
) -> list[str]:
    """Say in plain words why keyframes are without boxes or labels."""
    notes = []
    span = f"{first:.2f} to {last:.2f} s"
    if not timeline.timestamps:
        return ["Nothing was drawn: no box of this video was given."]
    outside = sorted(set(timeline.timestamps) - set(inside))
    if not inside:
        notes.append(
            f"Nothing was drawn: none of the {_count(len(outside), 'keyframe')} "
            f"({_named(outside)}) lies in the drawn part, {span} of the film; "
            "check the second at which the video file starts."
        )
        return notes
    if outside:
        notes.append(
            f"{_count(len(outside), 'keyframe')} ({_named(outside)}) outside the drawn part, "
            f"{span} of the film."
        )
    with_detections = [
        (stamp, found)
        for stamp in inside
        if (found := [p for p in timeline.persons[stamp] if p.kind == "detection"])
    ]
    labelled = [
        stamp
        for stamp, found in with_detections
        if any(_has_action(person, score_threshold) for person in found)
    ]
    if with_detections and len(labelled) < len(with_detections):
        silent = [people for stamp, people in with_detections if stamp not in set(labelled)]
        highest = max(
            (s for people in silent for p in people for _, s in p.labels if s is not None),
            default=math.nan,
        )
        notes.append(
            f"{len(labelled)} of {_count(len(with_detections), 'keyframe')} with detections "
            f"{'has' if len(labelled) == 1 else 'have'} a score of {score_threshold:.2f} or more; "
            f"the highest on the others is {highest:.2f}: lower --score-threshold to see it."
        )
    empty = [stamp for stamp in inside if not timeline.persons[stamp]]
    if empty:
        notes.append(
            f"{_count(len(empty), 'keyframe')} ({_named(empty)}) "
            f"{'is' if len(empty) == 1 else 'are'} annotated as without any person."
        )
    return notes


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _named(stamps: list[float]) -> str:
    names = [format_timestamp(stamp) for stamp in stamps]
    if len(names) > _NAMED_KEYFRAMES:
        names = [*names[: _NAMED_KEYFRAMES - 1], "...", names[-1]]
    return ", ".join(names)
