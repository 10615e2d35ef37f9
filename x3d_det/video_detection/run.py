"""One video to its files: drawn video, csv, tracks, timeline; resumed after any kill.

What is found goes to a journal first. A run that goes on takes from it what it holds, decodes
and draws all frames anew (the cheap part), and ends in the same files: the data byte for byte,
the video picture for picture.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from x3d_det.engine.signals import StopSignals
from x3d_det.errors import X3DDetError
from x3d_det.io.files import remove_stale_temporaries
from x3d_det.tracking import PersonLinker
from x3d_det.video_detection.detections import Detections
from x3d_det.video_detection.detector import ActionDetector
from x3d_det.video_detection.drawing import VideoDrawing, drawn_video
from x3d_det.video_detection.found import (
    FoundTracks,
    video_id_of,
    without_password,
    write_detections_of,
)
from x3d_det.video_detection.frames import ShownFrame, SourceInfo
from x3d_det.video_detection.journal import ActionJournal
from x3d_det.video_detection.persons import GivenBoxes
from x3d_det.video_detection.pipeline import Progress
from x3d_det.video_detection.request import Request, Video
from x3d_det.video_detection.results import KeyframeActions
from x3d_det.visualization.action_timeline import plot_action_timeline

JOURNAL_NAME = "journal.jsonl"
VIDEO_NAME = "actions.mp4"
_HASHED_BYTES = 1 << 20
# Boxes move between keyframes no further apart; the frames between wait in memory.
_LONGEST_JOINED_SECONDS = 4.0

ProgressFunction = Callable[[float, float | None, int], None]
"""Told the seconds of video done, their total where it is known, and the persons found so far."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What is drawn and said of a video; none of it changes what is found.

    A run that goes on may have others than the run before.
    """

    score_threshold: float = 0.5
    """An action with this score or more is said to be done, drawn, and coloured in the timeline."""
    top_k: int = 5
    """Most actions drawn a person."""
    draws_video: bool = True
    keeps_sound: bool = True
    video_start_seconds: float = 0.0
    """Second of the film at which the video starts; added in the csv."""
    most_seconds: float | None = None
    """A camera or stream is watched for so long; None: until it ends or Ctrl-C."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run did."""

    summary: str
    """What was found, or why nothing was, in one sentence."""
    notes: tuple[str, ...]
    """Boxes beyond the video, frames dropped."""
    damage: str | None
    """Where and how the video broke, if it did; what came before is in the files."""
    files: tuple[Path, ...]
    finished: bool
    """False after Ctrl-C or SIGTERM in a file: `--resume` goes on."""
    signal_number: int | None
    start_seconds: float
    done_seconds: float
    """Second of the video that was reached."""
    wall_seconds: float
    num_from_journal: int
    """Moments that an earlier run had found."""
    progress: Progress
    draw_seconds: float
    encode_seconds: float
    num_dropped: int
    info: SourceInfo

    def speed_lines(self) -> list[str]:
        """Return the speed against real time, and where the time went."""
        times, wall = self.progress.times, max(self.wall_seconds, 1e-9)
        seconds = max(self.done_seconds - self.start_seconds, 0.0)
        stages = {
            "decoding": times.decode,
            "scaling": times.convert,
            "persons": times.persons,
            "X3D": times.actions,
            "drawing": self.draw_seconds,
            "encoding": self.encode_seconds,
        }
        shares = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stages.items() if seconds)
        return [
            f"{seconds:.1f} s of video in {self.wall_seconds:.1f} s: "
            f"{seconds / wall:.2f} x real time, "
            f"{self.progress.num_frames / wall:.1f} frames/s",
            f"where the time went, side by side: {shares}",
        ]


def detect_in_video(
    detector: ActionDetector,
    video: Video,
    output_dir: Path,
    *,
    request: Request,
    linker: PersonLinker,
    linker_name: str,
    options: RunOptions,
    resume: bool = False,
    progress: ProgressFunction | None = None,
) -> RunResult:
    """Find persons and actions in a video and write all there is to see of it.

    Written into `output_dir`: `actions.mp4` (drawn, with sound), `detections.csv` (AVA's form),
    `tracks.json`, `timeline.png`, and the journal that `resume` goes on from. Each appears when
    it is whole; after Ctrl-C they hold what was done by then.

    Args:
        detector: finds and names.
        video: a file, a camera's number, a stream's URL.
        output_dir: exists.
        request: which seconds, which persons.
        linker: a fresh one; numbers the persons.
        linker_name: of it, for `tracks.json`.
        options: what is drawn and said.
        resume: go on with the journal in `output_dir`.
        progress: called after each keyframe.

    Raises:
        X3DDetError: the video cannot be read, the folder cannot be written, the journal is of
            another video or of other settings, or without `resume` of a run that was not finished.
    """
    started = time.perf_counter()
    _keep_apart(video, output_dir / VIDEO_NAME)
    given = request.given_boxes(video)
    spacing = keyframe_spacing(given, request)
    joined = min(spacing / request.person_looks, _LONGEST_JOINED_SECONDS)
    hold = max(joined, request.options.hold_seconds)
    request = replace(request, boxes=given, options=replace(request.options, hold_seconds=hold))
    journal = ActionJournal(
        output_dir / JOURNAL_NAME,
        settings={
            "video": _about_video(video),
            **detector.settings(boxes_given=given is not None),
            "interval_seconds": request.interval_seconds,
            "person_looks": request.person_looks,
            "start_seconds": request.start_seconds,
            "end_seconds": request.end_seconds,
            "boxes_sha256": _about_boxes(given),
        },
        action_names=detector.action_names,
        resume=resume,
        replaces_unfinished=not _is_file(video),  # nothing else can be gone on with
    )
    num_known = journal.num_moments
    with contextlib.ExitStack() as stack:
        signals = stack.enter_context(StopSignals())
        items = stack.enter_context(
            detector.run(
                video,
                request,
                keeps_frames=options.draws_video,
                linker=linker,
                known=journal.moments() if num_known else None,
                num_known=num_known,
            )
        )
        stack.enter_context(journal)  # not before the video is known to be one
        remove_stale_temporaries(output_dir)
        work = _Work(
            detector,
            items,
            journal,
            num_known=num_known,
            request=request,
            options=options,
            spacing_seconds=spacing,
            joined_seconds=joined,
            progress=progress,
        )
        work.go(signals)
    files = work.write_tables(linker_name=linker_name)
    is_live = items.info.is_live
    if work.finished or is_live:
        with journal:
            journal.finish()
    return RunResult(
        summary=work.found.summary(),
        notes=tuple(work.notes()),
        damage=items.progress.damage,
        files=tuple(files),
        finished=work.finished or is_live,
        signal_number=None if work.finished or is_live else signals.signal_number,
        start_seconds=request.start_seconds,
        done_seconds=work.done_seconds,
        wall_seconds=time.perf_counter() - started,
        num_from_journal=num_known,
        progress=items.progress,
        draw_seconds=work.draw_seconds,
        encode_seconds=work.encode_seconds,
        num_dropped=items.num_dropped,
        info=items.info,
    )


class _Work:
    """One run over a video's keyframes and frames."""

    def __init__(
        self,
        detector: ActionDetector,
        items: "Detections[KeyframeActions | ShownFrame]",
        journal: ActionJournal,
        *,
        num_known: int,
        request: Request,
        options: RunOptions,
        spacing_seconds: float,
        joined_seconds: float,
        progress: ProgressFunction | None,
    ) -> None:
        self.items, self.info = items, items.info
        self.finished = False
        self.draw_seconds = self.encode_seconds = self.done_seconds = 0.0
        names = detector.action_names
        self.found = FoundTracks(
            score_threshold=options.score_threshold,
            action_names=names,
            person_threshold=detector.person_threshold,
        )
        self._journal, self._num_known, self._num_moments = journal, num_known, 0
        self._request, self._options, self._progress = request, options, progress
        self._spacing_seconds = spacing_seconds
        self._action_names, self._hold_seconds = names, joined_seconds / 2
        self._folder = journal.path.parent
        self._drew_video = False

    def go(self, signals: StopSignals) -> None:
        """Go through the video to its end or to a signal; the drawn part is a whole file."""
        if not self._options.draws_video:
            self._take_all(signals, None)
            self.done_seconds = self.items.progress.last_seconds
            return
        with drawn_video(
            self._folder / VIDEO_NAME,
            self.info,
            action_names=self._action_names,
            hold_seconds=self._hold_seconds,
            score_threshold=self._options.score_threshold,
            top_k=self._options.top_k,
            keeps_sound=self._options.keeps_sound,
            start_seconds=self._request.start_seconds,
        ) as drawing:
            self._take_all(signals, drawing)
        self._drew_video = drawing.num_frames > 0
        self.draw_seconds, self.encode_seconds = drawing.seconds, drawing.encode_seconds

    def write_tables(self, *, linker_name: str) -> list[Path]:
        """Write everything but the video; return all files."""
        csv_path = self._folder / "detections.csv"
        write_detections_of(
            csv_path,
            self._journal.moments(),
            video_id=video_id_of(self.info.name),
            start_seconds=self._options.video_start_seconds,
        )
        json_path = self._folder / "tracks.json"
        self.found.write_json(json_path, self._about(linker_name))
        timeline_path = plot_action_timeline(
            self._folder / "timeline.png",
            self.found.rows(),
            title=f"{Path(self.info.name).name}: {self.found.who()}",
            start_seconds=self._request.start_seconds,
            end_seconds=self.done_seconds,
            interval_seconds=self._spacing_seconds,
        )
        drawn = [self._folder / VIDEO_NAME] if self._drew_video else []
        return [*drawn, csv_path, json_path, timeline_path]

    def notes(self) -> list[str]:
        """Return what the user should know of the run."""
        notes = list(self.items.notes)
        if self.items.num_dropped:
            notes.append(
                f"{self.items.num_dropped:,} frames came faster than they could be looked at and "
                "were dropped."
            )
        return notes

    def _take_all(self, signals: StopSignals, drawing: VideoDrawing | None) -> None:
        for item in self.items:
            if isinstance(item, KeyframeActions):
                self._take_keyframe(item, drawing)
            elif drawing is not None:
                drawing.draw(item)
                self.done_seconds = drawing.done_seconds
            if signals.requested or self._is_enough():
                self.finished = not signals.requested
                return
        self.finished = True

    def _take_keyframe(self, keyframe: KeyframeActions, drawing: VideoDrawing | None) -> None:
        self._num_moments += 1
        if self._num_moments > self._num_known:
            self._journal.add(keyframe)
        self.found.add(keyframe)
        if drawing is not None:
            drawing.add(keyframe)
        else:  # the frames do not tell how far it is
            self.done_seconds = keyframe.seconds
        if self._progress is not None:
            total = self._request.end_seconds or self.info.duration_seconds
            self._progress(keyframe.seconds, total, self.found.num_persons)

    def _is_enough(self) -> bool:
        most = self._options.most_seconds
        return most is not None and self.done_seconds >= most

    def _about(self, linker_name: str) -> dict[str, Any]:
        duration = self.info.duration_seconds
        return {
            "video": {
                "name": without_password(self.info.name),
                "height": self.info.height,
                "width": self.info.width,
                "fps": float(self.info.fps),
                "duration_seconds": duration,
            },
            "start_seconds": self._request.start_seconds,
            "done_seconds": round(self.done_seconds, 6),
            "interval_seconds": self._spacing_seconds,
            "tracker": linker_name,
        }


def _keep_apart(video: Video, output: Path) -> None:
    """Refuse a video that the drawn one would replace."""
    is_file = isinstance(video, str | Path) and "://" not in str(video)
    if is_file and output.exists() and Path(str(video)).resolve() == output.resolve():
        raise X3DDetError(
            f"{video}: the drawn video would replace this one; choose another --output-dir."
        )


def _is_file(video: Video) -> TypeGuard[str | Path]:
    return isinstance(video, str | Path) and "://" not in str(video)


def _about_video(video: Video) -> Any:
    """Return what tells a file from another: its size and its two ends, whatever it is called."""
    if not _is_file(video):
        return without_password(str(video))
    try:
        with open(video, "rb") as file:
            digest = hashlib.sha256(file.read(_HASHED_BYTES))
            num_bytes = file.seek(0, 2)
            file.seek(max(0, num_bytes - _HASHED_BYTES))
            digest.update(file.read())
    except OSError as error:
        raise X3DDetError(f"{video}: cannot be read: {error.strerror}.") from error
    return {"bytes": num_bytes, "sha256_of_ends": digest.hexdigest()}


def _about_boxes(given: GivenBoxes | None) -> str | None:
    if given is None:
        return None
    rows = [(second, boxes.tolist()) for second, boxes in sorted(given.items())]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def keyframe_spacing(given: GivenBoxes | None, request: Request) -> float:
    """Return the seconds from one keyframe to the next: of given boxes the median."""
    if given is None or len(given) < 2:
        return request.interval_seconds
    return float(np.median(np.diff(sorted(given))))
