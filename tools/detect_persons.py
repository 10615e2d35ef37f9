"""Find the persons of keyframes: videos or a data set in, AVA's person boxes (csv) out.

    python tools/detect_persons.py film.mp4 more/                       every second of each file
    python tools/detect_persons.py film.mp4 --interval 0.5 --last-second 60
    python tools/detect_persons.py --config x3d_m_ava.yaml --split val --shard 1/4
    python tools/detect_persons.py --config x3d_m_ava.yaml --keyframes annotated

Rows are video,second,x1,y1,x2,y2,,score: corners in fractions of the frame, the label empty.
A run that was stopped, or killed at any moment, goes on with the same command and --resume.
Shards may run at the same time, also on several machines that share --output-dir; the one
that ends last writes person_boxes.csv. A file name that begins with a dash: ./-5KQ66BBWC4.mkv
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from x3d_det import cli_types
from x3d_det.cli import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    UsageError,
    add_config_options,
    add_output_option,
    config_from,
    listing,
    log_to_stderr,
    make_parser,
    print_config,
    run_tool,
    writable_folder,
)
from x3d_det.cli_persons import add_person_detector_options, person_detector_options
from x3d_det.config.files import require_dataset_files
from x3d_det.config.schema import ExperimentConfig

if TYPE_CHECKING:
    from x3d_det.data import FrameSource
    from x3d_det.io.film_time import FilmTime
    from x3d_det.persons.keyframe_plan import KeyframePlan, Shard
    from x3d_det.persons.summary import ShardedRun

_DEFAULT_OUTPUT = "outputs/persons"
_ANNOTATED = "annotated"
_MAX_BATCH_SIZE = 16
_GPU_BATCH_SIZE = 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(_parser(), _run, argv)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("detect_persons.py", __doc__)
    parser.add_argument(
        "videos", nargs="*", type=Path, metavar="VIDEO", help="video files, or folders of them"
    )
    add_config_options(parser, required=False)
    parser.add_argument("--split", choices=("train", "val"), help="of --config (default: val)")
    _add_keyframe_options(parser.add_argument_group("which keyframes"))
    _add_detector_options(parser.add_argument_group("how persons are found"))
    _add_run_options(parser.add_argument_group("the run"))
    add_output_option(parser, _DEFAULT_OUTPUT)
    return parser


def _add_keyframe_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--keyframes",
        metavar="CSV",
        help="rows of video,second; or `annotated`: those of the split's annotations (default: "
        "every second; with --config all from the split's first annotated one to its last, less "
        "its exclusions)",
    )
    group.add_argument(
        "--interval", type=cli_types.interval, metavar="S", help="seconds (default: 1)"
    )
    group.add_argument("--first-second", type=cli_types.second, metavar="S", help="of the film")
    group.add_argument(
        "--last-second", type=cli_types.second, metavar="S", help="of the film, included"
    )
    group.add_argument(
        "--video-start-seconds",
        type=cli_types.second,
        metavar="S",
        help="second of the film at which the files start (default: 0; 900 for AVA's cuts)",
    )


def _add_detector_options(group: "argparse._ArgumentGroup") -> None:
    add_person_detector_options(group)
    group.add_argument(
        "--min-score",
        type=cli_types.share,
        default=0.05,
        metavar="P",
        help="write boxes above it (0.05)",
    )
    group.add_argument(
        "--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N (default: the config's or auto)"
    )
    group.add_argument(
        "--threads", type=cli_types.count, metavar="N", help="of the CPU (default: all)"
    )
    group.add_argument(
        "--batch-size",
        type=cli_types.between(1, _MAX_BATCH_SIZE),
        metavar="N",
        help=f"frames at a time (default: {_GPU_BATCH_SIZE} on a GPU, 1 on a CPU)",
    )


def _add_run_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--threshold",
        type=cli_types.share,
        default=0.8,
        metavar="P",
        help="score of a person in what is said at the end (0.8); changes no file",
    )
    group.add_argument("--shard", type=_shard, metavar="i/n", help="do part i of n, i from 1")
    group.add_argument(
        "--resume", action="store_true", help="go on with the run in the output folder"
    )
    group.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="write the csv without the videos that cannot be read",
    )


def _shard(text: str) -> "Shard":
    from x3d_det.persons.keyframe_plan import Shard

    try:
        return Shard.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is looked at, whether a config said it or the options."""

    plan: "KeyframePlan"
    source: "FrameSource"
    time: "FilmTime"
    device: str
    num_threads: int | None
    boxes_setting: str | None
    """The setting that names the csv, where there is a data set."""


def _run(args: argparse.Namespace) -> int:
    if wrong := _wrong_usage(args):
        raise UsageError(wrong)
    if args.print_config:
        return print_config(config_from(args))
    if args.config:
        # Whatever boxes the experiment asks for: they are what is being made here.
        args.overrides += ["boxes.train=annotated", "boxes.evaluate=annotated"]
    config = config_from(args) if args.config else None
    if config:
        require_dataset_files(config, [args.split or "val"])

    from x3d_det.persons.journal import check_no_other_run
    from x3d_det.persons.keyframe_plan import Shard

    job = _job_of_config(args, config) if config else _job_of_videos(args)
    shard = args.shard or Shard()
    output_dir = writable_folder(args.output_dir or Path(_DEFAULT_OUTPUT))
    check_no_other_run(output_dir, shard, resume=args.resume)
    log_to_stderr()
    for note in job.plan.notes:
        print(f"left out: {note}", file=sys.stderr)
    try:
        run = _detect(args, job, shard, output_dir)
    except KeyboardInterrupt:
        print(
            "detect_persons.py: interrupted; the same command with --resume goes on",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    return _finish(args, job, run, shard, output_dir)


def _job_of_videos(args: argparse.Namespace) -> _Job:
    from x3d_det.data import VideoFolder
    from x3d_det.io.ava_csv import read_exclusions
    from x3d_det.io.film_time import FilmTime
    from x3d_det.persons.keyframe_plan import find_videos, plan_every, plan_listed

    videos = find_videos(args.videos)
    start = args.video_start_seconds or 0.0
    if args.keyframes:
        plan = plan_listed(
            read_exclusions(args.keyframes), path=args.keyframes, video_ids=videos.keys()
        )
    else:
        plan = plan_every(
            videos,
            interval_seconds=args.interval or 1.0,
            first_second=args.first_second,
            last_second=args.last_second,
            video_start_seconds=start,
        )
    folder = next(iter(videos.values())).parent
    return _Job(
        plan=plan,
        source=VideoFolder(folder, paths=videos, video_start_seconds=start),
        time=FilmTime(start_seconds=start),
        device=args.device or "auto",
        num_threads=args.threads,
        boxes_setting=None,
    )


def _job_of_config(args: argparse.Namespace, config: ExperimentConfig) -> _Job:
    from x3d_det.builders.ava import build_source
    from x3d_det.data import check_videos, missing_videos
    from x3d_det.dataset_tables import DatasetTables
    from x3d_det.io.ava_csv import read_exclusions
    from x3d_det.persons.keyframe_plan import plan_annotated, plan_annotated_range, plan_listed

    split: Literal["train", "val"] = args.split or "val"
    dataset = config.dataset
    files = dataset.train if split == "train" else dataset.val
    tables = DatasetTables(dataset)
    if args.keyframes not in (None, _ANNOTATED):
        listed = tables.time.in_seconds(read_exclusions(args.keyframes), args.keyframes)
        plan = plan_listed(listed, path=args.keyframes)
    else:
        annotations = tables.annotations_at(tables.root / files.annotations)
        excluded = tables.exclusions(split)
        plan = (
            plan_annotated(annotations, exclusions=excluded)
            if args.keyframes
            else plan_annotated_range(
                annotations,
                exclusions=excluded,
                interval_seconds=dataset.keyframe_interval_seconds,
            )
        )
    source = build_source(config)
    if len(missing_videos(source, plan.timestamps)) == len(plan.timestamps):
        check_videos(source, plan.timestamps)
    return _Job(
        plan=plan,
        source=source,
        time=tables.time,
        device=args.device or config.device,
        num_threads=args.threads or config.num_threads,
        boxes_setting=f"dataset.{split}.person_boxes",
    )


def _wrong_usage(args: argparse.Namespace) -> str | None:
    """Return what is wrong about the options together, None where nothing is."""
    if bool(args.videos) == bool(args.config):
        return "give either videos (files or folders) or --config (a data set)"
    if args.print_config and not args.config:
        return "--print-config needs --config"
    if wrong := _unused_option(args):
        return wrong
    if args.keyframes == _ANNOTATED and not args.config:
        return "--keyframes annotated needs --config; give a csv of video,second rows"
    first, last = args.first_second, args.last_second
    if last is not None and last < (args.video_start_seconds or 0 if first is None else first):
        return f"--last-second {last:g} comes before the first second"
    if args.threshold < args.min_score:
        return (
            f"--threshold {args.threshold:g} is below --min-score {args.min_score:g}, under which "
            "no box is written"
        )
    return None


def _unused_option(args: argparse.Namespace) -> str | None:
    """Return what is wrong where an option would do nothing."""
    grid = ("interval", "first_second", "last_second")
    cases = (
        (args.config, (*grid, "video_start_seconds"), "for video files, a data set says it itself"),
        (args.keyframes, grid, "not for --keyframes, which names the seconds"),
        (args.videos, ("split", "overrides"), "for --config"),
    )
    for given, names, why in cases:
        for name in names:
            if given and getattr(args, name) not in (None, []):
                option = "--set" if name == "overrides" else f"--{name.replace('_', '-')}"
                return f"{option} is {why}"
    return None


def _detect(args: argparse.Namespace, job: _Job, shard: "Shard", output_dir: Path) -> "ShardedRun":
    import torch

    from x3d_det.persons.batches import torch_device
    from x3d_det.persons.detector import make_person_detector
    from x3d_det.persons.run import run_shard

    if job.num_threads:
        torch.set_num_threads(job.num_threads)
    options = person_detector_options(args, min_score=args.min_score, device=job.device)
    on_gpu = torch_device(job.device).type == "cuda"
    return run_shard(
        job.plan,
        job.source,
        make_person_detector(options),
        output_dir=output_dir,
        shard=shard,
        video_start_seconds=job.time.start_seconds,
        video_starts=job.time.starts,
        batch_size=args.batch_size or (_GPU_BATCH_SIZE if on_gpu else 1),
        resume=args.resume,
        progress_threshold=args.threshold,
    )


def _finish(
    args: argparse.Namespace, job: _Job, run: "ShardedRun", shard: "Shard", output_dir: Path
) -> int:
    """Say what was found, and write the csv where all shards have ended."""
    from x3d_det.persons.journal import journal_path
    from x3d_det.persons.summary import BOXES_NAME, summarize, write_person_boxes

    print("\n".join(summarize(run, threshold=args.threshold).lines()))
    if not args.skip_unreadable and (run.records[shard.index].unreadable or not run.unfinished):
        run.require_readable()
    if run.unfinished:
        print(f"shard {shard} has ended, {BOXES_NAME} waits for {_shard_names(run.unfinished)}")
        return EXIT_OK
    run.require_keyframes()
    if text := run.unreadable_text():
        print(f"{BOXES_NAME} is without them: {text}")
    boxes_path = output_dir / BOXES_NAME
    write_person_boxes(run, boxes_path, time=job.time)
    print(listing(output_dir, [boxes_path, journal_path(output_dir, shard)]))
    if job.boxes_setting:
        setting = f"{job.boxes_setting}={boxes_path.resolve()}"
        print(f"train and evaluate with them:  --set {shlex.quote(setting)}")
    return EXIT_OK


def _shard_names(indices: Sequence[int]) -> str:
    return f"shard{'s' if len(indices) > 1 else ''} {', '.join(map(str, indices))}"


if __name__ == "__main__":
    sys.exit(main())
