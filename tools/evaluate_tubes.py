"""Score boxes and tubes on JHMDB-21, UCF101-24 or MultiSports: frame-mAP and video-mAP.

    python tools/evaluate_tubes.py --annotations JHMDB-GT.pkl --rules jhmdb --detections det.csv
    python tools/evaluate_tubes.py --annotations multisports_GT.pkl --rules multisports \\
        --detections frame_detections.pkl --tubes video_detections.pkl

Detections are a table in AVA's form or a pickle as MultiSports has it; without --tubes they are
linked into tubes (tubes.json). docs/tubes.md tells the whole way.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from x3d_det import cli_types
from x3d_det.cli import (
    EXIT_OK,
    UsageError,
    add_output_option,
    listing,
    make_parser,
    run_tool,
    writable_folder,
)

if TYPE_CHECKING:
    from x3d_det.evaluation.tube_rules import TubeRules
    from x3d_det.evaluation.tubes import LinkOptions
    from x3d_det.io.action_tubes import ActionTubes, FrameDetections, Tube

_DATASETS = {"jhmdb": "jhmdb21", "ucf101": "ucf101_24", "multisports": "multisports"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("evaluate_tubes.py", __doc__)
    parser.add_argument(
        "--annotations", type=Path, required=True, metavar="PKL",
        help="JHMDB-GT.pkl, UCF101v2-GT.pkl, pyannot*.pkl or multisports_GT.pkl",
    )  # fmt: skip
    parser.add_argument("--rules", required=True, choices=tuple(_DATASETS), help="whose rules")
    parser.add_argument(
        "--detections",
        type=Path,
        metavar="FILE",
        help="boxes on frames: csv, parquet, npz, or pkl (MultiSports)",
    )
    parser.add_argument(
        "--tubes", type=Path, metavar="FILE", help="ready tubes: json, or pkl (MultiSports)"
    )
    parser.add_argument("--split", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--test-list", type=Path, metavar="TXT", help="test videos, for pyannot.pkl alone"
    )
    parser.add_argument(
        "--timestamps", choices=("seconds", "frames"), default="seconds",
        help="what the timestamps count; frame 1 is second 0; default: seconds",
    )  # fmt: skip
    parser.add_argument(
        "--fps",
        type=cli_types.positive,
        help="frames a second; default: the data set's (30, 25, 25)",
    )
    _add_link_options(parser)
    add_output_option(parser, "outputs/evaluate_tubes")
    return run_tool(parser, _run, argv)


def _add_link_options(parser: argparse.ArgumentParser) -> None:
    linking = parser.add_argument_group("linking, where --tubes is not given")
    linking.add_argument(
        "--link-iou",
        type=cli_types.share,
        metavar="IOU",
        help="least overlap from box to box; default: 0.3",
    )
    linking.add_argument(
        "--max-gap", type=cli_types.count, metavar="FRAMES",
        help="most frames from box to box; default: 5 x the usual step",
    )  # fmt: skip
    linking.add_argument(
        "--top-k", type=cli_types.count, help="boxes of an action and frame looked at; default: 10"
    )
    linking.add_argument(
        "--min-score", type=cli_types.share, metavar="SCORE", help="of a linked box; default: 0.01"
    )
    linking.add_argument(
        "--min-frames", type=cli_types.count, metavar="FRAMES", help="of a tube; default: 1"
    )
    linking.add_argument(
        "--tube-nms", type=cli_types.share, metavar="IOU",
        help="tubes that overlap a better one more are dropped; 1 keeps all; default: 0.3",
    )  # fmt: skip


def _run(args: argparse.Namespace) -> int:
    if args.detections is None and args.tubes is None:
        raise UsageError("give --detections, --tubes, or both")
    output_dir = writable_folder(args.output_dir or Path("outputs/evaluate_tubes"))

    from x3d_det.evaluation.tube_report import evaluate_tubes, write_tube_report
    from x3d_det.evaluation.tube_rules import tube_rules_named
    from x3d_det.formats.tube_files import TUBE_DATASETS, read_tube_annotations, write_tubes

    rules, dataset = tube_rules_named(args.rules), TUBE_DATASETS[_DATASETS[args.rules]]
    annotations = read_tube_annotations(
        args.annotations, inclusive_corners=dataset.inclusive_corners, test_list=args.test_list
    )
    videos = annotations.videos(args.split, "test")
    notes: list[str] = []
    frames = _frames(args, annotations, args.fps or dataset.fps, videos, notes)
    tubes = _tubes(args, annotations, rules, frames, videos, notes)
    report = evaluate_tubes(
        annotations.tubes_of(videos),
        labels=annotations.labels,
        rules=rules,
        frames=frames,
        tubes=tubes,
        notes=notes,
    )
    roles = ("annotations", "detections", "tubes")
    files = {role: str(getattr(args, role)) for role in roles if getattr(args, role) is not None}
    written = write_tube_report(report, output_dir, files=files)
    if args.tubes is None:
        write_tubes(tubes, annotations.labels, output_dir / "tubes.json")
        written.append(output_dir / "tubes.json")
    print("\n".join(report.summary_lines()))
    print(listing(output_dir, written))
    return EXIT_OK


def _frames(
    args: argparse.Namespace,
    annotations: "ActionTubes",
    fps: float,
    videos: Sequence[str],
    notes: list[str],
) -> "FrameDetections | None":
    """Return the frame detections of the evaluated videos."""
    if args.detections is None:
        return None
    from x3d_det.formats.tube_files import read_frame_detections

    found = read_frame_detections(
        args.detections, annotations, fps=fps, timestamps=args.timestamps, split=args.split
    )
    kept = found.of_videos(videos)
    if len(kept) < len(found):
        notes.append(
            f"{len(found) - len(kept):,} of {len(found):,} boxes are on videos that are no test "
            f"videos of split {args.split}; they do not count"
        )
    return kept


def _tubes(
    args: argparse.Namespace,
    annotations: "ActionTubes",
    rules: "TubeRules",
    frames: "FrameDetections | None",
    videos: Sequence[str],
    notes: list[str],
) -> "list[Tube]":
    """Return the tubes of the evaluated videos, read or linked."""
    if args.tubes is None:
        from x3d_det.evaluation.tubes import link_tubes
        from x3d_det.progress import ProgressLine

        assert frames is not None
        with ProgressLine("linking", len(frames.videos), unit="videos") as line:
            return link_tubes(
                frames,
                rules,
                options=_link_options(args),
                progress=lambda done, _: line.update(done),
            )
    from x3d_det.formats.tube_files import read_tubes

    found = read_tubes(args.tubes, annotations)
    wanted = set(videos)
    kept = [tube for tube in found if tube.video_id in wanted]
    if len(kept) < len(found):
        notes.append(
            f"{len(found) - len(kept):,} of {len(found):,} tubes are of videos that are no test "
            f"videos of split {args.split}; they do not count"
        )
    return kept


def _link_options(args: argparse.Namespace) -> "LinkOptions":
    from x3d_det.evaluation.tubes import LinkOptions

    defaults = LinkOptions()

    def given(value, default):  # type: ignore[no-untyped-def]
        return default if value is None else value

    return LinkOptions(
        min_iou=given(args.link_iou, defaults.min_iou),
        max_gap_frames=args.max_gap,
        top_k=given(args.top_k, defaults.top_k),
        min_score=given(args.min_score, defaults.min_score),
        min_frames=given(args.min_frames, defaults.min_frames),
        nms_iou=given(args.tube_nms, defaults.nms_iou),
    )


if __name__ == "__main__":
    sys.exit(main())
