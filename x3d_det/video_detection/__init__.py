"""A video in, the actions of everybody in it out: decoding, persons and X3D at the same time."""

from x3d_det.video_detection.detector import ActionDetector, Detections
from x3d_det.video_detection.frames import ShownFrame, SourceInfo, VideoSource
from x3d_det.video_detection.options import PipelineOptions
from x3d_det.video_detection.persons import boxes_by_second, read_given_boxes
from x3d_det.video_detection.pipeline import Progress, StageTimes
from x3d_det.video_detection.request import Request
from x3d_det.video_detection.results import KeyframeActions, PersonActions, ScoredAction

__all__ = [
    "ActionDetector",
    "Detections",
    "KeyframeActions",
    "PersonActions",
    "PipelineOptions",
    "Progress",
    "Request",
    "ScoredAction",
    "ShownFrame",
    "SourceInfo",
    "StageTimes",
    "VideoSource",
    "boxes_by_second",
    "read_given_boxes",
]
