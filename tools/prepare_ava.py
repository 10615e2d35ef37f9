"""Bring AVA v2.2 to its places: lists, person boxes, and the films, whole or cut.

    python tools/prepare_ava.py --list                           every file, its size, free disk
    python tools/prepare_ava.py --cut --delete-originals         all of it, 15 minutes of each film
    python tools/prepare_ava.py --what annotations boxes
    python tools/prepare_ava.py --from /media/disk/ava --cut     from a folder, or another mirror
    python tools/prepare_ava.py --split val --videos=-5KQ66BBWC4,1j20qq1JyX4

The films are 157 GB (train and val). Stopped, or killed at any moment? The same command goes on.
docs/get_ava.md says how to get every file by hand.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from x3d_det import cli_types
from x3d_det.cli import EXIT_FAILED, EXIT_OK, UsageError, make_parser, run_tool, writable_folder
from x3d_det.config.load import REPOSITORY
from x3d_det.errors import DataError

if TYPE_CHECKING:
    from x3d_det.preparation import Listed, PrepareSettings

_DEFAULT_DIR = Path("data/ava")
_CONFIG_START_SECONDS = 900.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = make_parser("prepare_ava.py", __doc__)
    parser.add_argument(
        "--output-dir", type=Path, default=_DEFAULT_DIR, metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("--list", action="store_true", help="list the files and stop")
    _add_choice(parser)
    _add_source(parser)
    _add_cut(parser)
    _add_checks(parser)
    return run_tool(parser, _run, argv)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what")
    group.add_argument(
        "--what",
        nargs="+",
        choices=("annotations", "boxes", "videos", "all"),
        default=["all"],
        help="default: all",
    )
    group.add_argument(
        "--split",
        nargs="+",
        choices=("train", "val", "test"),
        default=["train", "val"],
        help="default: train val",
    )
    group.add_argument(
        "--videos", metavar="IDS", help="ids with commas between them, or a file with one a line"
    )
    group.add_argument(
        "--with-kinetics-lists", action="store_true", help="AVA-Kinetics' lists too (no videos)"
    )


def _add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("from where")
    group.add_argument(
        "--from", dest="mirror", metavar="DIR|URL", help="default: the public mirrors"
    )
    group.add_argument(
        "--jobs", type=cli_types.count, default=4, help="films at a time, default: 4"
    )
    group.add_argument("--tries", type=cli_types.count, default=5, help="in a row, default: 5")
    group.add_argument(
        "--retry-wait",
        type=cli_types.second,
        default=1.0,
        metavar="SECONDS",
        help="after a first failed try, then doubled; default: 1",
    )
    group.add_argument(
        "--timeout",
        type=cli_types.second,
        default=30.0,
        metavar="SECONDS",
        help="of silence, default: 30",
    )


def _add_cut(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cutting")
    group.add_argument("--cut", action="store_true", help="cut the annotated stretch out of films")
    group.add_argument(
        "--cut-seconds",
        nargs=2,
        type=cli_types.second,
        metavar=("FIRST", "END"),
        help="of the film, default: 900 1801",
    )
    group.add_argument(
        "--short-side",
        type=cli_types.between(64, 4320),
        metavar="PIXELS",
        help="scale; costs about 3 mAP",
    )
    group.add_argument(
        "--gop", type=cli_types.count, help="frames from key frame to key frame, default: 12"
    )
    group.add_argument(
        "--crf", type=cli_types.between(0, 51), help="x264's quality, 0 to 51, default: 18"
    )
    group.add_argument("--no-sound", action="store_true", help="leave the sound out")
    group.add_argument(
        "--delete-originals", action="store_true", help="remove each film once its cut stands"
    )


def _add_checks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("checks")
    group.add_argument(
        "--accept-changed",
        action="store_true",
        help="take annotation files that are not the official ones",
    )
    group.add_argument(
        "--full-decode", action="store_true", help="decode every frame of the films that come"
    )
    group.add_argument(
        "--verify", action="store_true", help="hash again what stands, whatever its date"
    )


def _run(args: argparse.Namespace) -> int:
    if wrong := _wrong_usage(args):
        raise UsageError(wrong)

    from x3d_det.preparation import list_files, prepare

    settings = _settings(args)
    if args.list:
        return _print_list(list_files(settings), settings.folder)
    writable_folder(args.output_dir)
    if args.short_side is not None:
        print(
            "prepare_ava.py: warning: scaled videos cost about 3 points of mAP, or more "
            "(28.2 -> 23.7: facebookresearch/SlowFast issue 66)",
            file=sys.stderr,
        )
    report = prepare(settings)
    print("\n".join(report.lines()))
    written = sorted(path.name for path in settings.folder.iterdir() if path.name[0] != ".")
    print(f"{settings.folder} holds: {', '.join(written)}")
    print("\n".join(_what_next(settings)))
    return EXIT_FAILED if report.missing else EXIT_OK


def _wrong_usage(args: argparse.Namespace) -> str | None:
    of_cuts = {
        "--cut-seconds": args.cut_seconds,
        "--short-side": args.short_side,
        "--gop": args.gop,
        "--crf": args.crf,
        "--no-sound": args.no_sound or None,
        "--delete-originals": args.delete_originals or None,
    }
    given = [name for name, value in of_cuts.items() if value is not None]
    if given and not args.cut:
        return f"{given[0]} needs --cut"
    if args.cut_seconds and args.cut_seconds[0] >= args.cut_seconds[1]:
        first, end = args.cut_seconds
        return f"--cut-seconds {first:g} {end:g}: the first must be before the end"
    return None


def _settings(args: argparse.Namespace) -> "PrepareSettings":
    from x3d_det.preparation import CutSettings, FetchSettings, FilmSettings, PrepareSettings

    first, end = args.cut_seconds or (_CONFIG_START_SECONDS, 1801.0)
    cut = CutSettings(
        start_seconds=first,
        end_seconds=end,
        short_side=args.short_side,
        gop_frames=args.gop or 12,
        crf=18 if args.crf is None else args.crf,
        keep_sound=not args.no_sound,
    )
    parts = {"annotations", "boxes", "videos"} if "all" in args.what else set(args.what)
    return PrepareSettings(
        folder=args.output_dir,
        mirror=args.mirror,
        parts=frozenset(parts),
        splits=tuple(dict.fromkeys(args.split)),
        videos=_asked_videos(args.videos),
        has_kinetics_lists=args.with_kinetics_lists,
        num_jobs=args.jobs,
        fetch=FetchSettings(
            accepts_changed=args.accept_changed,
            num_tries=args.tries,
            timeout_seconds=args.timeout,
            first_wait_seconds=args.retry_wait,
        ),
        films=FilmSettings(
            cut=cut if args.cut else None,
            deletes_originals=args.delete_originals,
            decodes_fully=args.full_decode,
            rehashes=args.verify,
            num_threads=max(1, (os.cpu_count() or 1) // args.jobs),
        ),
    )


def _asked_videos(text: str | None) -> tuple[str, ...]:
    """Return the ids of `--videos`: with commas, or from a file that exists."""
    if text is None:
        return ()
    if os.path.isfile(text):  # a long list of ids is no path, which pathlib would raise for
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"--videos {text}: cannot be read as text: {error}") from error
    ids = tuple(text.replace(",", " ").split())
    if not ids:
        raise DataError("--videos: names no video")
    return ids


def _print_list(listed: "list[Listed]", folder: Path) -> int:
    for one in listed:
        size = "" if one.num_bytes is None else f"{one.num_bytes / 1e6:,.1f} MB"
        print(f"{size:>14}  {one.path}  {one.state}")
    total = sum(one.num_bytes or 0 for one in listed)
    num_standing = sum(one.state == "stands" for one in listed)
    existing = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    free = shutil.disk_usage(existing).free
    print(
        f"{len(listed)} files, {num_standing} of them stand; {total / 1e9:,.3f} GB to fetch, "
        f"{free / 1e9:,.1f} GB free in {existing}"
    )
    return EXIT_OK if all(one.is_found for one in listed) else EXIT_FAILED


def _what_next(settings: "PrepareSettings") -> list[str]:
    """Return how the videos relate to the config, and the next command."""
    lines, options = [], []
    if settings.folder.resolve() != REPOSITORY / _DEFAULT_DIR:
        options.append(f"dataset.root={settings.folder.resolve()}")
    cut = settings.films.cut
    if "videos" in settings.parts and cut is None:
        lines.append("the films are whole: second 0 of each file is second 0 of the film")
        options += ["dataset.videos=films", "dataset.video_start_seconds=0"]
    elif "videos" in settings.parts and cut is not None:
        start = cut.start_seconds
        is_default = start == _CONFIG_START_SECONDS
        lines.append(
            f"second 0 of each video is second {start:g} of the film, as "
            f"dataset.video_start_seconds {'has it already' if is_default else 'must say'}"
        )
        if not is_default:
            options.append(f"dataset.video_start_seconds={start:g}")
    if settings.has_kinetics_lists:
        lines.append(
            "AVA-Kinetics' lists name clips of Kinetics-700; its videos are yours to bring"
        )
    command = "python tools/check_dataset.py --config x3d_m_ava.yaml"
    return [*lines, f"next: {' '.join([command, *(f'--set {option}' for option in options)])}"]


if __name__ == "__main__":
    sys.exit(main())
