"""The same person on one keyframe after another."""

from x3d_det.tracking.linker import IouLinker, PersonLinker
from x3d_det.tracking.shots import ShotChanges
from x3d_det.tracking.trackers_adapter import TRACKERS, TrackersLinker

__all__ = ["TRACKERS", "IouLinker", "PersonLinker", "ShotChanges", "TrackersLinker"]
