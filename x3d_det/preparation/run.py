"""The whole preparation of AVA: finding out what stands, and bringing the rest."""

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from x3d_det.errors import DataError, X3DDetError
from x3d_det.io.files import remove_stale_temporaries
from x3d_det.preparation.catalog import CUTS_FOLDER, Wanted
from x3d_det.preparation.fetch import STAGING_FOLDER, Fetcher, Place, check_content
from x3d_det.preparation.films import Films
from x3d_det.preparation.lists import VideoName
from x3d_det.preparation.manifest import Manifest
from x3d_det.preparation.meter import Meter
from x3d_det.preparation.plan import PrepareSettings, check_mirror, wanted_lists, wanted_videos
from x3d_det.progress import ProgressLine

_MB = 1e6


@dataclass(kw_only=True)
class Report:
    """What stands at the end, by kind, and what went wrong."""

    num_wanted: dict[str, int] = field(default_factory=dict)
    num_standing: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """`path: reason` of what a data set needs."""
    notes: list[str] = field(default_factory=list)

    def count(self, kind: str, *, stands: bool) -> None:
        """Note one file."""
        self.num_wanted[kind] = self.num_wanted.get(kind, 0) + 1
        self.num_standing[kind] = self.num_standing.get(kind, 0) + stands

    def lines(self) -> list[str]:
        """Return it as text, a line each."""
        lines = [
            f"{kind}: {self.num_standing[kind]} of {number}"
            for kind, number in self.num_wanted.items()
        ]
        lines += [f"note: {note}" for note in self.notes]
        return lines + [f"missing: {reason}" for reason in self.missing]


def prepare(settings: PrepareSettings) -> Report:
    """Bring everything that is wanted to the folder, and check what stands there.

    Killed at any time, the next call goes on: finished files are recognised by the manifest,
    unfinished ones resume, and nothing unfinished has a final name.

    Args:
        settings: what, and how.

    Raises:
        X3DDetError: the lists of videos cannot be had, the disk is too small, or another process
            is at this folder. A single file that cannot be had is in the report.
    """
    check_mirror(settings.mirror)
    with _only_process(settings.folder):
        for name in ("", CUTS_FOLDER, STAGING_FOLDER):
            remove_stale_temporaries(settings.folder / name)
        run = _Run(settings)
        try:
            run.lists()
            if "videos" in settings.parts:
                run.videos()
        finally:
            run.fetcher.remove_staging()
        return run.report


class _Run:
    def __init__(self, settings: PrepareSettings) -> None:
        self.settings = settings
        self.report = Report()
        self.fetcher = Fetcher(settings.folder, settings.fetch)
        self._manifest = Manifest(settings.folder)
        self._films = Films(self.fetcher, self._manifest, settings.films, mirror=settings.mirror)
        self._kind = "videos" if settings.films.cut else "whole films"

    def lists(self) -> None:
        """Bring annotations and boxes, one after the other: they are small."""
        for wanted in wanted_lists(self.settings):
            kind = "person boxes" if wanted.form == "person boxes" else "annotations"
            try:
                self._bring_list(wanted)
            except X3DDetError as error:
                if wanted.is_required:
                    self.report.count(kind, stands=False)
                    self.report.missing.append(str(error))
                else:
                    self.report.notes.append(f"training does not need it: {error}")
            else:
                self.report.count(kind, stands=True)

    def _bring_list(self, wanted: Wanted) -> None:
        path = self.settings.folder / wanted.path
        if not path.exists():
            with ProgressLine(wanted.name, None, unit="MB", decimals=1) as line:
                origin = self.fetcher.fetch(wanted, progress=_megabytes(line))
            self._manifest.record(wanted.path, origin=origin)
        elif self._manifest.check(wanted.path, rehash=self.settings.films.rehashes) is None:
            accepts = self.settings.fetch.accepts_changed
            check_content(path, wanted, accepts_changed=accepts)
            self._manifest.record(wanted.path, origin="by hand")

    def videos(self) -> None:
        """Bring the films, several at a time, and cut each as soon as it is there."""
        places = self._places(wanted_videos(self.settings, self.fetcher))
        self._check_space(places)
        if places:
            self._work(places)

    def _places(self, videos: list[VideoName]) -> dict[VideoName, Place | None]:
        """Return where each film that is still to be done is; None where it is in the folder."""

        def look(video: VideoName) -> tuple[bool, Place | None]:
            is_done = self._films.is_done(video)
            return is_done, None if is_done else self._films.place(video)

        places: dict[VideoName, Place | None] = {}
        with (
            _threads(self.settings.num_jobs) as pool,
            ProgressLine("looking for videos", len(videos), unit="videos") as line,
        ):
            looks = [pool.submit(look, video) for video in videos]
            for number, (video, future) in enumerate(zip(videos, looks, strict=True), start=1):
                try:
                    is_done, place = future.result()
                except X3DDetError as error:
                    self._fail(str(error))
                else:
                    if is_done:
                        self.report.count(self._kind, stands=True)
                    else:
                        places[video] = place
                line.update(number)
        return places

    def _check_space(self, places: dict[VideoName, Place | None]) -> None:
        """Raise before the first byte where the films cannot all stand on the disk."""
        if self.settings.films.deletes_originals:
            return
        needed = sum(self._films.bytes_to_come(*item) for item in places.items())
        free = shutil.disk_usage(self.settings.folder).free
        if needed > free:
            raise DataError(
                f"{self.settings.folder}: {needed / 1e9:,.1f} GB are to come and "
                f"{free / 1e9:,.1f} GB are free. Choose another --output-dir or fewer --videos, or "
                "give --cut --delete-originals, which keeps one whole film a job."
            )

    def _work(self, places: dict[VideoName, Place | None]) -> None:
        with self._meter(places) as meter, _threads(self.settings.num_jobs) as pool:
            futures = {
                pool.submit(self._films.prepare, video, place, meter.of(video)): video
                for video, place in places.items()
            }
            try:
                for future in as_completed(futures):
                    self._finish(futures[future], future.result)
                    meter.finish(futures[future])
            except BaseException:  # Ctrl-C: running films stop at their next piece
                meter.stop()
                raise

    def _meter(self, places: dict[VideoName, Place | None]) -> Meter:
        """Return a meter in films where they are cut, of which fetching is half; else in MB."""
        if self.settings.films.cut is not None:
            return Meter("videos", dict.fromkeys(places, 1.0), unit="videos")
        sizes = {video: place and place.num_bytes for video, place in places.items()}
        return Meter(
            "films", {video: (size or 0) / _MB for video, size in sizes.items()}, unit="MB"
        )

    def _finish(self, video: VideoName, result: Callable[[], list[str]]) -> None:
        try:
            notes = result()
        except X3DDetError as error:
            self._fail(str(error))
            return
        self.report.count(self._kind, stands=True)
        self.report.notes += [f"{video.video_id}: {note}" for note in notes]

    def _fail(self, reason: str) -> None:
        self.report.count(self._kind, stands=False)
        self.report.missing.append(reason)


def _megabytes(line: ProgressLine) -> Callable[[int, int | None], None]:
    return lambda had, total: line.update(had / _MB, total=None if total is None else total / _MB)


@contextlib.contextmanager
def _threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool that forgets its waiting work after an error."""
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _only_process(folder: Path) -> Iterator[None]:
    """Keep a second process out of the folder."""
    with open(folder / ".prepare.lock", "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                f"{folder}: another process prepares this folder; wait for it, or stop it."
            ) from error
        yield
