"""Make the generated AVA: videos, annotations, person boxes and label map in AVA's formats.

A folder that already holds the complete set of the same settings is left as it is; a half-made
one is completed.
"""

import argparse
import sys
from collections.abc import Sequence

from x3d_det.cli import EXIT_OK, make_parser, run_tool
from x3d_det.progress import ProgressLine


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("make_ava_mini.py", __doc__)
    parser.add_argument("--output-dir", default="data/ava_mini", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--train-videos", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--val-videos", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=20, help="of a video, default: %(default)s")
    parser.add_argument("--workers", type=int, default=2, help="processes, default: %(default)s")
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    from x3d_det.synthetic import generate_ava_mini

    with ProgressLine("videos", None, unit="videos") as line:
        summary = generate_ava_mini(
            args.output_dir,
            seed=args.seed,
            num_train_videos=args.train_videos,
            num_val_videos=args.val_videos,
            seconds_per_video=args.seconds,
            workers=args.workers,
            progress=lambda done, total: line.update(done, total=total),
        )
    print("\n".join([*summary.lines(), summary.last_line()]))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
