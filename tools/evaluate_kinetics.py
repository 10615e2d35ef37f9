"""Score a classifier of whole videos by top-1, top-5 and mean class accuracy.

    python tools/evaluate_kinetics.py --config x3d_m_kinetics400.yaml --checkpoint FILE --views 30
    python tools/evaluate_kinetics.py --config x3d_s_kinetics400.yaml \\
        --checkpoint x3d_s_kinetics400 --views 10 --out result.json

The probabilities of a video's views are averaged. --views says which views, as papers do:
1 is the centre crop of the middle clip, 10 of ten clips from the first to the last ("K-Center"),
30 is three crops of each of the ten ("K-LeftCenterRight"). PySlowFast places clips a little
otherwise, and its single view is the first clip: --set evaluation.clip_rule=pyslowfast.

--checkpoint takes a model.safetensors of train_kinetics.py, a checkpoint of PySlowFast,
PyTorchVideo, MMAction2 and others (docs/checkpoints.md), or a name of the zoo.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from x3d_det.cli import (
    EXIT_OK,
    UsageError,
    add_config_options,
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
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.errors import X3DDetError

_CLIPS_AND_CROPS = {1: (1, 1), 10: (10, 1), 30: (10, 3)}
_VIEW_SETTINGS = {"evaluation.num_clips", "evaluation.num_crops"}
_RESULT = Path("outputs/evaluate_kinetics/result.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("evaluate_kinetics.py", __doc__)
    add_config_options(parser)
    parser.add_argument("--checkpoint", metavar="FILE_OR_NAME", help="model to score")
    parser.add_argument(
        "--views",
        type=int,
        choices=_CLIPS_AND_CROPS,
        help="views of each video; default: the config's evaluation.num_clips x num_crops",
    )
    places = parser.add_mutually_exclusive_group()
    places.add_argument("--output-dir", type=Path, metavar="DIR", help=f"default: {_RESULT.parent}")
    places.add_argument(
        "--out",
        type=Path,
        metavar="JSON",
        help="the result with every video's scores; the table and the picture go beside it",
    )
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    if not (args.checkpoint or args.print_config):
        raise UsageError("give the model to score as --checkpoint")
    own = config_from(args, KineticsConfig)
    config = own
    if args.views is not None:
        if _VIEW_SETTINGS & {text.split("=")[0].strip() for text in args.overrides}:
            raise UsageError(
                "give either --views, or evaluation.num_clips and evaluation.num_crops"
            )
        clips, crops = _CLIPS_AND_CROPS[args.views]
        args.overrides += [f"evaluation.num_clips={clips}", f"evaluation.num_crops={crops}"]
        config = config_from(args, KineticsConfig)
    if args.print_config:
        return print_config(config)
    require_dataset_files(config, ["val"])
    result = _result_path(args)
    log_to_stderr()

    from x3d_det.runs.kinetics_evaluation import evaluate_checkpoint, views_text  # torch and all

    evaluated, files = evaluate_checkpoint(config, args.checkpoint, result)
    if evaluated is None:  # a rank beside rank 0
        return EXIT_OK
    print("\n".join(evaluated.report.lines()))
    seconds = evaluated.seconds / evaluated.report.num_videos
    print(f"{views_text(config)}; {seconds:.3g} s a video")
    print(listing(result.parent, files))
    return _compare(own, config, evaluated.report.top1)


def _result_path(args: argparse.Namespace) -> Path:
    """Return where the result goes, after a look at whether it can be written there."""
    result: Path = args.out or (args.output_dir or _RESULT.parent) / _RESULT.name
    if result.is_dir():
        raise X3DDetError(f"--out {result} is a folder; name a file in it, or use --output-dir")
    writable_folder(result.parent)
    return result


def _compare(own: KineticsConfig, config: KineticsConfig, top1: float) -> int:
    """Say whether the result is the one that the config is known for, over its own views."""
    expected = own.expected
    if expected is None:
        return EXIT_OK
    if own.evaluation != config.evaluation:
        clips, crops = own.evaluation.num_clips, own.evaluation.num_crops
        print(f"top-1 is known for {clips} x {crops} views alone, so --views is not compared")
        return EXIT_OK
    return compare_with_expected("top-1", top1, expected.top1, tolerance=expected.tolerance)


if __name__ == "__main__":
    sys.exit(main())
