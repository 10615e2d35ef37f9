"""Annotation and result files of JHMDB-21, UCF101-24 and MultiSports."""

from x3d_det.formats.tube_files.annotations import read_tube_annotations
from x3d_det.formats.tube_files.dataset import TUBE_DATASETS, TubeDataset, write_tube_dataset
from x3d_det.formats.tube_files.detections import (
    read_frame_detections,
    read_tubes,
    write_tubes,
)

__all__ = [
    "TUBE_DATASETS",
    "TubeDataset",
    "read_frame_detections",
    "read_tube_annotations",
    "read_tubes",
    "write_tube_dataset",
    "write_tubes",
]
