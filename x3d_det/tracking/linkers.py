"""Linkers by name."""

from x3d_det.errors import ConfigError, did_you_mean
from x3d_det.tracking.linker import IouLinker, PersonLinker
from x3d_det.tracking.trackers_adapter import TRACKERS, TrackersLinker

LINKERS = ("iou", *TRACKERS)
"""Ours, and those of the package `trackers`."""


# A person may be missed once between two keyframes, however far apart those are.
_GAP_KEYFRAMES = 2
_LEAST_GAP_SECONDS = 3.0


def make_linker(name: str, *, spacing_seconds: float = 1.0) -> PersonLinker:
    """Return a fresh linker for one video.

    Args:
        name: one of `LINKERS`.
        spacing_seconds: from one keyframe to the next. A person unseen for two of them, and for
            3 seconds at least, is a new one.

    Raises:
        ConfigError: an unknown name, or a package that is not installed.
    """
    if name == "iou":
        gap_seconds = max(_LEAST_GAP_SECONDS, _GAP_KEYFRAMES * spacing_seconds)
        return IouLinker(max_gap_seconds=gap_seconds)
    if name not in LINKERS:
        raise ConfigError(
            f"there is no tracker {name!r}{did_you_mean(name, LINKERS)}; "
            f"there are {', '.join(LINKERS)}."
        )
    return TrackersLinker(name)
