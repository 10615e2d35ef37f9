"""What is wanted of AVA, and where it would come from."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from x3d_det.errors import DataError
from x3d_det.io.download import DownloadError
from x3d_det.io.remote import Fault, is_web, local_path
from x3d_det.preparation.catalog import (
    Split,
    Wanted,
    annotation_files,
    box_files,
    file_name_list,
    film_file,
    kinetics_files,
    split_annotations,
)
from x3d_det.preparation.fetch import Fetcher, FetchSettings
from x3d_det.preparation.films import FilmSettings, standing_cut
from x3d_det.preparation.lists import VideoName, choose_videos, read_video_ids, read_video_names


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """What to prepare.

    Args:
        folder: of the data set.
        mirror: a folder or base of URLs that has the files; None takes the public ones.
        parts: of "annotations", "boxes", "videos".
        splits: of "train", "val", "test".
        videos: ids or file names; none stands for all of the splits.
        has_kinetics_lists: bring AVA-Kinetics' lists too.
        num_jobs: files at a time.
        fetch: how files are asked for.
        films: what is done with films.
    """

    folder: Path
    mirror: str | None = None
    parts: frozenset[str] = frozenset({"annotations", "boxes", "videos"})
    splits: tuple[Split, ...] = ("train", "val")
    videos: tuple[str, ...] = ()
    has_kinetics_lists: bool = False
    num_jobs: int = 4
    fetch: FetchSettings = field(default_factory=FetchSettings)
    films: FilmSettings = field(default_factory=FilmSettings)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One file, before anything is done."""

    path: str
    """Below the data set's folder."""
    state: str
    """`stands`, where it would come from, or why it cannot."""
    num_bytes: int | None
    """To fetch for it; None where that is not told, or nothing has to come."""
    is_found: bool = True


def list_files(settings: PrepareSettings) -> list[Listed]:
    """Return every file with its state and size, without writing to the folder.

    The lists that name the videos are needed for that; a temporary folder takes them.

    Raises:
        X3DDetError: those lists cannot be had.
    """
    check_mirror(settings.mirror)
    with tempfile.TemporaryDirectory() as scratch:
        fetcher = Fetcher(Path(scratch), settings.fetch, home=settings.folder)
        listed: list[Listed] = []
        archives: set[str] = set()
        for wanted in wanted_lists(settings):
            listed.append(_list_one(wanted, settings.folder, fetcher, archives))
        if "videos" not in settings.parts:
            return listed

        def list_film(video: VideoName) -> Listed:
            cut = standing_cut(settings.folder, video) if settings.films.cut else None
            if cut is not None:
                return Listed(path=cut, state="stands", num_bytes=None)
            film = film_file(video.name, video.split, settings.mirror)
            return _list_one(film, settings.folder, fetcher, archives)

        with ThreadPoolExecutor(settings.num_jobs) as pool:
            return listed + list(pool.map(list_film, wanted_videos(settings, fetcher)))


def check_mirror(mirror: str | None) -> None:
    """Check that a mirror can be one, before each of its files is missed.

    Raises:
        DataError: it is no folder, or a URL of another kind.
    """
    if mirror is None or is_web(mirror):
        return
    try:
        is_folder = local_path(mirror).is_dir()
    except Fault as fault:
        raise DataError(f"{mirror}: {fault}.") from fault
    if not is_folder:
        raise DataError(f"{mirror}: there is no such folder to take files from.")


def wanted_lists(settings: PrepareSettings) -> list[Wanted]:
    """Return all files but the videos."""
    mirror = settings.mirror
    wanted: list[Wanted] = []
    if "annotations" in settings.parts:
        wanted += annotation_files(mirror)
        wanted += [file_name_list(split, mirror) for split in _groups(settings.splits)]
    if settings.has_kinetics_lists:
        wanted += kinetics_files(mirror)
    if "boxes" in settings.parts:
        wanted += box_files(settings.splits, mirror)
    return wanted


def _groups(splits: Sequence[Split]) -> list[Split]:
    """Return one split for each list of file names that is needed."""
    groups: list[Split] = ["train"] if {"train", "val"} & set(splits) else []
    return [*groups, "test"] if "test" in splits else groups


def wanted_videos(settings: PrepareSettings, fetcher: Fetcher) -> list[VideoName]:
    """Return the videos; the lists that name them come from the folder, or are fetched.

    Raises:
        X3DDetError: a list cannot be had or read, or lacks a video that is asked for.
    """
    videos: list[VideoName] = []
    for group in _groups(settings.splits):
        names = read_video_names(
            _list_path(file_name_list(group, settings.mirror), settings.folder, fetcher)
        )
        if group == "test" or {"train", "val"} <= set(settings.splits):
            videos += [VideoName(name=name, split=group) for name in names]
            continue
        split: Split = "train" if "train" in settings.splits else "val"
        of_split = read_video_ids(
            _list_path(split_annotations(split, settings.mirror), settings.folder, fetcher)
        )
        found = [VideoName(name=name, split=split) for name in names]
        videos += [video for video in found if video.video_id in of_split]
    return choose_videos(videos, settings.videos)


def _list_path(wanted: Wanted, folder: Path, fetcher: Fetcher) -> Path:
    for place in (folder, fetcher.folder):
        if (place / wanted.path).is_file():
            return place / wanted.path
    fetcher.fetch(wanted)
    return fetcher.folder / wanted.path


def _list_one(wanted: Wanted, folder: Path, fetcher: Fetcher, archives: set[str]) -> Listed:
    if (folder / wanted.path).is_file():
        return Listed(path=wanted.path, state="stands", num_bytes=None)
    try:
        place = fetcher.locate(wanted)
    except DownloadError as error:
        state = f"not found: {error}"
        return Listed(path=wanted.path, state=state, num_bytes=None, is_found=False)
    url = place.source.url
    if place.source.member is None:
        return Listed(path=wanted.path, state=url, num_bytes=place.num_bytes)
    size = None if url in archives else place.num_bytes  # an archive is fetched once
    archives.add(url)
    return Listed(path=wanted.path, state=f"in {url}", num_bytes=size)
