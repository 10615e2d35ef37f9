"""Small files of each kind that tools/convert_annotations.py reads, and that its options name."""

import json
from pathlib import Path

from x3d_det.io.label_map import LabelMap, write_label_map

AVA = "v,0902,0.100,0.200,0.300,0.400,12,0\nw,0903,0.500,0.250,0.750,0.875,80,1\n"
BOXES = "v,0902,0.100,0.200,0.300,0.400,,0.9\nw,0903,0.500,0.250,0.750,0.875,,0.25\n"
DETECTIONS = "v,0902,0.1,0.2,0.3,0.4,12,0.9\nv,0902,0.1,0.2,0.3,0.4,80,0.125\n"
ACTIONS = LabelMap({12: "stand", 80: "watch"}, {12: "PERSON_MOVEMENT"})

# form -> (text of a small file, in the form that its kind's first reader reads), extra options
SAMPLES = {
    "annotations": ("ava", AVA),
    "person boxes": ("person-boxes", BOXES),
    "detections": ("detections", DETECTIONS),
    "keyframes": ("keyframes", "v,0902\nv,0903\nw,0902\nw,0903\n"),
    "videos": ("file-names", "v.mp4\nw.mkv\n"),
    "frame list": ("frame-list", 'original_vido_id video_id frame_id path labels\n'
                   'v 0 0 v/v_000001.jpg ""\nw 1 0 w/w_000001.jpg ""\n'),
}  # fmt: skip


def write_option_files(folder: Path) -> None:
    """Write the files that options name: a label map, videos, a data set of COCO."""
    write_label_map(ACTIONS, folder / "actions.pbtxt")
    (folder / "videos.txt").write_text("v\nw\n")
    (folder / "v.mp4").touch()
    (folder / "w.mkv").touch()
    image = {"width": 640, "height": 360}
    content = {
        "images": [
            {"id": 1, "file_name": "v/0902.jpg", **image},
            {"id": 2, "file_name": "w/0903.jpg", **image},
        ],
        "annotations": [],
        "categories": [{"id": 1, "name": "person"}],
    }
    (folder / "images.json").write_text(json.dumps(content))
