"""Score an action detector, or a file of detections, by AVA's frame-mAP at IoU 0.5.

    python tools/evaluate_ava.py --config x3d_m_ava.yaml --checkpoint model.safetensors
    python tools/evaluate_ava.py --annotations ava_val_v2.2.csv --detections pred.csv \\
        --exclusions ava_val_excluded_timestamps_v2.2.csv --rules activitynet2019
    python tools/evaluate_ava.py --annotations ava_val_v2.2.csv --detections pred.parquet \\
        --rules all

The public evaluators disagree on the same files; --rules says which one is followed:
pyslowfast (the line of the X3D and SlowFast papers), activitynet2018, activitynet2019,
activitynet2020 or mmaction2. With --rules all the files are read once and scored under
each of them, and what sets the numbers apart is told in counts.

report.html says why the score is what it is: what the boxes alone allow, kinds of errors and
what mending each would give, mAP by size and number of persons, the worst keyframes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from x3d_det.cli import (
    EXIT_FAILED,
    EXIT_OK,
    UsageError,
    add_config_options,
    add_output_option,
    compare_with_expected,
    config_from,
    listing,
    log_to_stderr,
    make_parser,
    print_config,
    run_tool,
    writable_folder,
)
from x3d_det.config.files import require_dataset_files
from x3d_det.config.schema import ExperimentConfig, RulesName
from x3d_det.errors import CheckpointError

if TYPE_CHECKING:
    from x3d_det.data import FrameSource
    from x3d_det.evaluation import AvaReport

_RULES = get_args(RulesName)
_ALL = "all"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("evaluate_ava.py", __doc__)
    add_config_options(parser, required=False)
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="model to score")
    parser.add_argument("--annotations", type=Path, metavar="CSV", help="score files: the truth")
    parser.add_argument(
        "--detections", type=Path, metavar="FILE", help="score files: csv, csv.gz, parquet or npz"
    )
    parser.add_argument("--exclusions", type=Path, metavar="CSV", help="keyframes left out")
    parser.add_argument(
        "--label-map", type=Path, metavar="PBTXT", help="default: AVA's 60 evaluated classes"
    )
    parser.add_argument(
        "--rules",
        choices=(*_RULES, _ALL),
        help="default: pyslowfast, or the config's; all compares them on files",
    )
    parser.add_argument(
        "--videos", type=Path, metavar="DIR", help="score files: draw the worst keyframes from here"
    )
    parser.add_argument(
        "--video-start-seconds",
        type=float,
        default=900.0,
        metavar="S",
        help="second of the film at which these videos start (default: 900, AVA's cuts)",
    )
    parser.add_argument(
        "--sweep-thresholds",
        type=_thresholds,
        metavar="0.5,0.6,...",
        help="score a model's boxes once and show the mAP at each of these person scores",
    )
    add_output_option(parser, "outputs/evaluate_ava")
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    of_model = args.config is not None
    of_files = args.annotations is not None and args.detections is not None
    if of_model == of_files or (of_model and not (args.checkpoint or args.print_config)):
        raise UsageError("give either --config and --checkpoint, or --annotations and --detections")
    if of_model and args.rules == _ALL:
        raise UsageError(
            "--rules all compares files; score the model first, then give its detections.csv as "
            "--detections, with --annotations"
        )
    if args.sweep_thresholds and not of_model:
        raise UsageError(
            "--sweep-thresholds is for --config and --checkpoint; files of detections hold no "
            "person scores"
        )
    if not of_model:
        return _compare_rules(args) if args.rules == _ALL else _score_files(args)
    if args.rules:
        args.overrides.append(f"evaluation.rules={args.rules}")
    config = config_from(args)
    return print_config(config) if args.print_config else _score_model(args, config)


def _score_files(args: argparse.Namespace) -> int:
    output_dir = writable_folder(args.output_dir or Path("outputs/evaluate_ava"))

    from x3d_det.evaluation.analysis import explain_score
    from x3d_det.evaluation.ava import read_tables
    from x3d_det.evaluation.rules import rules_named
    from x3d_det.score_page import write_score

    tables = read_tables(
        args.annotations,
        args.detections,
        label_map_path=args.label_map,
        exclusions_path=args.exclusions,
    )
    source = _videos(args)
    report, scored = tables.evaluate(rules_named(args.rules or "pyslowfast"))
    _print_summary(report)
    files = write_score(
        report,
        explain_score(report, scored),
        output_dir,
        annotations=tables.annotations,
        detections=tables.detections,
        label_map=tables.label_map,
        source=source,
    )
    print(listing(output_dir, files))
    return EXIT_OK


def _videos(args: argparse.Namespace) -> "FrameSource | None":
    """Return where the worst keyframes of scored files are drawn from, if anywhere."""
    if args.videos is None:
        return None
    from x3d_det.data import VideoFolder

    return VideoFolder(args.videos, video_start_seconds=args.video_start_seconds)


def _compare_rules(args: argparse.Namespace) -> int:
    output_dir = writable_folder(args.output_dir or Path("outputs/evaluate_ava"))

    from x3d_det.evaluation.compare import compare_files, write_comparison

    comparison = compare_files(
        args.annotations,
        args.detections,
        label_map_path=args.label_map,
        exclusions_path=args.exclusions,
    )
    print("\n".join(comparison.summary_lines()))
    print(listing(output_dir, write_comparison(comparison, output_dir)))
    return EXIT_OK if comparison.reference else EXIT_FAILED


def _score_model(args: argparse.Namespace, config: ExperimentConfig) -> int:
    require_dataset_files(config, ["val"])
    if not args.checkpoint.is_file():
        raise CheckpointError(f"--checkpoint {args.checkpoint}: there is no such file")
    output_dir = writable_folder(args.output_dir or Path("outputs/evaluate_ava"))
    log_to_stderr()
    if args.sweep_thresholds:
        return _sweep(args, config, output_dir)

    from x3d_det.runs.ava_evaluation import evaluate_checkpoint  # torch and all

    evaluated, files = evaluate_checkpoint(config, args.checkpoint, output_dir)
    if evaluated is None:  # a rank beside rank 0
        return EXIT_OK
    _print_summary(evaluated.report)
    rate = evaluated.num_keyframes / evaluated.seconds
    print(
        f"{config.boxes.evaluate} boxes, {evaluated.num_keyframes} keyframes, {rate:.1f} a second"
    )
    print(listing(output_dir, files))
    return _compare(config, evaluated.report.mean_ap)


def _sweep(args: argparse.Namespace, config: ExperimentConfig, output_dir: Path) -> int:
    from x3d_det.runs.threshold_sweep import sweep_checkpoint

    sweep, files = sweep_checkpoint(config, args.checkpoint, args.sweep_thresholds, output_dir)
    if sweep is not None:
        print("\n".join(sweep.lines()))
        print(listing(output_dir, files))
    return EXIT_OK


def _thresholds(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write person scores as 0.5,0.6,0.7") from None


def _print_summary(report: "AvaReport") -> None:
    print("\n".join(report.summary_lines()))


def _compare(config: ExperimentConfig, mean_ap: float) -> int:
    """Say whether the result is the one that the config is known for."""
    expected = config.expected
    if expected is None:
        return EXIT_OK
    return compare_with_expected(
        "frame-mAP", mean_ap, expected.mean_ap, tolerance=expected.tolerance
    )


if __name__ == "__main__":
    sys.exit(main())
