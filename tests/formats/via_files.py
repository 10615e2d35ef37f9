"""Files of VIA 2 and VIA 3 written by hand: projects, marks, images, regions."""

import json

import pytest

from x3d_det.errors import DataError
from x3d_det.formats.exports.imported import ImportOptions
from x3d_det.formats.exports.via import read_via


def read_export(tmp_path, content, **options):
    """Return an export, text or parsed, as imported: 30 frames a second, 200 x 100 pixels."""
    options.setdefault("fps", lambda video_id: 30)
    options.setdefault("frame_size", lambda video_id: (100, 200))
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_via(path, ImportOptions(**options))


def error_of(tmp_path, content, **options):
    """Return the faults of an export; its path is written F."""
    with pytest.raises(DataError) as caught:
        read_export(tmp_path, content, **options)
    return str(caught.value).replace(str(tmp_path / "a.json"), "F")


def project_3(metadata, attributes=None, **files):
    """Return a VIA 3 project of attributes `1` (checkbox) and `2` (track), one file `1` a.mp4."""
    attribute = {
        "1": attribute_3("action", 2, {"1": "sit", "2": "walk", "3": "talk to"}),
        "2": attribute_3("track", 1),
    }
    files = files or {"1": {"fid": 1, "fname": "a.mp4", "type": 4, "loc": 1, "src": ""}}
    return {
        "project": {"pid": "__VIA_PROJECT_ID__", "vid_list": list(files)},
        "config": {},
        "attribute": attribute if attributes is None else attributes,
        "file": files,
        "view": {key: {"fid_list": [int(key)]} for key in files},
        "metadata": metadata,
    }


def attribute_3(name, kind, options=None, anchor="FILE1_Z1_XY1"):
    """Return an attribute of VIA 3; kind 1 is text, 2 checkbox, 3 radio, 4 select."""
    return {
        "aname": name,
        "anchor_id": anchor,
        "type": kind,
        "desc": "",
        "options": options or {},
        "default_option_id": "",
    }


def mark_3(seconds, xy, av, vid="1"):
    """Return what VIA 3 says of a shape or a stretch of time."""
    return {"vid": vid, "flg": 0, "z": seconds, "xy": xy, "av": av}


def project_2(images, attributes):
    """Return a VIA 2 project."""
    return {
        "_via_settings": {},
        "_via_img_metadata": images,
        "_via_attributes": {"region": attributes, "file": {}},
        "_via_data_format_version": "2.0.10",
    }


def image_2(filename, *regions):
    """Return an image of VIA 2 with its regions."""
    return {"filename": filename, "size": -1, "regions": list(regions), "file_attributes": {}}


def region_2(x, y, width, height, attributes, name="rect"):
    """Return a shape of VIA 2 with its attributes."""
    shape = {"name": name, "x": x, "y": y, "width": width, "height": height}
    return {"shape_attributes": shape, "region_attributes": attributes}


ACTION_2 = {"action": {"type": "checkbox", "options": {"s": "sit", "w": "walk", "run": ""}}}
