"""Search an own X3D for a data set, a cost and a budget: progressive expansion.

    python tools/expand_x3d.py --config expand_kinetics_mini.yaml --workers 2
    python tools/expand_x3d.py --config expand_ava_mini.yaml --set budget=2.0e+8
    python tools/expand_x3d.py --config expand_kinetics_mini.yaml --set cost.name=latency \\
        --set budget=0.05
    python tools/expand_x3d.py --config expand_kinetics_mini.yaml --slurm --set runner.partition=gpu
    python tools/expand_x3d.py --replay-paper

Each step trains one candidate an axis and keeps the best. A search that was stopped, or killed
at any moment, goes on with the same command and --resume; no finished training is done again.
The configs that it writes are taken by tools/train_kinetics.py or tools/train_ava.py.
"""

import argparse
import sys
from collections.abc import Sequence

from x3d_det.cli import (
    EXIT_OK,
    UsageError,
    add_training_options,
    listing,
    log_to_stderr,
    make_parser,
    print_config,
    run_tool,
    training_folder,
)
from x3d_det.config.expansion import ExpansionConfig
from x3d_det.config.load import load_config
from x3d_det.words import short_number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("expand_x3d.py", __doc__)
    add_training_options(parser, what="search", config_required=False)
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--workers", type=int, metavar="N", help="N trainings at a time on this machine"
    )
    who.add_argument("--slurm", action="store_true", help="an array of Slurm jobs for each step")
    who.add_argument("--ray", action="store_true", help="tasks of Ray")
    parser.add_argument(
        "--replay-paper",
        action="store_true",
        help="print the paper's ladder from X2D to XL as the search's rules give it, and stop",
    )
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    if args.replay_paper:
        from x3d_det.expansion import ladder_lines

        print("\n".join(ladder_lines()))
        return EXIT_OK
    if args.config is None:
        raise UsageError("give --config FILE, or --replay-paper")
    config = load_config(args.config, [*args.overrides, *_runner_overrides(args)], ExpansionConfig)
    if args.print_config:
        return print_config(config)
    output_dir = training_folder(args)
    log_to_stderr()

    from x3d_det.runs.expansion import run_expansion  # torch and all: late

    found = run_expansion(config, output_dir, resume=args.resume)
    for one in found.result.path:
        axis = "start" if one.candidate.step == 0 else one.candidate.axis
        print(
            f"step {one.candidate.step}  {axis:<10}  {one.candidate.factors.text()}  "
            f"{short_number(one.candidate.cost)} {found.cost.unit}  {one.score:.4f}"
        )
    print(found.result.stopped)
    print(listing(output_dir, found.files))
    return EXIT_OK


def _runner_overrides(args: argparse.Namespace) -> list[str]:
    """Return the settings that the options about who trains stand for."""
    if args.slurm or args.ray:
        return [f"runner.kind={'slurm' if args.slurm else 'ray'}"]
    if args.workers is not None:
        return ["runner.kind=processes", f"runner.workers={args.workers}"]
    return []


if __name__ == "__main__":
    sys.exit(main())
