"""Score an action detector, or a file of detections, by AVA's frame-mAP at IoU 0.5.

    python tools/evaluate_ava.py --config x3d_m_ava.yaml --checkpoint model.safetensors
    python tools/evaluate_ava.py --annotations ava_val_v2.2.csv --detections pred.csv \\
        --exclusions ava_val_excluded_timestamps_v2.2.csv --rules activitynet2019

The public evaluators disagree on the same files; --rules says which one is followed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from x3d_det.cli import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
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
from x3d_det.config.files import require_dataset_files
from x3d_det.config.schema import ExperimentConfig, RulesName
from x3d_det.errors import CheckpointError

if TYPE_CHECKING:
    from x3d_det.evaluation import AvaReport

_RULES = get_args(RulesName)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("evaluate_ava.py", __doc__)
    add_config_options(parser, required=False)
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="model to score")
    parser.add_argument("--annotations", type=Path, metavar="CSV", help="score files: the truth")
    parser.add_argument("--detections", type=Path, metavar="CSV", help="score files: csv or csv.gz")
    parser.add_argument("--exclusions", type=Path, metavar="CSV", help="keyframes left out")
    parser.add_argument(
        "--label-map", type=Path, metavar="PBTXT", help="default: AVA's 60 evaluated classes"
    )
    parser.add_argument("--rules", choices=_RULES, help="default: pyslowfast, or the config's")
    add_output_option(parser, "outputs/evaluate_ava")
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    of_model = args.config is not None
    of_files = args.annotations is not None and args.detections is not None
    if of_model == of_files or (of_model and not (args.checkpoint or args.print_config)):
        print(
            "evaluate_ava.py: error: give either --config and --checkpoint, or --annotations and "
            "--detections",
            file=sys.stderr,
        )
        return EXIT_USAGE
    if not of_model:
        return _score_files(args)
    if args.rules:
        args.overrides.append(f"evaluation.rules={args.rules}")
    config = config_from(args)
    return print_config(config) if args.print_config else _score_model(args, config)


def _score_files(args: argparse.Namespace) -> int:
    output_dir = writable_folder(args.output_dir or Path("outputs/evaluate_ava"))

    from x3d_det.evaluation import evaluate_files, write_report

    report = evaluate_files(
        args.annotations,
        args.detections,
        label_map_path=args.label_map,
        exclusions_path=args.exclusions,
        rules=args.rules or "pyslowfast",
    )
    _print_summary(report)
    print(listing(output_dir, write_report(report, output_dir)))
    return EXIT_OK


def _score_model(args: argparse.Namespace, config: ExperimentConfig) -> int:
    require_dataset_files(config, ["val"])
    if not args.checkpoint.is_file():
        raise CheckpointError(f"--checkpoint {args.checkpoint}: there is no such file")
    output_dir = writable_folder(args.output_dir or Path("outputs/evaluate_ava"))
    log_to_stderr()

    from x3d_det.ava_runs import evaluate_checkpoint  # torch and all

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


def _print_summary(report: "AvaReport") -> None:
    print("\n".join(report.summary_lines()))


def _compare(config: ExperimentConfig, mean_ap: float) -> int:
    """Say whether the result is the one that the config is known for."""
    expected = config.expected
    if expected is None:
        return EXIT_OK
    as_expected = abs(mean_ap - expected.mean_ap) <= expected.tolerance
    print(
        f"frame-mAP {mean_ap:.4f} is {'as' if as_expected else 'NOT as'} expected: "
        f"{expected.mean_ap:.4f} +- {expected.tolerance:.4f}"
    )
    return EXIT_OK if as_expected else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
