"""Train an X3D action detector on AVA, or on any data set in AVA's form.

    python tools/train_ava.py --config x3d_m_ava.yaml
    python tools/train_ava.py --config x3d_m_ava.yaml --set dataset=ava_mini \\
        --set train.batch_size=2
    torchrun --nproc-per-node 8 tools/train_ava.py --config x3d_m_ava.yaml

A run that was stopped, or killed at any moment, goes on with the same command and --resume.
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("train_ava.py", __doc__)
    add_training_options(parser)
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    config = config_from(args)
    if args.print_config:
        return print_config(config)
    require_dataset_files(config, ["train", "val"])
    output_dir = training_folder(args)
    log_to_stderr()

    from x3d_det.runs.ava import train_on_ava  # torch and all: after the checks that need none

    result = train_on_ava(config, output_dir, resume=args.resume)
    if result.finished and result.files:
        if "mAP" in result.last_metrics:
            print(f"frame-mAP {result.last_metrics['mAP']:.4f} after {result.step} steps")
        print(listing(output_dir, [*result.files, output_dir / "curves.png"]))
    return end_training(result)


if __name__ == "__main__":
    sys.exit(main())
