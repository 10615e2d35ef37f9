"""Draw annotations, detections, or both, on a video or on the videos of a data set.

    python tools/visualize_ava.py --config x3d_xs_ava_mini.yaml --detections pred.csv
    python tools/visualize_ava.py --video film.mp4 --annotations film.csv --video-start-seconds 900

Video ids that begin with a dash need an equals sign: --video-id=-5KQ66BBWC4
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from x3d_det import cli_types
from x3d_det.cli import (
    EXIT_OK,
    UsageError,
    add_config_options,
    add_output_option,
    config_from,
    print_config,
    run_tool,
    writable_folder,
)
from x3d_det.errors import DataError, X3DDetError, did_you_mean
from x3d_det.progress import ProgressLine

if TYPE_CHECKING:
    import pandas as pd

    from x3d_det.config.schema import DatasetConfig
    from x3d_det.io.ava_csv import AvaAnnotations
    from x3d_det.io.label_map import LabelMap
    from x3d_det.visualization import Timeline

_DEFAULT_OUTPUT = "outputs/visualize_ava"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(_parser(), _run, argv)


def _parser() -> argparse.ArgumentParser:
    description, _, examples = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="visualize_ava.py",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_config_options(parser, required=False)
    parser.add_argument("--split", choices=("train", "val"), default="val", help="with --config")
    parser.add_argument("--video", type=Path, metavar="FILE", help="one video, without --config")
    parser.add_argument(
        "--video-id",
        dest="video_ids",
        action="append",
        default=[],
        metavar="ID",
        help="which rows of the csv files; may be given several times with --config "
        "(default: all videos of the split; with --video the file's name)",
    )
    parser.add_argument("--annotations", type=Path, metavar="CSV", help="default: the split's")
    parser.add_argument("--detections", type=Path, metavar="CSV", help="csv or csv.gz with scores")
    parser.add_argument("--label-map", type=Path, metavar="PBTXT", help="default: AVA's actions")
    parser.add_argument(
        "--video-start-seconds",
        type=float,
        metavar="S",
        help="timestamp at which the video file starts (default: the config's; 0 with --video)",
    )
    parser.add_argument(
        "--keyframe-interval-seconds",
        type=cli_types.interval,
        metavar="S",
        help="from one keyframe to the next (default: the config's; 1 with --video)",
    )
    parser.add_argument("--start", type=float, metavar="S", help="draw from this timestamp")
    parser.add_argument("--end", type=float, metavar="S", help="draw up to this timestamp")
    parser.add_argument("--score-threshold", type=cli_types.share, default=0.3, metavar="P")
    parser.add_argument(
        "--top-k", type=cli_types.count, default=5, metavar="K", help="labels a person"
    )
    parser.add_argument("--full-names", action="store_true", help="action names with brackets")
    parser.add_argument(
        "--no-ticks",
        action="store_true",
        help="with both csv files: a plate for each annotation instead of ticks and crosses",
    )
    parser.add_argument("--contact-sheet", action="store_true", help="also a PNG of keyframes")
    parser.add_argument("--no-video", action="store_true", help="the contact sheet alone")
    parser.add_argument(
        "--max-videos", type=cli_types.count, metavar="N", help="the first N videos"
    )
    add_output_option(parser, _DEFAULT_OUTPUT)
    return parser


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is to be drawn, whether a config said it or the options."""

    find_video: Callable[[str], Path]
    video_ids: list[str]
    annotations: "AvaAnnotations | None"
    detections: "pd.DataFrame | None"
    action_names: dict[int, str]
    start_of: Callable[[str], float]
    """Second of the film at which a video's file starts."""
    keyframe_interval_seconds: float


def _wrong_usage(args: argparse.Namespace) -> str | None:
    """Return what is wrong about the options together, None where nothing is."""
    if bool(args.config) == bool(args.video):
        return "give either --config (a data set) or --video (one file)"
    if args.video and args.annotations is None and args.detections is None:
        return "nothing to draw: give --annotations or --detections, or both"
    if args.video and len(args.video_ids) > 1:
        return "--video is one file; give one --video-id, or --config"
    return None


def _run(args: argparse.Namespace) -> int:
    if wrong := _wrong_usage(args):
        raise UsageError(wrong)
    if args.print_config and args.config:
        return print_config(config_from(args))
    job = _job_of_config(args) if args.config else _job_of_video(args)
    output_dir = writable_folder(args.output_dir or Path(_DEFAULT_OUTPUT))
    for video_id in job.video_ids[: args.max_videos]:
        for path in _draw(job, video_id, args, output_dir):
            print(f"wrote {path}")
    return EXIT_OK


def _job_of_video(args: argparse.Namespace) -> _Job:
    if not args.video.is_file():
        raise X3DDetError(f"--video {args.video}: there is no such file")
    video_id = args.video_ids[0] if args.video_ids else args.video.stem
    annotations, detections = _read(args.annotations, args.detections)
    _require_known([video_id], annotations, detections)
    return _Job(
        find_video=lambda _: args.video,
        video_ids=[video_id],
        annotations=annotations,
        detections=detections,
        action_names=_action_names(args.label_map, full_names=args.full_names),
        start_of=lambda _: args.video_start_seconds or 0.0,
        keyframe_interval_seconds=args.keyframe_interval_seconds or 1.0,
    )


def _job_of_config(args: argparse.Namespace) -> _Job:
    from x3d_det.config.files import dataset_root, require_dataset_files
    from x3d_det.dataset_tables import DatasetTables

    config = config_from(args)
    dataset, root = config.dataset, dataset_root(config.dataset)
    files = dataset.train if args.split == "train" else dataset.val
    if not all((root / p).exists() for p in (files.annotations, dataset.label_map, dataset.videos)):
        require_dataset_files(config, [args.split])
    tables = DatasetTables(dataset)
    annotations = tables.annotations_at(args.annotations or root / files.annotations)
    _, detections = _read(None, args.detections)
    known = _video_ids(annotations, detections)
    if args.video_ids:
        _require_known(args.video_ids, annotations, detections)
    start = args.video_start_seconds
    return _Job(
        find_video=lambda video_id: _video_of_dataset(dataset, root, video_id),
        video_ids=args.video_ids or known,
        annotations=annotations,
        detections=detections,
        action_names=_action_names(
            args.label_map or root / dataset.label_map, full_names=args.full_names
        ),
        start_of=tables.time.start_of if start is None else lambda _: start,
        keyframe_interval_seconds=args.keyframe_interval_seconds
        or dataset.keyframe_interval_seconds,
    )


def _read(
    annotations: Path | None, detections: Path | None
) -> "tuple[AvaAnnotations | None, pd.DataFrame | None]":
    from x3d_det.io.ava_csv import read_annotations, read_detections

    return (
        None if annotations is None else read_annotations(annotations),
        None if detections is None else read_detections(detections),
    )


def _video_ids(
    annotations: "AvaAnnotations | None", detections: "pd.DataFrame | None"
) -> list[str]:
    found: set[str] = set()
    if annotations is not None:
        found |= set(annotations.rows["video_id"]) | set(annotations.empty_keyframes["video_id"])
    if detections is not None:
        found |= set(detections["video_id"].unique())
    return sorted(found)


def _require_known(
    video_ids: Sequence[str],
    annotations: "AvaAnnotations | None",
    detections: "pd.DataFrame | None",
) -> None:
    known = _video_ids(annotations, detections)
    for video_id in video_ids:
        if video_id not in known:
            shown = ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
            hint = did_you_mean(video_id, known) or "."
            raise DataError(
                f"no row of the csv files has the video id {video_id}; they have "
                f"{shown or 'no rows'}{hint} Set it by --video-id=ID."
            )


def _video_of_dataset(dataset: "DatasetConfig", root: Path, video_id: str) -> Path:
    folder = root / dataset.videos
    for extension in dataset.video_extensions:
        if (path := folder / f"{video_id}.{extension}").is_file():
            return path
    hint = " Frame folders cannot be drawn; give the video file." if dataset.frames else ""
    raise DataError(
        f"no video {video_id} in {folder}; endings looked for: "
        f"{', '.join(dataset.video_extensions)}.{hint}"
    )


def _action_names(label_map: Path | None, *, full_names: bool) -> dict[int, str]:
    """Return the names to draw; AVA's evaluated 60 are filled up with its other 20."""
    from x3d_det.io.label_map import ava_label_map, read_label_map
    from x3d_det.visualization import short_action_names

    ava: LabelMap = ava_label_map(80)
    names = dict(ava.names)
    if label_map is not None:
        given = dict(read_label_map(label_map).names)
        names = {**names, **given} if given.items() <= names.items() else given
    return names if full_names else short_action_names(names)


def _draw(job: _Job, video_id: str, args: argparse.Namespace, output_dir: Path) -> list[Path]:
    from x3d_det.visualization import (
        build_timeline,
        keyframe_sheet,
        render_video,
        save_png,
    )

    source = job.find_video(video_id)
    timeline = build_timeline(
        video_id,
        annotations=None if job.annotations is None else job.annotations.rows,
        empty_keyframes=None if job.annotations is None else job.annotations.empty_keyframes,
        detections=job.detections,
        score_threshold=args.score_threshold,
        mark_correct=not args.no_ticks,
        hold_seconds=job.keyframe_interval_seconds / 2,
    )
    start_seconds = job.start_of(video_id)
    _require_keyframes_inside(timeline, source, start_seconds)
    written = []
    if not args.no_video:
        with ProgressLine(video_id, None, unit="s", decimals=1) as line:
            summary = render_video(
                source,
                output_dir / f"{video_id}.mp4",
                timeline,
                action_names=job.action_names,
                video_start_seconds=start_seconds,
                start_seconds=args.start,
                end_seconds=args.end,
                score_threshold=args.score_threshold,
                top_k=args.top_k,
                progress=lambda done, total: line.update(done, total=total),
            )
        print("\n".join(summary.lines()))
        written.append(summary.output_path)
    if args.contact_sheet or args.no_video:
        sheet_HWC = keyframe_sheet(
            source,
            timeline,
            action_names=job.action_names,
            video_start_seconds=start_seconds,
            score_threshold=args.score_threshold,
            top_k=args.top_k,
            start_seconds=-math.inf if args.start is None else args.start,
            end_seconds=math.inf if args.end is None else args.end,
            title=video_id,
        )
        written.append(save_png(sheet_HWC, output_dir / f"{video_id}_keyframes.png"))
    return written


def _require_keyframes_inside(
    timeline: "Timeline", source: Path, video_start_seconds: float
) -> None:
    from x3d_det.io.video import probe_video
    from x3d_det.keyframes import format_timestamp

    duration = probe_video(source).duration_seconds
    if duration is None or not timeline.timestamps:
        return
    end = video_start_seconds + duration
    if not any(video_start_seconds <= stamp <= end for stamp in timeline.timestamps):
        first, last = map(format_timestamp, (timeline.timestamps[0], timeline.timestamps[-1]))
        raise DataError(
            f"{source}: its keyframes are at {first} to {last} s, but the file is taken to show "
            f"{video_start_seconds:g} to {end:.2f} s. Set --video-start-seconds to the timestamp "
            "at which the file starts (900 for AVA)."
        )


if __name__ == "__main__":
    sys.exit(main())
