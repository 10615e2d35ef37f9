"""Do the keyframes' seconds lie inside the videos? If not, which start of the files would fit?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from x3d_det.checks.findings import Finding, Severity, listed, shown, some
from x3d_det.checks.keyframes import ANNOTATED, DETECTED
from x3d_det.checks.tables import SplitTables
from x3d_det.checks.videos import whole_film
from x3d_det.keyframes import format_timestamp

_TOLERANCE_SECONDS = 1e-3
_USUAL_STARTS = (0.0, 900.0)  # whole films; AVA's cuts
_USUAL_RATES = (24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60.0, 15.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """How seconds of the film lie in the files.

    Args:
        start_seconds: second of the film at which every file starts.
        ends: video id to the length of its file in seconds; videos whose length is not
            known are left out, and only seconds before the start are outside them.
        num_images: video id to the number of its extracted frames; empty for videos.
        fps: rate at which frames were extracted.
        starts: video id to the start of its file, where that is listed.
    """

    start_seconds: float
    ends: Mapping[str, float]
    num_images: Mapping[str, int]
    fps: float | None = None
    starts: Mapping[str, float] = field(default_factory=dict)

    def start_of(self, video_id: str) -> float:
        """Return the second of the film at which a video's file starts."""
        return self.starts.get(video_id, self.start_seconds)


def second_findings(splits: Sequence[SplitTables], time: Timeline) -> Iterator[Finding]:
    """Yield the videos that have keyframes outside their files, and what would mend it."""
    spans: dict[str, tuple[float, float]] = {}
    found: list[Finding] = []
    for split in splits:
        _add_spans(spans, split)
        used: Severity = "error" if split.files.uses_person_boxes else "note"
        found += _outside(split, time, ANNOTATED, "error", "annotated keyframes")
        if split.person_boxes is not None:
            found += _outside(split, time, DETECTED, used, "keyframes with person boxes")
    if any(finding.severity == "error" for finding in found):
        yield from _other_start(spans, time)
    yield from found
    yield from _whole_films(spans, time)


def fitting_start(
    spans: Sequence[tuple[float, float, float | None]], *, given: float
) -> float | None:
    """Return a start of the files with which all keyframes lie inside, None where there is none.

    Args:
        spans: first and last second of the keyframes of a video, and the length of its file or
            None.
        given: the start that is set; not returned.
    """
    latest = min((first for first, _, _ in spans), default=0.0)
    earliest = max((last - end for _, last, end in spans if end is not None), default=0.0)
    candidates = (*_USUAL_STARTS, np.floor(latest), np.ceil(max(earliest, 0.0)))
    for start in candidates:
        if start != given and earliest - _TOLERANCE_SECONDS <= start <= latest:
            return float(start)
    return None


def _add_spans(spans: dict[str, tuple[float, float]], split: SplitTables) -> None:
    """Widen the first and last second of each video by the annotated keyframes of a split."""
    for name, (first, last, _) in split.spans(split.has(ANNOTATED)).items():
        before = spans.get(name, (first, last))
        spans[name] = (min(first, before[0]), max(last, before[1]))


def _outside(
    split: SplitTables, time: Timeline, table: int, severity: Severity, what: str
) -> Iterator[Finding]:
    """Yield a finding for each video with keyframes of this table outside its file."""
    index = split.index
    ends = np.array([time.ends.get(name, np.inf) for name in index.video_names])
    starts = np.array([time.start_of(name) for name in index.video_names])
    seconds_F = index.seconds - starts[index.videos]
    outside_F = (seconds_F < -_TOLERANCE_SECONDS) | (
        seconds_F > ends[index.videos] + _TOLERANCE_SECONDS
    )
    if table == DETECTED:
        outside_F &= ~split.has(ANNOTATED)  # those are named already
    rows = np.flatnonzero(outside_F[index.keyframes[table]])
    source = split.annotations.rows if table == ANNOTATED else split.detected
    path = shown(split.files.annotations if table == ANNOTATED else split.files.person_boxes or "")
    lines = source["line"].to_numpy()[rows]
    keyframes = index.keyframes[table][rows]
    videos = index.videos[keyframes]
    names, first_rows = np.unique(videos, return_index=True)
    of_table_F = split.has(table)

    def make(place: int) -> Finding:
        video = names[place]
        name = index.video_names[video]
        own = np.unique(index.seconds[keyframes[videos == video]])
        all_own = index.seconds[of_table_F & (index.videos == video)]
        text = (
            f"{len(own):,} of {len(all_own):,} {what} of video {name} lie outside its file, "
            f"which {_shows(time, name)}: {some([format_timestamp(s) for s in own])}; "
            f"{_remedy(own, all_own, time, name)}."
        )
        return Finding(
            severity=severity,
            kind="outside_video",
            path=path,
            line=int(lines[first_rows[place]]),
            text=text,
        )

    yield from listed(range(len(names)), make)


def _shows(time: Timeline, name: str) -> str:
    start, end = time.start_of(name), time.ends.get(name)
    if end is None:
        return f"starts at second {start:g} of the film"
    return f"shows seconds {start:g} to {start + end:.1f} of the film"


def _remedy(outside: np.ndarray, seconds: np.ndarray, time: Timeline, name: str) -> str:
    """Return what would bring one video's keyframes into its file."""
    given, end = time.start_of(name), time.ends.get(name)
    if (outside >= given).all() and name in time.num_images:
        needed = outside.max() - given
        fitting = [f for f in _USUAL_RATES if needed <= time.num_images[name] / f]
        rate = max(fitting, default=None)
        if rate is not None and time.fps is not None and rate < time.fps:
            return (
                f"{time.num_images[name]:,} frames at {rate:g} a second would reach: "
                f"set dataset.frames.fps={rate:g} if they were extracted so, or extract them at "
                f"{time.fps:g}"
            )
    start = fitting_start([(seconds.min(), seconds.max(), end)], given=given)
    other = "" if start is None else f", or set dataset.video_start_seconds={start:g} if it is so"
    if name in time.starts:
        other = f", or its row in dataset.video_starts, which has {given:g}"
    return f"get the complete video, correct the seconds{other}"


def _other_start(spans: Mapping[str, tuple[float, float]], time: Timeline) -> Iterator[Finding]:
    """Yield the start that fits all videos at once, where there is one."""
    spans = {name: span for name, span in spans.items() if name not in time.starts}
    all_spans = [(first, last, time.ends.get(name)) for name, (first, last) in spans.items()]
    given = time.start_seconds
    if all(
        first >= given - _TOLERANCE_SECONDS
        and (end is None or last - given <= end + _TOLERANCE_SECONDS)
        for first, last, end in all_spans
    ):
        return  # those outside have a start of their own
    start = fitting_start(all_spans, given=given)
    if start is not None:
        known = f", of which {len(time.ends):,} are of known length" if time.ends else ""
        text = (
            f"dataset.video_start_seconds = {time.start_seconds:g} puts keyframes outside the "
            f"videos; with {start:g} all keyframes of the {len(spans):,} videos{known} lie inside: "
            f"--set dataset.video_start_seconds={start:g}"
        )
        yield Finding(severity="error", kind="video_start", path="config", text=text)


def _whole_films(spans: Mapping[str, tuple[float, float]], time: Timeline) -> Iterator[Finding]:
    films = [
        name
        for name, (_, last) in spans.items()
        if name in time.ends
        and name not in time.starts
        and whole_film(time.ends[name], last, time.start_seconds)
    ]
    if films:
        text = (
            f"dataset.video_start_seconds = {time.start_seconds:g}, but {len(films):,} files go "
            f"on for more than {time.start_seconds:g} s after their last keyframe ({some(films)}): "
            "are they whole films? Then --set dataset.video_start_seconds=0, or the boxes lie on "
            "other pictures."
        )
        yield Finding(severity="warning", kind="video_start", path="config", text=text)
