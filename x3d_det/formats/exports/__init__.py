"""Exports of annotation tools, read into AVA's form: CVAT, VIA, COCO with videos."""

from x3d_det.formats.exports.coco_video import read_coco_video
from x3d_det.formats.exports.cvat import read_cvat
from x3d_det.formats.exports.imported import ImportedAnnotations, ImportOptions, ImportReader
from x3d_det.formats.exports.via import read_via

__all__ = [
    "ImportOptions",
    "ImportReader",
    "ImportedAnnotations",
    "read_coco_video",
    "read_cvat",
    "read_via",
]
