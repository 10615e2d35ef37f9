"""Train an X3D on Kinetics, or on any clips with one label each.

    python tools/train_kinetics.py --config x3d_m_kinetics400.yaml
    python tools/train_kinetics.py --config x3d_xs_kinetics_mini.yaml
    python tools/train_kinetics.py --config x3d_s_kinetics400.yaml --set dataset=kinetics_mini \\
        --set pretrained=x3d_s_kinetics400 --set train.batch_size=8
    torchrun --nproc-per-node 8 tools/train_kinetics.py --config x3d_m_kinetics400.yaml

A run that was stopped, or killed at any moment, goes on with the same command and --resume.
What it leaves, model.safetensors, is taken by tools/train_ava.py --set pretrained=FILE.
"""

import argparse
import sys
from collections.abc import Sequence

from x3d_det.cli import (
    add_training_options,
    config_from,
    end_training,
    listing,
    log_to_stderr,
    make_parser,
    print_config,
    run_tool,
    training_folder,
)
from x3d_det.config.files import require_dataset_files
from x3d_det.config.kinetics import KineticsConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("train_kinetics.py", __doc__)
    add_training_options(parser)
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    config = config_from(args, KineticsConfig)
    if args.print_config:
        return print_config(config)
    require_dataset_files(config, ["train", "val"])
    output_dir = training_folder(args)
    log_to_stderr()

    from x3d_det.runs.kinetics import counts_of_run, train_on_kinetics  # torch and all: late

    result = train_on_kinetics(config, output_dir, resume=args.resume)
    if result.finished and result.files:
        last = result.last_metrics
        if "top1" in last:
            print(f"top-1 {last['top1']:.4f}, top-5 {last['top5']:.4f} after {result.step} steps")
        print(counts_of_run(output_dir))
        beside = [output_dir / "config.yaml", output_dir / "curves.png"]
        print(listing(output_dir, [*result.files, *beside]))
    return end_training(result)


if __name__ == "__main__":
    sys.exit(main())
