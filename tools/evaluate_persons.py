"""Score person boxes against AVA's annotated persons: COCO's AP, recall and precision.

    python tools/evaluate_persons.py --annotations ava_val_v2.2.csv --boxes person_boxes.csv \\
        --exclusions ava_val_excluded_timestamps_v2.2.csv --threshold 0.8
    python tools/evaluate_persons.py --config x3d_m_ava.yaml --split val

AP@50 is the number that AVA's literature gives for its person detector (93.9 on val).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from x3d_det import cli_types
from x3d_det.cli import (
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
from x3d_det.config.files import dataset_root
from x3d_det.config.schema import ExperimentConfig
from x3d_det.errors import DataError

_DEFAULT_THRESHOLD = 0.8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("evaluate_persons.py", __doc__)
    add_config_options(parser, required=False)
    parser.add_argument(
        "--split", choices=("train", "val"), default="val", help="of --config; default: val"
    )
    parser.add_argument("--annotations", type=Path, metavar="CSV", help="the annotated persons")
    parser.add_argument(
        "--boxes", type=Path, metavar="FILE", help="person boxes; default: those of --config"
    )
    parser.add_argument("--exclusions", type=Path, metavar="CSV", help="keyframes left out")
    parser.add_argument(
        "--threshold", type=cli_types.share, metavar="SCORE",
        help="least score for recall and precision; default: 0.8, or the config's",
    )  # fmt: skip
    parser.add_argument(
        "--count-unannotated",
        action="store_true",
        help="boxes on keyframes that are not annotated are false; default: they do not count",
    )
    add_output_option(parser, "outputs/evaluate_persons")
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    of_files = args.annotations is not None and args.boxes is not None
    if (args.config is not None and args.annotations is not None) or not (args.config or of_files):
        raise UsageError("give either --config, or --annotations and --boxes")
    if args.config is None:
        return _evaluate(args, threshold=_DEFAULT_THRESHOLD)
    config = config_from(args)
    if args.print_config:
        return print_config(config)
    _take_files(args, config)
    return _evaluate(args, threshold=config.boxes.score_threshold)


def _take_files(args: argparse.Namespace, config: ExperimentConfig) -> None:
    """Fill in the files that the options leave to the config."""
    root = dataset_root(config.dataset)
    files = config.dataset.train if args.split == "train" else config.dataset.val
    args.annotations = root / files.annotations
    if args.exclusions is None and files.exclusions is not None:
        args.exclusions = root / files.exclusions
    if args.boxes is None:
        if files.person_boxes is None:
            raise DataError(
                f"data set {config.dataset.name} has no dataset.{args.split}.person_boxes; give a "
                "file of boxes with --boxes, or make one with tools/detect_persons.py"
            )
        args.boxes = root / files.person_boxes
    needed = (args.annotations, args.boxes, args.exclusions)
    missing = [str(path) for path in needed if path is not None and not path.exists()]
    if missing:
        make = config.dataset.make_command or f"put it there as {root / 'README.md'} says"
        raise DataError(
            f"data set {config.dataset.name} lacks {', '.join(missing)}; {make}, or name the "
            "folder that has it with --set dataset.root=DIR"
        )


def _evaluate(args: argparse.Namespace, *, threshold: float) -> int:
    output_dir = writable_folder(args.output_dir or Path("outputs/evaluate_persons"))

    from x3d_det.evaluation.persons import evaluate_persons
    from x3d_det.evaluation.persons_report import write_person_report
    from x3d_det.formats.person_boxes import read_person_boxes
    from x3d_det.io.ava_csv import read_annotations, read_exclusions

    annotations = read_annotations(args.annotations)
    boxes = read_person_boxes(args.boxes)
    print(f"scoring {len(boxes):,} boxes with pycocotools", file=sys.stderr)
    report = evaluate_persons(
        annotations,
        boxes,
        score_threshold=threshold if args.threshold is None else args.threshold,
        exclusions=None if args.exclusions is None else read_exclusions(args.exclusions),
        count_unannotated=args.count_unannotated,
    )
    roles = ("annotations", "boxes", "exclusions")
    files = {role: str(getattr(args, role)) for role in roles if getattr(args, role) is not None}
    print("\n".join(report.summary_lines()))
    print(listing(output_dir, write_person_report(report, output_dir, files=files)))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
