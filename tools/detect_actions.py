"""Point it at a video: find the persons, follow them, name their actions, draw them.

    python tools/detect_actions.py film.mp4 --checkpoint model.safetensors
    python tools/detect_actions.py film.mp4 --checkpoint model.safetensors --boxes boxes.csv
    python tools/detect_actions.py --camera 0 --checkpoint model.safetensors --seconds 60
    python tools/detect_actions.py rtsp://host/stream --checkpoint model.safetensors

Written to --output-dir: actions.mp4 (every frame drawn, sound kept), detections.csv (AVA's form,
all scores), tracks.json (each person over time), timeline.png. Ctrl-C leaves what was done as
whole files; --resume goes on from there, also after a kill, and ends in the same files. With
--resume, --score-threshold and --top-k may be others: what was found is drawn again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from x3d_det import cli_types
from x3d_det.cli import (
    EXIT_FAILED,
    EXIT_OK,
    UsageError,
    listing,
    log_to_stderr,
    make_parser,
    run_tool,
    writable_folder,
)
from x3d_det.cli_persons import add_person_detector_options, person_detector_options
from x3d_det.errors import X3DDetError
from x3d_det.progress import ProgressLine

if TYPE_CHECKING:
    from x3d_det.video_detection import ActionDetector
    from x3d_det.video_detection.request import Request, Video
    from x3d_det.video_detection.run import RunOptions, RunResult

_DEFAULT_OUTPUT = "outputs/detect_actions"
# Persons far below the threshold are asked for too, so that the highest of them can be named.
_LEAST_PERSON_SCORE = 0.05


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_tool(_parser(), _run, argv)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser("detect_actions.py", __doc__)
    parser.add_argument("video", nargs="?", metavar="VIDEO", help="a file, or a stream's URL")
    parser.add_argument("--camera", type=int, metavar="N", help="instead of VIDEO: camera number N")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="model.safetensors of tools/train_ava.py",
    )
    parser.add_argument(
        "--output-dir", type=Path, metavar="DIR", help=f"default: {_DEFAULT_OUTPUT}/<video's name>"
    )
    _add_time_options(parser.add_argument_group("which seconds"))
    _add_person_options(parser.add_argument_group("who"))
    _add_action_options(parser.add_argument_group("what they do, and how it is shown"))
    run = parser.add_argument_group("the run")
    run.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    run.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, cuda:N")
    run.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    run.add_argument("--threads", type=cli_types.count, metavar="N", help="of the CPU")
    return parser


def _add_time_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--interval",
        type=cli_types.interval,
        default=1.0,
        metavar="S",
        help="seconds from one keyframe to the next (1); at each everybody's actions are named",
    )
    group.add_argument("--start", type=cli_types.second, default=0.0, metavar="S")
    group.add_argument("--end", type=cli_types.second, metavar="S", help="not included")
    group.add_argument(
        "--seconds", type=cli_types.interval, metavar="S", help="how long to watch a camera or URL"
    )
    group.add_argument(
        "--video-start-seconds",
        type=cli_types.second,
        default=0.0,
        metavar="S",
        help="second at which the file starts in the csv files (0; 900 for AVA's cuts)",
    )


def _add_person_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--boxes",
        type=Path,
        metavar="FILE",
        help="person boxes (csv, pkl, json) instead of a detector; their seconds are the keyframes",
    )
    group.add_argument(
        "--person-threshold", type=cli_types.share, default=0.8, metavar="P", help="0.8"
    )
    group.add_argument(
        "--person-looks",
        type=cli_types.count,
        default=1,
        metavar="N",
        help="look for persons N times an interval: boxes follow them better (1)",
    )
    group.add_argument(
        "--tracker",
        default="iou",
        metavar="NAME",
        help="iou (by overlap, built in), or sort, bytetrack, ocsort of the package `trackers`",
    )
    add_person_detector_options(group, prefix="person-")


def _add_action_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--score-threshold",
        type=cli_types.share,
        default=0.5,
        metavar="P",
        help="an action with this score or more is shown (0.5)",
    )
    group.add_argument(
        "--top-k", type=cli_types.count, default=5, metavar="K", help="most actions a person (5)"
    )
    group.add_argument("--short-side", type=cli_types.count, metavar="PX", help="of X3D's clips")
    group.add_argument("--no-video", action="store_true", help="data alone, no drawn video")
    group.add_argument("--no-sound", action="store_true", help="a drawn video without sound")


def _run(args: argparse.Namespace) -> int:
    if wrong := _wrong_usage(args):
        raise UsageError(wrong)
    video: Video = args.camera if args.video is None else args.video
    is_file = isinstance(video, str) and "://" not in video
    if is_file:
        _require_video(Path(args.video))
    log_to_stderr()

    from x3d_det.tracking import make_linker
    from x3d_det.video_detection.found import video_id_of
    from x3d_det.video_detection.run import detect_in_video, keyframe_spacing

    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    name = video_id_of(video) if isinstance(video, str) else f"camera_{video}"
    request = _request(args)
    spacing = keyframe_spacing(request.given_boxes(video), request)
    linker = make_linker(args.tracker, spacing_seconds=spacing)
    detector = _detector(args)
    output_dir = writable_folder(args.output_dir or Path(_DEFAULT_OUTPUT) / name)
    with ProgressLine(name, None, unit="s", decimals=1) as line:
        result = detect_in_video(
            detector,
            Path(args.video) if is_file else video,
            output_dir,
            request=request,
            linker=linker,
            linker_name=args.tracker,
            options=_options(args),
            resume=args.resume,
            progress=lambda done, total, persons: line.update(
                done, f"{persons} persons", total=total
            ),
        )
    return _finish(result, output_dir)


def _require_video(path: Path) -> None:
    """Raise for what is no video, before the weights are loaded or downloaded."""
    if not path.exists():
        raise X3DDetError(f"{path}: there is no such file.")
    if not path.is_file():
        raise X3DDetError(f"{path}: is a {'folder' if path.is_dir() else 'device'}, no video file.")

    from x3d_det.io.video import probe_video

    probe_video(path)


def _detector(args: argparse.Namespace) -> "ActionDetector":
    from x3d_det.video_detection import ActionDetector

    return ActionDetector.load(
        args.checkpoint,
        persons=person_detector_options(
            args, prefix="person-", min_score=_LEAST_PERSON_SCORE, device=args.device
        ),
        device=args.device,
        precision=args.precision,
        person_threshold=args.person_threshold,
        short_side=args.short_side,
    )


def _request(args: argparse.Namespace) -> "Request":
    from x3d_det.video_detection.persons import read_given_boxes
    from x3d_det.video_detection.request import Request

    boxes = None
    if args.boxes is not None:
        boxes = read_given_boxes(
            args.boxes,
            video_id=Path(args.video).stem,
            video_start_seconds=args.video_start_seconds,
        )
    return Request(
        interval_seconds=args.interval,
        person_looks=args.person_looks,
        boxes=boxes,
        start_seconds=args.start,
        end_seconds=args.end,
    )


def _options(args: argparse.Namespace) -> "RunOptions":
    from x3d_det.video_detection.run import RunOptions

    return RunOptions(
        score_threshold=args.score_threshold,
        top_k=args.top_k,
        draws_video=not args.no_video,
        keeps_sound=not args.no_sound,
        video_start_seconds=args.video_start_seconds,
        most_seconds=args.seconds,
    )


def _finish(result: "RunResult", output_dir: Path) -> int:
    """Say what was found, how fast, and what was written."""
    if result.num_from_journal:
        print(f"{result.num_from_journal:,} keyframes came from the run before")
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    print("\n".join(result.speed_lines()))
    print(result.summary)
    print(listing(output_dir, list(result.files)))
    if result.signal_number:
        print(
            f"detect_actions.py: stopped at second {result.done_seconds:.2f}; the files hold what "
            "was done, the same command with --resume goes on",
            file=sys.stderr,
        )
        return 128 + result.signal_number
    if result.damage:
        print(
            f"detect_actions.py: error: {result.damage} What came before is written.",
            file=sys.stderr,
        )
        return EXIT_FAILED
    return EXIT_OK


def _wrong_usage(args: argparse.Namespace) -> str | None:
    """Return what is wrong about the options together, None where nothing is."""
    if (args.video is None) == (args.camera is None):
        return "give either VIDEO or --camera N"
    is_live = args.video is None or "://" in args.video
    if args.seconds and not is_live:
        return "--seconds is for a camera or a stream; --end ends a file"
    if is_live and (args.boxes or args.resume or args.start or args.end):
        return "--boxes, --resume, --start and --end are for a file; a camera has no other time"
    if args.boxes and (args.person_looks > 1 or args.person_model or args.person_weights):
        return "--boxes gives the persons; leave out the options of their detector"
    if args.end is not None and args.end <= args.start:
        return f"--end {args.end:g} is not after --start {args.start:g}"
    return None


if __name__ == "__main__":
    sys.exit(main())
