"""The same person on one keyframe after another."""

from x3d_det.tracking.linker import IouLinker, PersonLinker
from x3d_det.tracking.linkers import LINKERS, make_linker
from x3d_det.tracking.shots import ShotChanges
from x3d_det.tracking.trackers_adapter import TRACKERS, TrackersLinker

__all__ = [
    "LINKERS",
    "TRACKERS",
    "IouLinker",
    "PersonLinker",
    "ShotChanges",
    "TrackersLinker",
    "make_linker",
]
