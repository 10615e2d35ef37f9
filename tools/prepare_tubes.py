"""Turn the annotation file of JHMDB-21, UCF101-24 or MultiSports into a data set to train on.

    python tools/prepare_tubes.py JHMDB-GT.pkl --dataset jhmdb21 --videos ReCompress_Videos \\
        --output-dir data/jhmdb21

writes annotations/*.csv and the label map, links the videos (or, with --frames, the folders of
extracted frames) under one folder, and prints the YAML that configs/datasets/ has for it.
docs/tubes.md tells the whole way.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from x3d_det import cli_types
from x3d_det.cli import EXIT_OK, listing, make_parser, run_tool, writable_folder
from x3d_det.errors import DataError

if TYPE_CHECKING:
    from x3d_det.io.action_tubes import ActionTubes

_DATASETS = ("jhmdb21", "ucf101_24", "multisports")
_ENDINGS = (".avi", ".mp4", ".mkv", ".webm", ".mov")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("prepare_tubes.py", __doc__)
    parser.add_argument("annotations", type=Path, metavar="PKL", help="the annotation file")
    parser.add_argument("--dataset", required=True, choices=_DATASETS, help="whose file it is")
    parser.add_argument("--split", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--test-list", type=Path, metavar="TXT", help="test videos, for pyannot.pkl alone"
    )
    parser.add_argument(
        "--train-interval", type=cli_types.count, default=1, metavar="FRAMES",
        help="from one training keyframe to the next; default: 1, every frame",
    )  # fmt: skip
    parser.add_argument(
        "--val-interval", type=cli_types.count, default=1, metavar="FRAMES",
        help="the same in evaluation; the published numbers need every frame, the default",
    )  # fmt: skip
    parser.add_argument(
        "--fps",
        type=cli_types.positive,
        help="frames a second; default: the data set's (30, 25, 25)",
    )
    parser.add_argument(
        "--videos", type=Path, metavar="DIR", help="folder tree of the videos, to be linked"
    )
    parser.add_argument(
        "--frames", type=Path, metavar="DIR",
        help="folder tree of frame folders, one a video with files such as 00001.jpg, to be linked",
    )  # fmt: skip
    parser.add_argument(
        "--output-dir", type=Path, metavar="DIR", help="default: data/ and the data set's name"
    )
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    from x3d_det.formats.tube_files import (
        TUBE_DATASETS,
        read_tube_annotations,
        write_tube_dataset,
    )

    dataset = TUBE_DATASETS[args.dataset]
    tubes = read_tube_annotations(
        args.annotations, inclusive_corners=dataset.inclusive_corners, test_list=args.test_list
    )
    links: dict[Path, Path] = {}  # relative to the output folder -> what it leads to
    if args.videos is not None:
        found = _found(args.videos, tubes, args.split, are_folders=False)
        links |= {Path("videos") / source.name: source for source in found}
    if args.frames is not None:
        found = _found(args.frames, tubes, args.split, are_folders=True)
        links |= {Path("frames") / source.name: source for source in found}
        template = _template(found[0])
    output_dir = writable_folder(args.output_dir or Path("data") / dataset.name)
    written = write_tube_dataset(
        tubes,
        output_dir,
        dataset=dataset,
        split=args.split,
        train_interval=args.train_interval,
        val_interval=args.val_interval,
        fps=args.fps,
    )
    print("\n".join(written.summary))
    for link, source in links.items():
        _link(source, output_dir / link)
    if links:
        print(f"linked {len(links):,} videos under {output_dir}")
    yaml = written.yaml
    if args.frames is not None:
        fps = args.fps or dataset.fps
        frames = f'frames: {{folder: frames, template: "{template}", fps: {fps}}}\n'
        yaml = yaml.replace("videos: videos\n", frames)
    print(f"\n# configs/datasets/{dataset.name}.yaml\n{yaml}")
    print(listing(output_dir, written.files))
    return EXIT_OK


def _found(folder: Path, tubes: "ActionTubes", split: int, *, are_folders: bool) -> list[Path]:
    """Return the file, or the folder of frames, of each video of the split."""
    from x3d_det.io.action_tubes import bare_name

    wanted = {bare_name(video): video for name in ("train", "test")
              for video in tubes.videos(split, name)}  # fmt: skip
    paths: dict[str, Path] = {}
    for parent, folders, files in os.walk(folder):
        if are_folders:
            paths |= {name: Path(parent, name) for name in folders if name in wanted}
            folders[:] = [name for name in folders if name not in wanted]
        else:
            known = [Path(parent, name) for name in files if name.endswith(_ENDINGS)]
            paths |= {path.stem: path for path in known if path.stem in wanted}
    missing = [video for name, video in wanted.items() if name not in paths]
    if missing:
        kind = "folders of its name" if are_folders else f"files {' '.join(_ENDINGS)} of its name"
        raise DataError(
            f"{folder} lacks {len(missing):,} of {len(wanted):,} videos, as {missing[0]!r}; looked "
            f"for were {kind}."
        )
    return [paths[name] for name in wanted]


def _template(folder: Path) -> str:
    """Return how the frames of a folder are named: `{index:05d}.png`."""
    for path in sorted(folder.iterdir()):
        named = re.fullmatch(r"(\D*)(\d+)(\.\w+)", path.name)
        if named:
            before, digits, after = named.groups()
            return f"{before}{{index:0{len(digits)}d}}{after}"
    raise DataError(f"{folder} holds no frame; files are named like 00001.jpg or img_00001.jpg.")


def _link(source: Path, link: Path) -> None:
    writable_folder(link.parent)
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        return  # the user's own file stays
    os.symlink(source.resolve(), link)


if __name__ == "__main__":
    sys.exit(main())
