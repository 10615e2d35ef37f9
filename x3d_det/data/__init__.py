"""Keyframes of films as batches for a model."""

from x3d_det.data.ava import AvaDataset, AvaSample
from x3d_det.data.batch import (
    AvaBatch,
    BatchLoader,
    EvalBatchSampler,
    TrainBatchSampler,
    collate_samples,
    make_loader,
)
from x3d_det.data.clips import FrameFolder, FrameSource, VideoFolder, check_videos, missing_videos
from x3d_det.data.proposals import BoxCounts, BoxTable, evaluation_boxes, training_boxes
from x3d_det.data.transforms import EvalTransform, TrainTransform
from x3d_det.data.views import View, all_views

__all__ = [
    "AvaBatch",
    "AvaDataset",
    "AvaSample",
    "BatchLoader",
    "BoxCounts",
    "BoxTable",
    "EvalBatchSampler",
    "EvalTransform",
    "FrameFolder",
    "FrameSource",
    "TrainBatchSampler",
    "TrainTransform",
    "VideoFolder",
    "View",
    "all_views",
    "check_videos",
    "collate_samples",
    "evaluation_boxes",
    "make_loader",
    "missing_videos",
    "training_boxes",
]
