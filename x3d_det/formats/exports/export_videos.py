"""The videos of an export: their ids, frame rates and frame sizes.

A fault of a video is told once; whatever needs the video again raises `AlreadyTold`.
"""

from collections.abc import Callable
from typing import TypeVar

from x3d_det.errors import X3DDetError
from x3d_det.formats.exports.imported import ImportOptions
from x3d_det.formats.exports.keyframes import KeyframeClock
from x3d_det.formats.foreign_files import AlreadyTold, FileFault, short

T = TypeVar("T")

MAX_FPS = 1000
MAX_SIDE_PX = 100_000

_INTERVAL_SECONDS = 1.0
"""Of keyframes, where the options leave it to the format."""


class ExportVideos:
    """Tells what is known of each video: from the export, else from the caller.

    Args:
        options: of the import.

    Raises:
        FileFault: the caller's video id is none that AVA's files can carry.
    """

    def __init__(self, options: ImportOptions) -> None:
        if options.video_id is not None:
            _check_name(options.video_id, "")
        self._options = options
        self._ids: dict[str, str | None] = {}
        self._clocks: dict[str, KeyframeClock | None] = {}
        self._sizes: dict[str, tuple[float, float] | None] = {}

    def id_of(self, name: str, place: str) -> str:
        """Return the id of the video that the export names so.

        Raises:
            FileFault: the name cannot be an id in AVA's files, or the caller gave one id
                and this is the export's second video; raised once, then `AlreadyTold`.
        """
        given = self._options.video_id
        if name not in self._ids:
            self._ids[name] = None
            others = [other for other in self._ids if other != name]
            if given is None:
                _check_name(name, place)
            elif others:
                raise FileFault(
                    place,
                    f"the export holds a second video, {short(name)} after {short(others[0])}, "
                    f"and one video id ({given}) was given; export one video at a time, or "
                    "leave --video-id out.",
                )
            self._ids[name] = name if given is None else given
        video_id = self._ids[name]
        if video_id is None:
            raise AlreadyTold()
        return video_id

    def clock(self, video_id: str, place: str, *, stated_fps: float | None = None) -> KeyframeClock:
        """Return the clock of a video.

        Args:
            video_id: the video.
            place: for the fault.
            stated_fps: the rate that the export states.

        Raises:
            FileFault: no usable rate is known; raised once for a video, then `AlreadyTold`.
        """
        if video_id not in self._clocks:
            self._clocks[video_id] = None
            fps = stated_fps
            if fps is None:
                fps = float(self._ask("frame rate", "--fps", self._options.fps, video_id, place))
            chosen = self._options.keyframe_interval_seconds
            interval = _INTERVAL_SECONDS if chosen is None else chosen
            _check_clock(fps, interval, video_id, place)
            self._clocks[video_id] = KeyframeClock(fps, interval)
        clock = self._clocks[video_id]
        if clock is None:
            raise AlreadyTold()
        return clock

    def size(
        self, video_id: str, place: str, *, stated: tuple[float, float] | None = None
    ) -> tuple[float, float]:
        """Return (height, width) of a video's frames: as stated, or as the caller knows.

        Args:
            video_id: the video.
            place: for the fault.
            stated: (height, width) in pixels that the export states, checked here.

        Raises:
            FileFault: no usable size is known; raised once for a video, then `AlreadyTold`.
        """
        if stated is not None:
            return _checked_size(stated, place)
        if video_id not in self._sizes:
            self._sizes[video_id] = None
            source = self._options.frame_size
            found = self._ask("frame size", "--frame-size", source, video_id, place)
            self._sizes[video_id] = _checked_size(found, place)
        size = self._sizes[video_id]
        if size is None:
            raise AlreadyTold()
        return size

    def _ask(
        self, what: str, option: str, source: Callable[[str], T] | None, video_id: str, place: str
    ) -> T:
        if source is None:
            raise FileFault(
                place,
                f"the export does not state the {what} of video {video_id}; give it with "
                f"{option}, or the folder of the videos with --videos.",
            )
        try:
            return source(video_id)
        except X3DDetError as error:
            raise FileFault(place, str(error)) from error


def _check_name(name: str, place: str) -> None:
    if not name:
        raise FileFault(place, "the export does not name its video; give --video-id.")
    bad = next((bad for bad in ("/", "\\", "..", "\0", '"', ",", "\n", "\r") if bad in name), "")
    if bad or name != name.strip():
        what = repr(bad) if bad else "blanks at its ends"
        raise FileFault(
            place,
            f"the video's name {short(name)} holds {what}, which AVA's files cannot carry; "
            "rename the video, or give --video-id.",
        )


def _check_clock(fps: float, interval_seconds: float, video_id: str, place: str) -> None:
    if not 0 < fps <= MAX_FPS:
        raise FileFault(
            place,
            f"the frame rate of video {video_id} is {fps}; it must be above 0 and at "
            f"most {MAX_FPS}.",
        )
    if 0 < interval_seconds < 1 / fps:
        raise FileFault(
            place,
            f"keyframes every {interval_seconds} s are closer than the frames of video "
            f"{video_id} ({fps:g} a second); 0 makes every annotated frame a keyframe.",
        )


def _checked_size(size: tuple[float, float], place: str) -> tuple[float, float]:
    height, width = size
    if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
        raise FileFault(
            place,
            f"the frame is {width:g} x {height:g} pixels; each side must be above 0 and at most "
            f"{MAX_SIDE_PX:,}.",
        )
    return float(height), float(width)
