"""CVAT's exports written by hand: tasks, tracks, boxes, images."""

import pytest

from x3d_det.errors import DataError
from x3d_det.formats.exports.cvat import read_cvat
from x3d_det.formats.exports.imported import ImportOptions


def fps_of(rate):
    """Return a rate as `ImportOptions` has it: of any video."""
    return lambda video_id: rate


def label_xml(name, *attributes):
    """Return a label of the task with its attributes."""
    return f"<label><name>{name}</name><attributes>{''.join(attributes)}</attributes></label>"


def attribute_xml(name, kind, values=""):
    """Return an attribute that a label may have: checkbox, select, text."""
    return (
        f"<attribute><name>{name}</name><mutable>True</mutable><input_type>{kind}</input_type>"
        f"<default_value></default_value><values>{values}</values></attribute>"
    )


def task_xml(labels="", *, stop=60, extra="", source="clip.mp4", size="<width>200</width>"):
    """Return a task of 61 frames of 200 x 100 pixels for `<meta>`."""
    return (
        f"<task><id>7</id><name>my task</name><size>61</size><mode>interpolation</mode>"
        f"<start_frame>0</start_frame><stop_frame>{stop}</stop_frame>{extra}"
        f"<labels>{labels}</labels><original_size>{size}<height>100</height></original_size>"
        f"<source>{source}</source></task>"
    )


def export_xml(meta, body=""):
    """Return a whole export."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        f"<meta>{meta}<dumped>2024</dumped></meta>\n{body}\n</annotations>\n"
    )


def box_xml(frame, corners, *, outside=0, key=1, inside=""):
    """Return a box of a track, one line."""
    x1, y1, x2, y2 = corners
    return (
        f'<box frame="{frame}" keyframe="{key}" outside="{outside}" occluded="0" xtl="{x1}" '
        f'ytl="{y1}" xbr="{x2}" ybr="{y2}" z_order="0">{inside}</box>\n'
    )


def track_xml(track_id, label, *boxes, more=""):
    """Return a track."""
    return f'<track id="{track_id}" label="{label}" source="manual"{more}>{"".join(boxes)}</track>'


def value_xml(name, value):
    """Return what a box says of an attribute."""
    return f'<attribute name="{name}">{value}</attribute>'


def read_export(tmp_path, text, **options):
    """Return an export as it is imported, at 30 frames a second unless told otherwise."""
    options.setdefault("fps", fps_of(30))
    path = tmp_path / "a.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_cvat(path, ImportOptions(**options))


def error_of(tmp_path, text, **options):
    """Return the faults of an export; its path is written F."""
    with pytest.raises(DataError) as caught:
        read_export(tmp_path, text, **options)
    return str(caught.value).replace(str(tmp_path / "a.xml"), "F")


WALK_RUN = label_xml("walk") + label_xml("run")
IMAGES = (
    '<image id="0" name="frame_000000" width="200" height="100">'
    '<box label="run" occluded="0" xtl="0" ytl="0" xbr="20" ybr="20" z_order="0"></box></image>'
    '<image id="15" name="frame_000015" width="200" height="100">'
    '<box label="walk" occluded="0" xtl="0" ytl="0" xbr="20" ybr="20"></box></image>'
    '<image id="30" name="frame_000030" width="400" height="100">'
    '<box label="walk" occluded="0" xtl="0" ytl="0" xbr="20" ybr="20"></box></image>'
    '<image id="60" name="frame_000060" width="200" height="100"></image>'
)
