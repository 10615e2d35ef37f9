"""Make the generated Kinetics: clips in folders by class, lists of `path label`, class names.

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
    parser = make_parser("make_kinetics_mini.py", __doc__)
    parser.add_argument("--output-dir", default="data/kinetics_mini", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument(
        "--train-clips", type=int, default=40, help="of a class, default: %(default)s"
    )
    parser.add_argument(
        "--val-clips", type=int, default=10, help="of a class, default: %(default)s"
    )
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="default: all 19")
    parser.add_argument("--workers", type=int, default=2, help="processes, default: %(default)s")
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    from x3d_det.synthetic import generate_kinetics_mini
    from x3d_det.synthetic.kinetics_script import CLASS_NAMES

    with ProgressLine("clips", None, unit="clips") as line:
        summary = generate_kinetics_mini(
            args.output_dir,
            seed=args.seed,
            train_clips_per_class=args.train_clips,
            val_clips_per_class=args.val_clips,
            class_names=args.classes or CLASS_NAMES,
            workers=args.workers,
            progress=lambda done, total: line.update(done, total=total),
        )
    print("\n".join([*summary.lines(), summary.last_line()]))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
