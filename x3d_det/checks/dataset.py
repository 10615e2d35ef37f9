"""Check a whole data set: every file, every row, every video, all at once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from x3d_det.checks.boxes import box_findings
from x3d_det.checks.findings import Finding, of_error, shown, some
from x3d_det.checks.keyframes import keyframe_findings, leaks
from x3d_det.checks.labels import label_findings, read_checked_label_map
from x3d_det.checks.probe import FramesFacts, VideoFacts
from x3d_det.checks.report import DatasetReport, VideoStatistics, in_order
from x3d_det.checks.seconds import Timeline, second_findings
from x3d_det.checks.statistics import split_statistics
from x3d_det.checks.tables import SplitFiles, SplitTables, read_split
from x3d_det.checks.videos import (
    end_of,
    find_videos,
    look_into_videos,
    needed_videos,
    video_findings,
)
from x3d_det.checks.watched import Lost
from x3d_det.config.files import dataset_root
from x3d_det.config.schema import DatasetConfig, ExperimentConfig
from x3d_det.dataset_tables import DatasetTables
from x3d_det.errors import X3DDetError
from x3d_det.io.film_time import FilmTime
from x3d_det.progress import ProgressLine

_SAME_RATE = 0.0005  # 29.97 and 30 differ by twice as much
_Facts = Mapping[str, VideoFacts | FramesFacts | Lost]


def check_dataset(
    config: ExperimentConfig,
    *,
    with_videos: bool = True,
    full_decode: bool = False,
    num_workers: int = 2,
    timeout_seconds: float = 60.0,
) -> DatasetReport:
    """Return every fault of a config's data set, and its statistics.

    Args:
        config: its `dataset`, and what the other sections do with it.
        with_videos: look for the videos and into them; False reads the tables alone.
        full_decode: decode every frame of every video.
        num_workers: processes that look into videos.
        timeout_seconds: without a sign of life after which a video counts as hung.
    """
    dataset, root = config.dataset, dataset_root(config.dataset)
    threshold = config.boxes.score_threshold
    findings: list[Finding] = []
    splits: list[SplitTables] = []
    time, found = _film_time(dataset)
    findings += found
    for name in ("train", "val"):
        split, found = read_split(_files(config, name, time))
        splits.append(split)
        findings += found
        findings += box_findings(split)
        rules = config.evaluation.rules if name == "val" else None
        findings += keyframe_findings(split, score_threshold=threshold, rules=rules)
    findings += leaks(*splits)
    label_map_path = root / dataset.label_map
    label_map, found = read_checked_label_map(label_map_path)
    findings += found
    if label_map is not None:
        num_classes = dataset.num_classes or max(label_map.action_ids)
        findings += label_findings(label_map, label_map_path, splits, num_classes=num_classes)
        findings += _class_findings(dataset, splits)
    facts: _Facts = {}
    videos = None
    if with_videos:
        found, facts, videos = _videos(
            dataset, root, splits, full_decode, num_workers, timeout_seconds
        )
        findings += found
    findings += second_findings(splits, _timeline(dataset, time, facts))
    findings += _rate_findings(time, facts)
    return DatasetReport(
        name=dataset.name,
        root=shown(root),
        findings=in_order(findings),
        splits=[split_statistics(split, score_threshold=threshold) for split in splits],
        videos=videos,
        label_map=label_map,
    )


def _film_time(dataset: DatasetConfig) -> tuple[FilmTime, list[Finding]]:
    """Return when the videos start and what timestamps count, and the faults of what says so."""
    path = dataset_root(dataset) / (dataset.video_starts or "")
    try:
        return DatasetTables(dataset).time, []
    except X3DDetError as error:
        found = list(of_error(error, path, "video_start"))
    return DatasetTables(dataset.model_copy(update={"video_starts": None})).time, found


def _rate_findings(time: FilmTime, facts: _Facts) -> Iterator[Finding]:
    """Yield the videos of another rate than the one at which frames are numbered."""
    rate = time.frames_per_second
    if rate is None:
        return
    others = {
        name: found.fps
        for name, found in facts.items()
        if isinstance(found, VideoFacts) and found.fps and abs(found.fps / rate - 1) > _SAME_RATE
    }
    if others:
        named = some(f"{name} at {fps:.5g}" for name, fps in sorted(others.items()))
        text = (
            f"dataset.fps = {rate:g} numbers the frames, but {len(others):,} of {len(facts):,} "
            f"videos have another rate: {named}. If frames were counted in these files, "
            "keyframes lie at wrong seconds: correct dataset.fps, or write seconds."
        )
        yield Finding(severity="warning", kind="frame_number", path="config", text=text)


def _class_findings(dataset: DatasetConfig, splits: Sequence[SplitTables]) -> Iterator[Finding]:
    """Yield what `dataset.classes` and `dataset.labels` find wrong."""
    if dataset.classes is None and dataset.labels == "multi":
        return
    tables = DatasetTables(dataset)
    try:
        highest_id = tables.classes.highest_id
    except X3DDetError as error:
        yield from of_error(error, "config", "label_map")
        return
    for split in splits:
        rows = split.annotations.rows
        known = replace(split.annotations, rows=rows[rows["action_id"] <= highest_id])
        try:
            tables.learnt_rows(known)
        except X3DDetError as error:
            yield from of_error(error, split.annotations.path, "single_label")


def _files(config: ExperimentConfig, name: Literal["train", "val"], time: FilmTime) -> SplitFiles:
    root, is_train = dataset_root(config.dataset), name == "train"
    files = config.dataset.train if is_train else config.dataset.val
    return SplitFiles(
        name=name,
        annotations=root / files.annotations,
        person_boxes=root / files.person_boxes if files.person_boxes else None,
        exclusions=root / files.exclusions if files.exclusions else None,
        uses_person_boxes=(
            config.boxes.train == "annotated_and_detected"
            if is_train
            else config.boxes.evaluate == "detected"
        ),
        uses_exclusions=not is_train,  # as `build` has it: the training reads no exclusions
        time=time,
    )


def _videos(
    dataset: DatasetConfig,
    root: Path,
    splits: Sequence[SplitTables],
    full_decode: bool,
    num_workers: int,
    timeout_seconds: float,
) -> tuple[list[Finding], _Facts, VideoStatistics]:
    """Return the findings about the videos, what each holds, and their numbers."""
    needed = needed_videos(splits)
    found = find_videos(dataset, root, needed)
    label = "decoding videos" if full_decode else "looking into videos"
    with ProgressLine(label, len(found.paths), unit="videos") as line:
        facts = look_into_videos(
            found.paths,
            dataset,
            full_decode=full_decode,
            num_workers=num_workers,
            timeout_seconds=timeout_seconds,
            progress=lambda done, seconds: line.update(done, f"{seconds:,.0f} s read"),
        )
    findings = [*found.findings, *video_findings(found.paths, facts)]
    return findings, facts, _video_statistics(len(needed), facts, full_decode)


def _video_statistics(num_needed: int, facts: _Facts, full_decode: bool) -> VideoStatistics:
    read = [f for f in facts.values() if not isinstance(f, Lost) and f.error is None]
    files = [f for f in read if isinstance(f, VideoFacts)]
    return VideoStatistics(
        num_needed=num_needed,
        num_found=len(facts),
        num_read=len(read),
        total_seconds=sum(f.end_seconds or 0.0 for f in read),
        full_decode=full_decode,
        rates=dict(Counter(f"{f.fps:.5g}" for f in files).most_common()),
        sizes=dict(Counter(f"{f.width}x{f.height}" for f in files).most_common()),
    )


def _timeline(dataset: DatasetConfig, time: FilmTime, facts: _Facts) -> Timeline:
    ends = {video_id: end_of(found) for video_id, found in facts.items()}
    frames = {
        name: found.num_images for name, found in facts.items() if isinstance(found, FramesFacts)
    }
    return Timeline(
        start_seconds=time.start_seconds,
        starts=time.starts,
        ends={name: end for name, end in ends.items() if end is not None},
        num_images=frames,
        fps=None if dataset.frames is None else dataset.frames.fps,
    )
