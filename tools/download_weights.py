"""Download X3D weights that others publish, each file verified, into the cache.

    python tools/download_weights.py --list
    python tools/download_weights.py x3d_m_kinetics400
    python tools/download_weights.py x3d_m_kinetics400 --from Downloads/x3d_m.pyth

The cache is $X3D_DET_WEIGHTS, else x3d_det/weights in the user's cache folder; commands that take
a name of the zoo, as in --set pretrained=x3d_m_kinetics400, look there first. A folder filled by
--output-dir serves as --mirror, or as $X3D_DET_WEIGHTS_MIRROR, of another machine.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from x3d_det.cli import EXIT_OK, UsageError, log_to_stderr, make_parser, run_tool, writable_folder
from x3d_det.io.files import sha256_file
from x3d_det.zoo import ZOO, ZooEntry, default_cache, take_copy, weights_path, zoo_entry


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("download_weights.py", __doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the zoo; see --list")
    parser.add_argument(
        "--list", action="store_true", help="print what there is, or what NAME is, and stop"
    )
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument(
        "--mirror", metavar="URL_OR_FOLDER", help="has the files as a cache has them"
    )
    origin.add_argument(
        "--from", dest="file", type=Path, metavar="FILE", help="a copy of NAME's file"
    )  # fmt: skip
    parser.add_argument(
        "--output-dir", type=Path, default=None, metavar="DIR", help="default: the cache"
    )
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    entries = [zoo_entry(name) for name in dict.fromkeys(args.names)]
    cache = args.output_dir or default_cache()
    if args.list:
        for entry in entries or ZOO.values():
            print("\n".join(_description(entry, cache)))
        return EXIT_OK
    if not entries or (args.file is not None and len(entries) != 1):
        wanted = "the one NAME that FILE is a copy of" if args.file else "a NAME, or --list"
        raise UsageError(f"give {wanted}")
    log_to_stderr()
    writable_folder(cache)
    for entry in entries:
        if args.file is None:
            path = weights_path(entry.name, cache=cache, mirror=args.mirror)
        else:
            path = take_copy(entry, args.file, cache=cache)
        size_mb = path.stat().st_size / 1e6
        print(f"{entry.name}: {path} ({size_mb:.1f} MB, SHA-256 {sha256_file(path)})")
    return EXIT_OK


def _description(entry: ZooEntry, cache: Path) -> list[str]:
    """Return a file of the zoo as a few lines."""
    clip = f"{entry.num_frames} x {entry.sampling_stride} frames of {entry.crop_size} px"
    is_here = (cache / entry.relative_path).is_file()
    lines = [
        f"{entry.name}{'  (in the cache)' if is_here else ''}",
        f"    X3D-{entry.model.upper()}, {entry.num_classes} classes of {entry.dataset}, {clip}, "
        f"{entry.multiply_adds / 1e9:.2f} GMACs, {entry.parameters / 1e6:.2f} M parameters",
        f"    {'; '.join(score.text() for score in entry.scores)}",
        f"    layout {entry.layout}, licence {entry.licence}",
    ]
    if entry.note:
        lines.append(f"    {entry.note}")
    return [*lines, f"    {entry.url}", f"    stated by {entry.source}"]


if __name__ == "__main__":
    sys.exit(main())
