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
from pathlib import Path

from x3d_det.cli import (
    EXIT_OK,
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("train_ava.py", __doc__)
    add_config_options(parser)
    add_output_option(parser, "outputs/<config's name>")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in the output folder"
    )
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    config = config_from(args)
    if args.print_config:
        return print_config(config)
    require_dataset_files(config, ["train", "val"])
    output_dir = writable_folder(args.output_dir or Path("outputs") / Path(args.config).stem)
    log_to_stderr()

    from x3d_det.runs.ava import train_on_ava  # torch and all: after the checks that need none

    result = train_on_ava(config, output_dir, resume=args.resume)
    if result.finished and result.files:
        metrics = result.history[-1]["metrics"] if result.history else {}
        if "mAP" in metrics:
            print(f"frame-mAP {metrics['mAP']:.4f} after {result.step} steps")
        print(listing(output_dir, [*result.files, output_dir / "curves.png"]))
    elif result.signal_number and result.files:
        print(f"stopped after step {result.step}; the same command with --resume goes on")
    return result.exit_code or EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
