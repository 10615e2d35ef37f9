"""Measure what every X3D costs on this machine: clips a second, multiply-adds, memory.

    python tools/profile_x3d.py
    python tools/profile_x3d.py --models xs s m --kinds classifier --seconds 5
    python tools/profile_x3d.py --models m --kinds detector --sizes 256x256 256x455 --boxes 8

Classifiers have the training crop, detectors the test's short side on square and on 16:9 frames.
Every device of the machine is measured, in float32 and bfloat16, at batch 1 and at the batch size
with most clips a second; beside PyTorchVideo's model where that is installed. Writes profile.json,
profile.md and accuracy_cost.png. On two CPU cores all of it takes about half an hour.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from x3d_det import cli_types
from x3d_det.cli import (
    EXIT_FAILED,
    EXIT_OK,
    add_output_option,
    listing,
    log_to_stderr,
    make_parser,
    run_tool,
    writable_folder,
)

_DEFAULT_DIR = "outputs/profile"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("profile_x3d.py", __doc__)
    parser.add_argument(
        "--models", nargs="+", metavar="MODEL", help="of x2d xs s m l xl; default: all"
    )
    parser.add_argument(
        "--kinds", nargs="+", metavar="KIND", help="classifier, detector; default: both"
    )
    parser.add_argument(
        "--sizes", nargs="+", type=_size, metavar="HEIGHTxWIDTH", help="of the clips, in pixels"
    )
    parser.add_argument(
        "--boxes",
        type=cli_types.whole,
        default=4,
        metavar="N",
        help="boxes a clip of detectors; default: 4",
    )
    parser.add_argument(
        "--devices", nargs="+", metavar="DEVICE", help="cpu, cuda; default: those present"
    )
    parser.add_argument(
        "--precision", nargs="+", metavar="NAME", help="float32, bfloat16; default: both"
    )
    parser.add_argument(
        "--seconds", type=cli_types.second, default=2.0,
        help="to time each code for, at batch 1 and at its best batch; default: 2",
    )  # fmt: skip
    parser.add_argument(
        "--max-batch", type=cli_types.count, metavar="N", help="default: 8 on a CPU, 64 on a GPU"
    )
    parser.add_argument("--threads", type=cli_types.count, metavar="N", help="default: torch's own")
    parser.add_argument(
        "--no-pytorchvideo", action="store_true", help="leave PyTorchVideo's model out"
    )
    add_output_option(parser, _DEFAULT_DIR)
    return run_tool(parser, _run, argv)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text} is no size; write HEIGHTxWIDTH, as in 256x455")
    return int(match[1]), int(match[2])


def _run(args: argparse.Namespace) -> int:
    log_to_stderr()

    from x3d_det.models import X3D_SPECS
    from x3d_det.profiling import (
        KINDS,
        PRECISIONS,
        check_devices,
        present_devices,
        profile_cases,
        run_profile,
    )
    from x3d_det.profiling.accuracies import CO3D, PAPER, accuracies_of_zoo
    from x3d_det.profiling.report import profile_markdown, write_profile
    from x3d_det.zoo import ZOO

    cases = profile_cases(
        models=args.models or tuple(X3D_SPECS),
        kinds=args.kinds or KINDS,
        sizes=args.sizes,
        num_boxes=args.boxes,
        devices=check_devices(args.devices) if args.devices else present_devices(),
        precisions=args.precision or PRECISIONS,
    )
    output_dir = writable_folder(args.output_dir or Path(_DEFAULT_DIR))
    profile = run_profile(
        cases,
        seconds=args.seconds,
        max_batch=args.max_batch,
        num_threads=args.threads,
        with_pytorchvideo=not args.no_pytorchvideo,
    )
    published = [
        (entry.layout, entry.model, score.protocol, score.top1)
        for entry in ZOO.values()
        for score in entry.scores
        if score.top1 is not None
    ]
    accuracies = [*accuracies_of_zoo(published), *PAPER, *CO3D]
    paths = write_profile(profile, output_dir, accuracies=accuracies)
    print(profile_markdown(profile))
    print(listing(output_dir, paths))
    return EXIT_FAILED if profile.failures else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
