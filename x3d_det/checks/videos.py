"""Are the videos there, whole, and long enough for the seconds that the files name?"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from x3d_det.checks.findings import Finding, Severity, listed, shown, some
from x3d_det.checks.probe import FramesFacts, FramesJob, VideoFacts, VideoJob, look_into
from x3d_det.checks.tables import SplitTables
from x3d_det.checks.watched import Lost, run_watched
from x3d_det.config.schema import DatasetConfig, FrameFolderConfig
from x3d_det.data.clips import VideoFolder
from x3d_det.errors import VideoError
from x3d_det.io.frame_folder import FrameFolderReader

_TRUNCATED_SECONDS = 0.5  # `io.video` calls a file truncated from here on
_VARYING = 1.5  # frames of one steady rate differ by less, with clocks of whole milliseconds
_FILM_SECONDS = 300.0  # a cut that goes on for so long after its last keyframe may be a film
_Facts = VideoFacts | FramesFacts | Lost


@dataclass(frozen=True)
class VideoFolderReport:
    """What is in the folder of the videos.

    Args:
        findings: about the folder as a whole and the videos that are not there.
        paths: file or folder of each video that is needed and there.
    """

    findings: list[Finding] = field(default_factory=list)
    paths: dict[str, Path] = field(default_factory=dict)


def needed_videos(splits: Sequence[SplitTables]) -> dict[str, tuple[str, int]]:
    """Return the videos that training or evaluation reads: id to the first place that names it."""
    places: dict[str, tuple[str, int]] = {}
    for split in splits:
        tables = [(split.annotations.rows, split.files.annotations)]
        if split.person_boxes is not None and split.files.uses_person_boxes:
            assert split.files.person_boxes is not None
            tables.append((split.person_boxes, split.files.person_boxes))
        for rows, path in tables:
            firsts = rows.drop_duplicates("video_id")
            for video_id, line in zip(firsts["video_id"], firsts["line"], strict=True):
                places.setdefault(str(video_id), (shown(path), int(line)))
    return places


def find_videos(
    dataset: DatasetConfig, root: Path, needed: Mapping[str, tuple[str, int]]
) -> VideoFolderReport:
    """Return where the needed videos are, and what is missing, doubled, unused or elsewhere."""
    if dataset.frames is not None:
        return _find_frames(dataset.frames, root, needed)
    folder = root / dataset.videos
    try:
        source = VideoFolder(folder, extensions=dataset.video_extensions)
        names = sorted(os.listdir(folder))
    except (VideoError, OSError):
        return VideoFolderReport([_no_folder(folder, "videos", "dataset.videos", len(needed))])
    report = VideoFolderReport()
    for video_id in needed:
        if source.has_video(video_id):
            report.paths[video_id] = Path(source.describe(video_id))
    known = [name for name in names if _extension(name) in source.extensions]
    missing = [video_id for video_id in needed if video_id not in report.paths]
    stems = {_stem(name): name for name in names}
    report.findings.extend(
        listed(
            range(len(missing)),
            lambda place: _missing(missing[place], needed[missing[place]], source, stems),
        )
    )
    report.findings.extend(_doubled(folder, known, source, needed))
    report.findings.extend(_elsewhere(root, report.paths))
    report.findings.extend(_unused(folder, known, needed))
    return report


def look_into_videos(
    paths: Mapping[str, Path],
    dataset: DatasetConfig,
    *,
    full_decode: bool,
    num_workers: int,
    timeout_seconds: float,
    progress: Callable[[int, float], None] = lambda videos, seconds: None,
) -> dict[str, _Facts]:
    """Return what is in each video, found by processes of their own under a watchdog.

    Args:
        paths: from `find_videos`.
        dataset: says whether the videos are folders of frames.
        full_decode: decode every frame.
        num_workers: processes.
        timeout_seconds: without a sign of life after which a video is given up.
        progress: called with the number of videos done, and of all seconds read so far.
    """
    ids = list(paths)
    jobs = [_job(video_id, paths[video_id], dataset, full_decode) for video_id in ids]
    facts: dict[str, _Facts] = {}
    seconds_read: dict[int, float] = {}

    def report(job: int, seconds: float) -> None:
        seconds_read[job] = max(seconds, seconds_read.get(job, 0.0))
        progress(len(facts), sum(seconds_read.values()))

    for index, found in run_watched(
        jobs,
        look_into,
        num_workers=num_workers,
        timeout_seconds=timeout_seconds,
        on_report=report,
    ):
        facts[ids[index]] = found
        end = None if isinstance(found, Lost) else found.end_seconds
        report(index, end or 0.0)
    return facts


def video_findings(paths: Mapping[str, Path], facts: Mapping[str, _Facts]) -> Iterator[Finding]:
    """Yield what is wrong with, or worth knowing about, each video by itself."""
    for video_id, found in facts.items():
        path = shown(paths[video_id])
        if isinstance(found, Lost):
            text = (
                f"{found.reason}, at about second {found.done:.1f}; play it in another program, "
                "and encode it anew or take its rows out."
            )
            yield Finding(severity="error", kind="hung_video", path=path, text=text)
        elif isinstance(found, FramesFacts):
            yield from _frame_findings(path, found)
        else:
            yield from _file_findings(path, found)
    yield from _rates(paths, facts)


def end_of(found: _Facts) -> float | None:
    """Return the second at which a video ends, from the start of its file; None where unknown."""
    return None if isinstance(found, Lost) else found.end_seconds


def _job(
    video_id: str, path: Path, dataset: DatasetConfig, full_decode: bool
) -> VideoJob | FramesJob:
    if dataset.frames is None:
        return VideoJob(path=str(path), full_decode=full_decode)
    return FramesJob(
        folder=str(path),
        video_id=video_id,
        template=dataset.frames.template,
        fps=dataset.frames.fps,
        first_index=dataset.frames.first_index,
        full_decode=full_decode,
    )


def _find_frames(
    frames: FrameFolderConfig, root: Path, needed: Mapping[str, tuple[str, int]]
) -> VideoFolderReport:
    folder = root / frames.folder
    if not folder.is_dir():
        missing = _no_folder(folder, "frames", "dataset.frames.folder", len(needed))
        return VideoFolderReport([missing])
    try:
        reader = FrameFolderReader(folder, template=frames.template)
    except VideoError as error:
        wrong = Finding(severity="error", kind="broken_frames", path="config", text=str(error))
        return VideoFolderReport([wrong])
    report = VideoFolderReport()
    for video_id, (path, line) in needed.items():
        own = folder / video_id
        if reader.has_video(video_id):
            report.paths[video_id] = own
            continue
        text = f"video {video_id} has no folder {shown(own)}; extract its frames there."
        report.findings.append(
            Finding(severity="error", kind="missing_video", path=path, line=line, text=text)
        )
    report.findings.extend(_elsewhere(root, report.paths))
    unused = [name for name in sorted(os.listdir(folder)) if name not in needed]
    report.findings.extend(_unused(folder, [n for n in unused if (folder / n).is_dir()], needed))
    return report


def _no_folder(folder: Path, what: str, setting: str, num_needed: int) -> Finding:
    text = (
        f"there is no folder of {what} here, and {num_needed:,} videos are needed; put them "
        f"there, or name another as {setting} or dataset.root."
    )
    return Finding(severity="error", kind="missing_video", path=shown(folder), text=text)


def _missing(
    video_id: str, place: tuple[str, int], source: VideoFolder, stems: Mapping[str, str]
) -> Finding:
    path, line = place
    lower = {stem.lower(): name for stem, name in stems.items()}
    near = get_close_matches(video_id, stems, n=1, cutoff=0.8)
    extensions = f"dataset.video_extensions ({', '.join(source.extensions)})"
    if video_id in stems:
        hint = f"there is {stems[video_id]}, whose ending is not among {extensions}: add it there"
    elif video_id.lower() in lower:
        hint = f"there is {lower[video_id.lower()]}: upper and lower case differ; rename one"
    elif _stem(video_id) in stems:
        hint = "an id is the file's name without its ending: take the ending out of the rows"
    else:
        hint = f"there is {stems[near[0]]}; " if near else ""
        hint += "add the file, or take its rows out"
    text = f"video {video_id} is missing: no {shown(source.describe(video_id))}; {hint}."
    return Finding(severity="error", kind="missing_video", path=path, line=line, text=text)


def _doubled(
    folder: Path, names: Sequence[str], source: VideoFolder, needed: Mapping[str, object]
) -> Iterator[Finding]:
    counts = Counter(_stem(name) for name in names)
    for stem, number in counts.items():
        if number > 1 and stem in needed:
            own = [name for name in names if _stem(name) == stem]
            text = (
                f"{number} files are video {stem}: {', '.join(own)}; "
                f"{Path(source.describe(stem)).name} is read: remove the others."
            )
            yield Finding(severity="warning", kind="video_file", path=shown(folder), text=text)


def _elsewhere(root: Path, paths: Mapping[str, Path]) -> Iterator[Finding]:
    """Yield one note for links that lead out of the data set's folder."""
    real_root = root.resolve()
    outside = []
    for path in paths.values():
        try:
            is_inside = path.resolve().is_relative_to(real_root)
        except (OSError, RuntimeError):
            continue  # a link to itself: looking into the video names it
        if not is_inside:
            outside.append(path)
    if outside:
        text = (
            f"{len(outside):,} of the videos are links to places outside the data set's folder, "
            f"such as {outside[0].name} -> {outside[0].resolve()}; copy them along where it moves."
        )
        folder = shown(outside[0].parent)
        yield Finding(severity="note", kind="video_file", path=folder, text=text)


def _unused(folder: Path, names: Sequence[str], needed: Mapping[str, object]) -> Iterator[Finding]:
    unused = [name for name in names if _stem(name) not in needed and name not in needed]
    if unused:
        text = f"{len(unused):,} of the videos here are named by no row: {some(unused)}."
        yield Finding(severity="note", kind="video_file", path=shown(folder), text=text)


def _stem(name: str) -> str:
    """Return a file name without its ending, if it is one of a video's."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and stem and len(ending) <= 5 else name


def _extension(name: str) -> str:
    return Path(name).suffix.lower().removeprefix(".")


def _file_findings(path: str, facts: VideoFacts) -> Iterator[Finding]:
    def finding(severity: Severity, kind: str, text: str) -> Finding:
        return Finding(severity=severity, kind=kind, path=path, text=text)

    if facts.error is not None:
        remedy = "copy or download it again, or take its rows out."
        yield finding("error", "broken_video", f"{facts.error} {remedy.capitalize()}")
        return
    promised, end = facts.promised_seconds, facts.end_seconds
    if promised is not None and end is not None and promised - end > _TRUNCATED_SECONDS:
        text = (
            f"is truncated: its last frame ends at second {end:.1f}, but its header promises "
            f"{promised:.1f} s; copy or download it again."
        )
        yield finding("error", "truncated_video", text)
    if facts.num_damaged:
        text = (
            f"{facts.num_damaged:,} frames are damaged, the first at second "
            f"{facts.first_damaged_seconds:.3f}; copy or download it again."
        )
        yield finding("warning", "broken_video", text)
    if facts.longest_frame_seconds > _VARYING * facts.shortest_frame_seconds > 0:
        text = (
            f"its frame rate varies: frames last {facts.shortest_frame_seconds:.3f} to "
            f"{facts.longest_frame_seconds:.3f} s; clips are read by time, so that this does no "
            "harm here."
        )
        yield finding("note", "picture", text)
    if facts.rotation_degrees:
        text = (
            f"is marked as turned by {facts.rotation_degrees} degrees and is shown upright; boxes "
            "must be those of the upright picture."
        )
        yield finding("note", "picture", text)
    if abs(facts.pixel_aspect - 1) > 0.01:
        text = (
            f"its pixels are not square ({facts.pixel_aspect:.3f} times as wide as high); frames "
            "are read as stored, which does no harm to boxes in fractions of the frame."
        )
        yield finding("note", "picture", text)
    if facts.width % 2 or facts.height % 2:
        text = f"its size {facts.width}x{facts.height} is odd; some programs crop it by a pixel."
        yield finding("note", "picture", text)


def _frame_findings(path: str, facts: FramesFacts) -> Iterator[Finding]:
    def finding(severity: Severity, text: str, count: int = 1) -> Finding:
        return Finding(severity=severity, kind="broken_frames", path=path, text=text, count=count)

    if facts.error is not None:
        yield finding("error", f"{facts.error} Extract its frames, or correct dataset.frames.")
        return
    if facts.missing:
        text = (
            f"{len(facts.missing):,} of {facts.num_images:,} frames are missing: number "
            f"{some(facts.missing)}; extract the frames again."
        )
        yield finding("error", text)
    yield from (
        finding("error", f"{name} is no readable image ({reason}); extract the frames again.")
        for name, reason in facts.broken[:100]
    )
    if len(facts.sizes) > 1:
        sizes = some([f"{width}x{height}" for width, height in facts.sizes])
        yield finding("error", f"its frames have several sizes: {sizes}; extract them again.")


def _rates(paths: Mapping[str, Path], facts: Mapping[str, _Facts]) -> Iterator[Finding]:
    """Yield one note on the frame rates, where there are several."""
    rates = Counter(
        round(found.fps, 2)
        for found in facts.values()
        if isinstance(found, VideoFacts) and found.error is None
    )
    if len(rates) > 1:
        texts = [f"{number:,} of {rate:g}" for rate, number in rates.most_common()]
        text = (
            f"the videos have several frame rates: {some(texts)} frames a second; clips are read "
            "by time, so that this does no harm here. Frames extracted at the videos' own rates "
            "would not be at their places."
        )
        folder = shown(next(iter(paths.values())).parent)
        yield Finding(severity="note", kind="picture", path=folder, text=text)


def whole_film(end_seconds: float, last_second: float, start_seconds: float) -> bool:
    """Return whether a file that should start at `start_seconds` looks like the whole film."""
    surplus = end_seconds - (last_second - start_seconds)
    return start_seconds > 0 and surplus > max(start_seconds, _FILM_SECONDS)
