"""Everybody's files: annotations, person boxes, keyframe and frame lists, read and written."""

from x3d_det.formats.convert import Conversion, convert_file, form_named, form_of
from x3d_det.formats.exports.imported import ImportedAnnotations
from x3d_det.formats.keyframe_lists import read_keyframes
from x3d_det.formats.options import ConvertOptions
from x3d_det.formats.person_boxes import (
    PersonBoxes,
    read_labelled_person_boxes,
    read_person_boxes,
)
from x3d_det.formats.registry import FORMS, Form

__all__ = [
    "FORMS",
    "Conversion",
    "ConvertOptions",
    "Form",
    "ImportedAnnotations",
    "PersonBoxes",
    "convert_file",
    "form_named",
    "form_of",
    "read_keyframes",
    "read_labelled_person_boxes",
    "read_person_boxes",
]
