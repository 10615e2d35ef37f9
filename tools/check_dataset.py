"""Check a data set before training: every mistake at once, each with file, line and remedy.

    python tools/check_dataset.py --config x3d_m_ava.yaml
    python tools/check_dataset.py --dataset ava_mini --full-decode
    python tools/check_dataset.py --config x3d_m_ava.yaml --no-videos

Reads annotations, person boxes, excluded keyframes and the label map of both splits, looks into
every video, and compares them with each other. Exit code 1 where there is an error; warnings and
notes alone are 0. Writes report.json (all findings) and statistics.png.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from x3d_det import cli_types
from x3d_det.cli import (
    EXIT_FAILED,
    EXIT_OK,
    UsageError,
    add_config_options,
    add_output_option,
    config_from,
    listing,
    make_parser,
    print_config,
    run_tool,
    writable_folder,
)

_DEFAULT_CONFIG = "x3d_m_ava.yaml"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("check_dataset.py", __doc__)
    add_config_options(parser, required=False)
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="a file of configs/datasets/, or a path; with the other settings of --config "
        f"(default then: {_DEFAULT_CONFIG})",
    )
    parser.add_argument("--no-videos", action="store_true", help="check the tables alone")
    parser.add_argument(
        "--full-decode", action="store_true", help="decode every frame of every video"
    )
    parser.add_argument(
        "--workers",
        type=cli_types.count,
        default=2,
        metavar="N",
        help="processes, default: %(default)s",
    )
    parser.add_argument(
        "--timeout",
        type=cli_types.positive,
        default=60.0,
        metavar="SECONDS",
        help="give a video up after so long without a picture, default: %(default)g",
    )
    parser.add_argument(
        "--show",
        type=cli_types.count,
        default=10,
        metavar="N",
        help="findings of a kind, default: 10",
    )
    parser.add_argument(
        "--warnings-as-errors", action="store_true", help="exit with code 1 on warnings too"
    )
    add_output_option(parser, "outputs/check")
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    if args.config is None and args.dataset is None:
        raise UsageError("give --config, or --dataset, or both")
    if args.no_videos and args.full_decode:
        raise UsageError("--no-videos leaves nothing to decode")
    args.config = args.config or _DEFAULT_CONFIG
    if args.dataset is not None:
        args.overrides.insert(0, f"dataset={args.dataset}")
    config = config_from(args)
    if args.print_config:
        return print_config(config)
    output_dir = writable_folder(args.output_dir or Path("outputs/check"))

    from x3d_det.checks.dataset import check_dataset  # pandas and all

    report = check_dataset(
        config,
        with_videos=not args.no_videos,
        full_decode=args.full_decode,
        num_workers=args.workers,
        timeout_seconds=args.timeout,
    )
    files = report.write(output_dir)
    *lines, verdict = report.lines(num_shown=args.show)
    print("\n".join([*lines, listing(output_dir, files), verdict]))
    is_bad = report.counts["error"] or (args.warnings_as_errors and report.counts["warning"])
    return EXIT_FAILED if is_bad else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
