"""Where the frames of a film come from: video files or folders of images.

Seconds here are of the film, as in AVA's files; a source knows at which second of
the film its files start. Shape suffix: T frames.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from x3d_det.errors import DataError, VideoError
from x3d_det.io.film_time import FilmTime
from x3d_det.io.frame_folder import FrameFolderReader
from x3d_det.io.video import DEFAULT_MAX_PIXELS, DecodedClip, read_frames_at

VIDEO_EXTENSIONS = ("mp4", "mkv", "webm", "avi", "mov")


class FrameSource(Protocol):
    """Whatever can show the frames of a film."""

    def read(
        self,
        video_id: str,
        seconds_T: np.ndarray,
        *,
        required_seconds: Sequence[float] | np.ndarray = (),
    ) -> DecodedClip:
        """Return the frames at these seconds of the film; `required_seconds` must exist."""
        ...

    def has_video(self, video_id: str) -> bool:
        """Return whether there is a file or folder for the video."""
        ...

    def describe(self, video_id: str) -> str:
        """Return where the video is, or was looked for."""
        ...


class VideoFolder:
    """Films as video files of one folder, named `<video_id>.<extension>`.

    Args:
        folder: the folder; listed once, here.
        extensions: allowed endings, without dot, either case; where a video has two files
            the ending named first counts.
        paths: further files by video id; they count before those of the folder.
        video_start_seconds: second of the film that every file starts with (AVA's cuts: 900).
        video_starts: the same for single videos, by video id.
        num_threads: decoder threads a read.
        max_pixels: largest width times height.

    Raises:
        VideoError: `folder` is no folder.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        extensions: Sequence[str] = VIDEO_EXTENSIONS,
        paths: Mapping[str, Path] | None = None,
        video_start_seconds: float = 900.0,
        video_starts: Mapping[str, float] | None = None,
        num_threads: int = 1,
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        self.folder = Path(folder)
        self.extensions = tuple(extension.lower() for extension in extensions)
        self.time = FilmTime(start_seconds=video_start_seconds, starts=video_starts or {})
        self._num_threads = num_threads
        self._max_pixels = max_pixels
        self._paths = {**self._listed(), **(paths or {})}

    def read(
        self,
        video_id: str,
        seconds_T: np.ndarray,
        *,
        required_seconds: Sequence[float] | np.ndarray = (),
    ) -> DecodedClip:
        """Return the frames at these seconds of the film.

        Raises:
            VideoError: there is no such file, or it cannot show these seconds.
        """
        if video_id not in self._paths:
            raise VideoError(f"{self.describe(video_id)}: there is no such video file.")
        start_seconds = self.time.start_of(video_id)
        return read_frames_at(
            self._paths[video_id],
            np.asarray(seconds_T) - start_seconds,
            required_seconds=np.asarray(required_seconds) - start_seconds,
            num_threads=self._num_threads,
            max_pixels=self._max_pixels,
        )

    def has_video(self, video_id: str) -> bool:
        """Return whether the video had a file when the folder was listed."""
        return video_id in self._paths

    def describe(self, video_id: str) -> str:
        """Return the video's path, or the path with the endings that were looked for."""
        if video_id in self._paths:
            return str(self._paths[video_id])
        return f"{self.folder / video_id}.{{{','.join(self.extensions)}}}"

    def _listed(self) -> dict[str, Path]:
        try:
            entries = sorted(self.folder.iterdir())
        except OSError as error:
            raise VideoError(
                f"{self.folder}: no folder of videos: {error.strerror or error}."
            ) from error
        found: dict[str, Path] = {}
        for extension in reversed(self.extensions):  # the first named is written last
            for path in entries:
                if path.suffix.lower() == f".{extension}":
                    found[path.stem] = path
        return found


class FrameFolder:
    """Films as folders of images.

    Args:
        reader: the folders.
        video_start_seconds: second of the film that the first image shows.
        video_starts: the same for single videos, by video id.
    """

    def __init__(
        self,
        reader: FrameFolderReader,
        *,
        video_start_seconds: float = 900.0,
        video_starts: Mapping[str, float] | None = None,
    ) -> None:
        self.reader = reader
        self.time = FilmTime(start_seconds=video_start_seconds, starts=video_starts or {})

    def read(
        self,
        video_id: str,
        seconds_T: np.ndarray,
        *,
        required_seconds: Sequence[float] | np.ndarray = (),
    ) -> DecodedClip:
        """Return the images at these seconds of the film.

        Raises:
            VideoError: there is no such folder, or it cannot show these seconds.
        """
        start_seconds = self.time.start_of(video_id)
        return self.reader.read_frames_at(
            video_id,
            np.asarray(seconds_T) - start_seconds,
            required_seconds=np.asarray(required_seconds) - start_seconds,
        )

    def has_video(self, video_id: str) -> bool:
        """Return whether the video has a folder."""
        return self.reader.has_video(video_id)

    def describe(self, video_id: str) -> str:
        """Return the video's folder."""
        return str(self.reader.folder / video_id)


def missing_videos(source: FrameSource, video_ids: Collection[str]) -> list[str]:
    """Return the videos without file or folder, sorted, each once."""
    return sorted(video_id for video_id in set(video_ids) if not source.has_video(video_id))


def check_videos(source: FrameSource, video_ids: Collection[str], *, num_named: int = 10) -> None:
    """Raise one error that names the videos without file or folder, before any work is done.

    Raises:
        DataError: at least one is missing; the first `num_named` are named, all are counted.
    """
    missing = missing_videos(source, video_ids)
    if missing:
        named = ", ".join(missing[:num_named]) + (", ..." if len(missing) > num_named else "")
        raise DataError(
            f"{len(missing)} of {len(set(video_ids))} videos are missing: {named}; looked for "
            f"{source.describe(missing[0])} and so on. Add them, or take their rows out of the csv."
        )
