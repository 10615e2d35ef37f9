"""Turn one project's annotation, box, label or frame file into another's.

    python tools/convert_annotations.py ava_val_v2.2.csv val.json --frame-size 640x360
    python tools/convert_annotations.py proposals.pkl boxes.csv
    python tools/convert_annotations.py annotations.xml train.csv --fps 30
    python tools/convert_annotations.py --list-forms

The form of IN is told from its suffix and content, the form of OUT from its suffix;
--from and --to say them. What OUT cannot hold is counted on stdout. docs/formats.md
describes every form.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from x3d_det import cli_types
from x3d_det.cli import EXIT_OK, UsageError, make_parser, run_tool
from x3d_det.errors import DataError

if TYPE_CHECKING:
    from x3d_det.formats.options import ConvertOptions

_PLAIN_OPTIONS = (
    "videos", "frame_size", "fps", "decimals", "images", "video_ids", "video_start_seconds",
    "video_end_seconds", "keyframe_interval_seconds", "video_id", "person_label",
    "action_attribute",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("convert_annotations.py", __doc__)
    parser.add_argument("source", nargs="?", type=Path, metavar="IN", help="file or frames folder")
    parser.add_argument("target", nargs="?", type=Path, metavar="OUT", help="file to write")
    parser.add_argument("--from", dest="source_form", metavar="FORM", help="form of IN")
    parser.add_argument("--to", dest="target_form", metavar="FORM", help="form of OUT")
    parser.add_argument("--list-forms", action="store_true", help="print all forms and stop")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")
    _add_value_options(parser)
    _add_export_options(parser)
    return run_tool(parser, _run, argv)


def _add_value_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what a form may need")
    group.add_argument(
        "--label-map", type=Path, metavar="FILE", help="names of the actions (pbtxt, csv, json)"
    )
    group.add_argument(
        "--label-map-out",
        type=Path,
        metavar="PBTXT",
        help="where the names that IN brings go; default: OUT's stem and _label_map.pbtxt",
    )
    group.add_argument(
        "--first-id",
        type=int,
        choices=(0, 1),
        help="0: ids of IN count from 0, add 1 to each; default: 1, and an id 0 is an error",
    )
    group.add_argument(
        "--videos", type=Path, metavar="DIR", help="video files ID.mp4: sizes, rates, suffixes"
    )
    group.add_argument(
        "--frame-size", type=_size, metavar="WxH", help="of every video in pixels, as 640x360"
    )
    group.add_argument("--fps", type=_rate, metavar="N", help="frames a second of every video")
    group.add_argument(
        "--decimals", type=int, choices=range(1, 18), metavar="N",
        help="round boxes to N decimals; default: as many as they have, at least AVA's 3",
    )  # fmt: skip
    group.add_argument(
        "--images", type=Path, metavar="JSON", help="COCO data set that a list of results counts"
    )
    group.add_argument("--video-ids", type=Path, metavar="FILE", help="videos of a list of seconds")


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("exports of annotation tools, and frame lists")
    for name, text in (
        ("video-start-seconds", "second of the film at which the files start"),
        ("video-end-seconds", "second of the film at which the files end (frame lists)"),
        ("keyframe-interval-seconds", "keyframes at multiples of it; 0: every annotated frame"),
    ):
        group.add_argument(f"--{name}", type=cli_types.second, metavar="S", help=text)
    group.add_argument("--video-id", metavar="ID", help="the one video of the export")
    group.add_argument("--person-label", metavar="NAME", help="label that is a person, no action")
    group.add_argument("--action-attribute", metavar="NAME", help="attribute with the actions")
    group.add_argument(
        "--first-frame-number", type=int, choices=(0, 1), help="of a video; default: 0"
    )


def _run(args: argparse.Namespace) -> int:
    if args.list_forms:
        return _list_forms()
    if args.source is None or args.target is None:
        raise UsageError("give IN and OUT, or --list-forms")

    from x3d_det.formats.convert import (
        check_pair,
        convert_file,
        default_label_map_path,
        form_named,
        form_of,
        form_to_write,
        heeded_options,
        writes_label_map,
    )

    source = form_named(args.source_form) if args.source_form else form_of(args.source)
    to_form = args.target_form
    target = form_named(to_form) if to_form else form_to_write(args.target, source)
    check_pair(source, target)
    beside = None
    if writes_label_map(source, target) and args.label_map is None:
        beside = args.label_map_out or default_label_map_path(args.target)
    if unused := _unused(args, heeded_options(source, target), beside):
        raise UsageError(
            f"{unused} has no effect from {source.name} to {target.name}; leave it out"
        )
    _check_target(args, beside)
    print(f"reading {args.source} as {source.name}", file=sys.stderr)
    done = convert_file(
        args.source,
        args.target,
        source=source,
        target=target,
        options=_options(args),
        label_map_path=beside,
    )
    empty = f" and {done.num_empty:,} empty keyframes" if done.num_empty else ""
    print(f"read {args.source} as {source.name}: {done.num_read:,} rows{empty}")
    for note in done.notes:
        print(f"note: {note}")
    print(f"wrote {done.files[0]} as {target.name}")
    for path in done.files[1:]:
        print(f"wrote {path}: the names of the actions")
    return EXIT_OK


def _unused(args: argparse.Namespace, heeded: frozenset[str], beside: Path | None) -> str:
    """Return the options that were given and do nothing here, as the user wrote them."""
    names = [*_PLAIN_OPTIONS, "label_map", "first_id", "first_frame_number"]
    unused = [n for n in names if getattr(args, n) is not None and n not in heeded]
    if args.label_map_out and beside is None:
        unused.append("label_map_out")
    return ", ".join(f"--{name.replace('_', '-')}" for name in unused)


def _list_forms() -> int:
    from x3d_det.formats.convert import FORMS, targets_of

    kind = ""
    for form in sorted(FORMS.values(), key=lambda form: form.kind):
        if form.kind != kind:
            kind = form.kind
            print(f"{kind}:")
        way = "read and written" if form.write else "read only"
        print(f"  {form.name:20} {form.summary} ({way}; {' '.join(form.suffixes) or 'folder'})")
    print("\nWhat each kind can become:")
    for kind in dict.fromkeys(form.kind for form in FORMS.values()):
        first = next(form for form in FORMS.values() if form.kind == kind)
        print(f"  {kind:13} -> {', '.join(targets_of(first))}")
    return EXIT_OK


def _check_target(args: argparse.Namespace, beside: Path | None) -> None:
    """Raise before any work where the output must not or cannot be written."""
    if args.target.exists() and args.source.exists() and args.target.samefile(args.source):
        raise DataError(f"OUT is IN ({args.target}); write to another file.")
    for path in [args.target] + ([beside] if beside else []):
        if not path.parent.is_dir():
            raise DataError(f"cannot write {path}: there is no folder {path.parent}; make it.")
        if path.exists() and not args.overwrite:
            raise DataError(f"{path} exists; name another OUT, or add --overwrite to replace it.")


def _options(args: argparse.Namespace) -> "ConvertOptions":
    """Return the options as the forms know them."""
    from x3d_det.formats.options import ConvertOptions
    from x3d_det.io.label_map import read_label_map

    return ConvertOptions(
        **{name: getattr(args, name) for name in _PLAIN_OPTIONS},
        label_map=read_label_map(args.label_map) if args.label_map else None,
        first_id=1 if args.first_id is None else args.first_id,
        first_frame_number=args.first_frame_number or 0,
    )


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write WIDTHxHEIGHT, as in 640x360")
    return int(match[2]), int(match[1])


def _rate(text: str) -> Fraction:
    if not re.fullmatch(r"\d{1,9}(\.\d+)?|\d{1,9}/[1-9]\d{0,8}", text) or not Fraction(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no rate, as in 25, 29.97 or 30000/1001")
    return Fraction(text)


if __name__ == "__main__":
    sys.exit(main())
