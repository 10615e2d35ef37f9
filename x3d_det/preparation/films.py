"""Films: looked at, fetched, and cut, one after the other, each to its end or not at all."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from x3d_det.errors import DataError, VideoError
from x3d_det.io.remote import is_web, local_path
from x3d_det.io.video import DEFAULT_MAX_PIXELS, VideoInfo, probe_video
from x3d_det.io.video_file import VideoFile, frame_duration_seconds, frames_from
from x3d_det.preparation.catalog import CUTS_FOLDER, FILMS_FOLDER, KNOWN_TROUBLE, Wanted, film_file
from x3d_det.preparation.cut import Cut, CutSettings, cut_film
from x3d_det.preparation.fetch import Fetcher, Place
from x3d_det.preparation.lists import VideoName
from x3d_det.preparation.manifest import Manifest, Record

_BY_HAND = "by hand"
_TRUNCATED_SECONDS = 0.5
_VIDEO_ENDINGS = (".mp4", ".mkv", ".webm", ".avi", ".mov")

Share = Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class FilmSettings:
    """What is done with films.

    Args:
        cut: how they are cut; None keeps them whole.
        deletes_originals: remove a film once its cut stands; a mirror's own files never.
        decodes_fully: decode every frame of a film before it is trusted.
        rehashes: read recorded files again in place of comparing size and date.
        num_threads: of decoder and encoder, for one film.
    """

    cut: CutSettings | None = None
    deletes_originals: bool = False
    decodes_fully: bool = False
    rehashes: bool = False
    num_threads: int = 1


def count_frames(path: Path, *, num_threads: int = 1) -> int:
    """Return how many frames a video has, by decoding all of it.

    Raises:
        VideoError: it is damaged, or ends before its header says.
    """
    with VideoFile(path, max_pixels=DEFAULT_MAX_PIXELS, num_threads=num_threads) as video:
        num_frames, ends = 0, 0.0
        for seconds, frame in frames_from(video, 0.0):
            num_frames += 1
            ends = seconds + frame_duration_seconds(video, frame)
        promised = video.duration_seconds
        if not num_frames:
            raise VideoError(f"{path}: no picture could be decoded from it.")
        if promised is not None and ends + _TRUNCATED_SECONDS < promised:
            raise VideoError(
                f"{path}: is truncated: its last frame ends at second {ends:.3f}, its header "
                f"promises {promised:.3f}."
            )
    return num_frames


def standing_cut(folder: Path, video: VideoName) -> str | None:
    """Return the path, below the folder, of a video that is no whole film; None without one."""
    names = (f"{CUTS_FOLDER}/{video.video_id}{ending}" for ending in _VIDEO_ENDINGS)
    return next((name for name in names if (folder / name).is_file()), None)


class Films:
    """The films of a data set's folder and their cuts.

    Args:
        fetcher: for the folder.
        manifest: of the folder.
        settings: what is done.
        mirror: a folder or base of URLs to get films from; None takes the public one.
    """

    def __init__(
        self, fetcher: Fetcher, manifest: Manifest, settings: FilmSettings, *, mirror: str | None
    ) -> None:
        self._fetcher = fetcher
        self._folder = fetcher.folder
        self._manifest = manifest
        self._settings = settings
        self._mirror = mirror

    def wanted(self, video: VideoName) -> Wanted:
        """Return a film as a file to fetch."""
        return film_file(video.name, video.split, self._mirror)

    def is_done(self, video: VideoName) -> bool:
        """Return whether what is asked for stands already; raise where it is another file.

        Raises:
            DataError: a file changed since it was noted, or a cut was made in another way.
            VideoError: a file that was put there by hand and is no video.
        """
        if self._settings.cut is None:
            return self._standing_film(video) is not None
        if self._standing_cut(video) is None:
            return False
        self._delete_original(self._folder / self.wanted(video).path)  # a kill may have come first
        return True

    def prepare(self, video: VideoName, place: Place | None, share: Share) -> list[str]:
        """Get a film, and cut it where that is asked for; return what is worth knowing.

        Args:
            video: which.
            place: where it is; None where it stands, whole, in the folder.
            share: called with what is done of it, in [0, 1].

        Raises:
            X3DDetError: it cannot be had, or not cut; nothing stands under its name then.
        """
        cut = self._settings.cut
        weight = 1.0 if cut is None else 0.5
        film = self._film(video, place, lambda done: share(weight * done))
        if cut is None:
            return []
        return self._cut(video, film, cut, lambda done: share(0.5 + 0.5 * done))

    def place(self, video: VideoName) -> Place | None:
        """Return where a film has to come from; None where it stands, whole, in the folder.

        Raises:
            DownloadError: nobody has it.
            DataError, VideoError: as `is_done`.
        """
        if self._standing_film(video) is not None:
            return None
        return self._fetcher.locate(self.wanted(video))

    def bytes_to_come(self, video: VideoName, place: Place | None) -> int:
        """Return how much a film will still take of the disk, its cut not counted."""
        if place is None or self._is_cut_in_place(place):
            return 0
        had = self._fetcher.num_staged_bytes(self.wanted(video), place)
        return max((place.num_bytes or 0) - had, 0)

    def _is_cut_in_place(self, place: Place) -> bool:
        """Return whether a film is cut where it lies: a copy would only cost disk."""
        return self._settings.cut is not None and not is_web(place.source.url)

    def _film(self, video: VideoName, place: Place | None, share: Share) -> Path:
        """Return the path of a whole, checked film."""
        wanted = self.wanted(video)
        if place is None:
            return self._folder / wanted.path
        if self._is_cut_in_place(place):
            path = local_path(place.source.url)
            self._look(path)
            return path
        num_frames: list[int | None] = []
        origin = self._fetcher.fetch(
            wanted,
            progress=lambda had, total: share(had / total if total else 0.0),
            check=lambda staged: num_frames.append(self._look(staged)),
        )
        self._manifest.record(wanted.path, origin=origin, num_frames=num_frames[-1])
        return self._folder / wanted.path

    def _look(self, path: Path) -> int | None:
        """Raise VideoError where a film cannot be used; count its frames where that is asked."""
        if self._settings.decodes_fully:
            return count_frames(path, num_threads=self._settings.num_threads)
        probe_video(path)
        return None

    def _standing_film(self, video: VideoName) -> Record | None:
        name = self.wanted(video).path
        record = self._manifest.check(name, rehash=self._settings.rehashes)
        if not (self._folder / name).is_file():
            return None
        lacks_count = record is not None and record.num_frames is None
        if record is None or (lacks_count and self._settings.decodes_fully):
            num_frames = self._look(self._folder / name)
            origin = _BY_HAND if record is None else record.origin
            record = self._manifest.record(name, origin=origin, num_frames=num_frames)
        return record

    def _standing_cut(self, video: VideoName) -> Record | None:
        """Return the record of a cut that is as asked for, or of a file put there by hand."""
        name = standing_cut(self._folder, video)
        if name is None:
            return None
        record = self._manifest.check(name, rehash=self._settings.rehashes)
        if record is None:
            num_frames = self._look(self._folder / name)
            return self._manifest.record(name, origin=_BY_HAND, num_frames=num_frames)
        self._check_same_settings(name, record)
        return record

    def _check_same_settings(self, name: str, record: Record) -> None:
        cut = self._settings.cut
        assert cut is not None
        if record.cut is None:  # put there by hand: taken as it is
            return
        made = record.cut["settings"]
        assert isinstance(made, dict)
        for key, value in cut.as_dict().items():
            if made[key] != value:
                raise DataError(
                    f"{self._folder / name}: was cut with {key} = {made[key]}, now {value} is "
                    "asked for. Delete it to have it cut anew, or give the old value."
                )

    def _cut(self, video: VideoName, film: Path, settings: CutSettings, share: Share) -> list[str]:
        name = f"{CUTS_FOLDER}/{video.video_id}.mp4"
        notes = [KNOWN_TROUBLE[video.video_id]] if video.video_id in KNOWN_TROUBLE else []
        notes += _about(probe_video(film), settings)

        def record(temporary: Path, cut: Cut) -> None:
            if cut.ends_early:
                last = settings.start_seconds + cut.last_seconds
                notes.append(f"the film ends at second {last:.1f}, before {settings.end_seconds:g}")
            # Noted before it is named: a kill between the two leaves a note without a file,
            # which is nothing, and never a file of which nobody knows how it was made.
            self._manifest.record(
                name,
                origin=str(film),
                file=temporary,
                num_frames=cut.num_frames,
                cut={
                    "settings": settings.as_dict(),
                    "first_seconds": 0.0,
                    "last_seconds": cut.last_seconds,
                    "notes": notes,
                },
            )

        cut_film(
            film,
            self._folder / name,
            settings,
            progress=share,
            before_naming=record,
            num_threads=self._settings.num_threads,
        )
        self._delete_original(film)
        return notes

    def _delete_original(self, film: Path) -> None:
        if self._settings.deletes_originals and film.parent == self._folder / FILMS_FOLDER:
            film.unlink(missing_ok=True)


def _about(info: VideoInfo, settings: CutSettings) -> list[str]:
    """Return what a film has that its cut shows in another way."""
    notes = []
    if info.rotation_degrees:
        notes.append(
            f"the film is marked as turned; its cut is upright, {info.width}x{info.height}"
        )
    if settings.short_side is None and (info.width % 2 or info.height % 2):
        notes.append(
            f"{info.width}x{info.height} is odd: encoded as yuv444p, which browsers do not play"
        )
    if settings.short_side is not None:
        notes.append(f"scaled from {info.width}x{info.height} to short side {settings.short_side}")
    return notes
