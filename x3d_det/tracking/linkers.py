"""Linkers by name."""

from x3d_det.errors import ConfigError, did_you_mean
from x3d_det.tracking.linker import IouLinker, PersonLinker
from x3d_det.tracking.trackers_adapter import TRACKERS, TrackersLinker

LINKERS = ("iou", *TRACKERS)
"""Ours, and those of the package `trackers`."""


def make_linker(name: str) -> PersonLinker:
    """Return a fresh linker for one video.

    Raises:
        ConfigError: an unknown name, or a package that is not installed.
    """
    if name == "iou":
        return IouLinker()
    if name not in LINKERS:
        raise ConfigError(
            f"there is no tracker {name!r}{did_you_mean(name, LINKERS)}; "
            f"there are {', '.join(LINKERS)}."
        )
    return TrackersLinker(name)
