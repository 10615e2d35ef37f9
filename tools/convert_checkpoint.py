"""Turn one project's X3D checkpoint into another's.

    python tools/convert_checkpoint.py x3d_m.pyth x3d_m.safetensors --classes kinetics400.txt
    python tools/convert_checkpoint.py model.safetensors x3d_m.pyth --layout pytorchvideo

The layout of IN is told from its names. OUT is ours where it ends in .safetensors, else
of --layout: pyslowfast, pytorchvideo, mmaction2, co3d, x3d_multigrid, efficient_x3d.
docs/checkpoints.md describes them all.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from x3d_det.cli import EXIT_OK, UsageError, make_parser, run_tool
from x3d_det.errors import CheckpointError

if TYPE_CHECKING:
    from x3d_det.checkpoints import Checkpoint

_MAX_NAMES_SHOWN = 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("convert_checkpoint.py", __doc__)
    parser.add_argument("source", type=Path, metavar="IN", help="checkpoint of any layout")
    parser.add_argument("target", type=Path, metavar="OUT", help="file to write")
    parser.add_argument("--layout", metavar="NAME", help="layout of OUT; default: x3d_det")
    parser.add_argument("--from", dest="source_layout", metavar="NAME", help="layout of IN")
    parser.add_argument(
        "--classes", type=Path, metavar="FILE", help="names of the outputs (txt, csv, json)"
    )
    parser.add_argument(
        "--drop-unknown",
        action="store_true",
        help="convert though IN has tensors that our X3D has no place for",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    from x3d_det.checkpoints import read_checkpoint, write_checkpoint
    from x3d_det.checkpoints.write import fault_of_target
    from x3d_det.io.class_names import read_class_names

    layout = args.layout or "x3d_det"
    if problem := fault_of_target(args.target, layout):
        raise UsageError(f"{problem} --layout chooses the layout")
    if args.classes and layout != "x3d_det":
        raise UsageError("--classes has no effect: our own layout alone holds names; leave it out")
    _check_target(args)
    print(f"reading {args.source}", file=sys.stderr)
    checkpoint = read_checkpoint(args.source, layout=args.source_layout)
    _refuse_unknown(checkpoint, args.drop_unknown)
    names = read_class_names(args.classes) if args.classes else None
    notes = write_checkpoint(args.target, checkpoint, layout=layout, class_names=names)
    print(f"read {args.source}: {checkpoint.text()}")
    print(f"matched: {len(checkpoint.state)} tensors")
    print(f"not matched: {len(checkpoint.unused)}{_listed(checkpoint.unused)}")
    print(f"normalisation: {checkpoint.normalisation_text()}")
    for note in (*checkpoint.notes, *notes):
        print(f"note: {note}")
    print(f"wrote {args.target} as {layout}")
    return EXIT_OK


def _check_target(args: argparse.Namespace) -> None:
    """Raise before any work where the output must not or cannot be written."""
    source, target = args.source, args.target
    if target.exists() and source.exists() and target.samefile(source):
        raise CheckpointError(f"OUT is IN ({target}); write to another file.")
    if not target.parent.is_dir():
        raise CheckpointError(
            f"cannot write {target}: there is no folder {target.parent}; make it."
        )
    if target.exists() and not args.overwrite:
        raise CheckpointError(f"{target} exists; name another OUT, or add --overwrite.")


def _refuse_unknown(checkpoint: "Checkpoint", drop_unknown: bool) -> None:
    """Raise where the network computes something that ours does not, unless that is wanted."""
    if checkpoint.unused and not drop_unknown:
        raise CheckpointError(
            f"checkpoint {checkpoint.path} ({checkpoint.text()}) has {len(checkpoint.unused)} "
            f"tensors that no X3D of ours has{_listed(checkpoint.unused)}; without them it may "
            "compute something else. --drop-unknown converts the rest."
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES_SHOWN])
    return f" ({shown}{', ...' if len(names) > _MAX_NAMES_SHOWN else ''})" if names else ""


if __name__ == "__main__":
    sys.exit(main())
