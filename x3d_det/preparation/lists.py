"""The names of AVA's videos: read from its lists, and chosen by split and by id."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from x3d_det.errors import DataError, did_you_mean
from x3d_det.preparation.catalog import Split

_ENDINGS = frozenset({"mp4", "mkv", "webm", "avi", "mov"})


@dataclass(frozen=True, kw_only=True)
class VideoName:
    """A video of AVA."""

    name: str
    """Its file name; the endings are mixed: mp4, mkv and webm."""
    split: Split

    @property
    def video_id(self) -> str:
        """The name without its last ending; ids may begin with a dash and hold dots."""
        return self.name.rpartition(".")[0]


def read_video_names(path: Path) -> list[str]:
    """Return the file names of a list, one a line.

    Raises:
        DataError: a name that is none or leads elsewhere, or an id that occurs twice.
    """
    names: list[str] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(_lines(path), start=1):
        name = line.strip()
        if not name:
            continue
        video_id, _, ending = name.rpartition(".")
        if not video_id or ending.lower() not in _ENDINGS or "/" in name or "\\" in name:
            raise DataError(
                f"{path}:{number}: {name!r} is no name of a video file; expected an id with one of "
                f"{', '.join(sorted(_ENDINGS))}. Get the list anew."
            )
        if video_id in seen:
            raise DataError(f"{path}:{number}: {video_id} stands on line {seen[video_id]} too.")
        seen[video_id] = number
        names.append(name)
    if not names:
        raise DataError(f"{path}: names no video; get the list anew.")
    return names


def read_video_ids(path: Path) -> set[str]:
    """Return the ids in the first column of a csv or text file."""
    return {line.split(",", 1)[0].strip() for line in _lines(path)} - {""}


def choose_videos(videos: Sequence[VideoName], asked: Iterable[str]) -> list[VideoName]:
    """Return the videos asked for by id or file name, in the order of `videos`; all for none.

    Raises:
        DataError: an id that the lists do not have.
    """
    wanted = set(asked)
    if not wanted:
        return list(videos)
    chosen = [video for video in videos if video.video_id in wanted or video.name in wanted]
    unknown = wanted - {video.video_id for video in chosen} - {video.name for video in chosen}
    if unknown:
        first = min(unknown)
        known = [video.video_id for video in videos]
        raise DataError(
            f"--videos: {first} is none of the {len(known)} videos of the chosen splits"
            f"{did_you_mean(first, known)} ({len(unknown)} such in all). An id that begins with "
            "a dash is written --videos=-5KQ66BBWC4."
        )
    return chosen


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no text: {error.reason} at byte {error.start}.") from error
