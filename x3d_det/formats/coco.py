"""Annotations as COCO json: one annotation for each box and action, categories are actions.

An image without annotations is an empty keyframe; `track_id` is the person id. The files
load in pycocotools. Its rules are those of COCO's data format page: boxes are x, y, width,
height in pixels, ids of categories are arbitrary whole numbers.
"""

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from x3d_det.errors import DataError
from x3d_det.formats.coco_images import (
    CocoImage,
    box_frame,
    boxes_to_write,
    checked_box,
    image_entries,
    image_id_of,
    images_of,
    images_to_write,
    keyframe_frame,
    load_coco,
    write_coco,
)
from x3d_det.formats.exports.imported import FrameSize, ImportedAnnotations
from x3d_det.formats.foreign_files import Faults, FileFault, short
from x3d_det.formats.json_files import JsonValue
from x3d_det.io.ava_csv import AvaAnnotations
from x3d_det.io.label_map import MAX_ACTION_ID, LabelMap

if TYPE_CHECKING:
    import pandas as pd


def read_coco(
    path: str | os.PathLike[str], *, frame_size: FrameSize | None = None, first_id: int = 1
) -> ImportedAnnotations:
    """Return the annotations of a COCO data set whose categories are actions.

    Args:
        path: the json.
        frame_size: (height, width) of a video's frames, for images that state none.
        first_id: 0 where category ids count from 0: every id gets 1 added. With 1 an id 0
            is refused.

    Raises:
        DataError: every fault of the file at once, each with its place: an image that
            names no keyframe, an id that there is not or twice, a box outside its frame or
            without an area, the same annotation twice, a category id below 1.
    """
    content = load_coco(path)
    faults = Faults(path)
    images: dict[int | str, CocoImage] = {}
    label_map = LabelMap({})
    items: list[Any] = []
    with faults.collecting():
        label_map = _label_map(content, faults, shift=1 - first_id)
        images = images_of(content, faults, frame_size=frame_size)
        items = content["annotations"].value
        if not isinstance(items, list):
            raise content["annotations"].fault(f"found {short(items)}; it must be a list.")
    image_ids: list[int | str] = []
    boxes: list[list[float]] = []
    actions: list[int] = []
    persons: list[int] = []
    places: list[str] = []
    num_crowds = 0
    for index, item in enumerate(items):
        try:
            image_id = image_id_of(item, images)
            action_id = _action_id(item, label_map, shift=1 - first_id)
            person_id = _person_id(item)
            box = checked_box(item)
        except FileFault as fault:
            faults.add(f": annotations[{index}]", fault.text)
            continue
        if item.get("iscrowd"):
            num_crowds += 1
            continue
        image_ids.append(image_id)
        boxes.append(box)
        actions.append(action_id)
        persons.append(person_id)
        places.append(f": annotations[{index}]")
    rows = box_frame([images[image_id] for image_id in image_ids], boxes, places, faults)
    rows.insert(6, "action_id", np.array(actions, np.int64))
    rows.insert(7, "person_id", np.array(persons, np.int64))
    _note_repeated(rows, places, faults)
    faults.raise_if_any()
    named = set(image_ids)
    empty = [image.keyframe for image_id, image in images.items() if image_id not in named]
    annotations = AvaAnnotations(rows, keyframe_frame(empty, first_line=len(rows) + 1), str(path))
    if not len(rows) and not empty:
        raise DataError(f"{path}: there is neither an annotation nor an image in it.")
    notes = (f"{num_crowds:,} boxes of crowds (iscrowd) are left out",) if num_crowds else ()
    return ImportedAnnotations(annotations, label_map, notes)


def write_coco_annotations(
    annotations: AvaAnnotations,
    path: str | os.PathLike[str],
    *,
    label_map: LabelMap,
    frame_size: FrameSize,
) -> None:
    """Write annotations as a COCO data set that pycocotools loads.

    Args:
        annotations: rows and empty keyframes; images are numbered by their lines.
        path: the json.
        label_map: the categories.
        frame_size: (height, width) of a video's frames; they turn fractions into pixels.

    Raises:
        DataError: an action id that the label map lacks; the file cannot be written.
    """
    rows = annotations.rows
    unknown = sorted(set(rows["action_id"].tolist()) - set(label_map.names))
    if unknown:
        raise DataError(
            f"{path}: action id {unknown[0]} of {annotations.path} is not in the label map; "
            "give the label map of this data set."
        )
    numbered = images_to_write([rows, annotations.empty_keyframes], frame_size)
    write_coco(
        path,
        images=image_entries(numbered),
        annotations=_annotation_entries(rows, numbered),
        categories=[
            {"id": action_id, "name": name, "supercategory": label_map.groups.get(action_id, "")}
            for action_id, name in label_map.names.items()
        ],
    )


def _annotation_entries(
    rows: "pd.DataFrame", numbered: Mapping[tuple[str, float], tuple[int, CocoImage]]
) -> Iterator[dict[str, object]]:
    further = zip(rows["action_id"].tolist(), rows["person_id"].tolist(), strict=True)
    boxes = boxes_to_write(rows, numbered)
    for number, ((image_id, box, area), (action_id, person_id)) in enumerate(
        zip(boxes, further, strict=True), start=1
    ):
        entry: dict[str, object] = {
            "id": number,
            "image_id": image_id,
            "category_id": action_id,
            "bbox": box,
            "area": area,
            "iscrowd": 0,
        }
        if person_id >= 0:
            entry["track_id"] = person_id
        yield entry


def _label_map(content: JsonValue, faults: Faults, *, shift: int) -> LabelMap:
    names: dict[int, str] = {}
    groups: dict[int, str] = {}
    for item in content["categories"]:
        with faults.collecting():
            action_id = item["id"].whole() + shift
            if not 1 <= action_id <= MAX_ACTION_ID:
                raise item["id"].fault(
                    f"category id {item['id'].value} cannot be an action id (1 to "
                    f"{MAX_ACTION_ID:,}); where ids count from 0, --first-id 0 adds 1 to each."
                )
            if action_id in names:
                raise item["id"].fault(f"the category id {item['id'].value} occurs twice.")
            names[action_id] = item["name"].text()
            if "supercategory" in item and item["supercategory"].text():
                groups[action_id] = item["supercategory"].text()
    return LabelMap(names, groups)


def _action_id(item: Mapping[str, Any], label_map: LabelMap, *, shift: int) -> int:
    category_id = item.get("category_id")
    if type(category_id) is not int or category_id + shift not in label_map.names:
        raise FileFault("", f"category_id {short(category_id)} is the id of no category.")
    return category_id + shift


def _person_id(item: Mapping[str, Any]) -> int:
    person_id = item.get("track_id")
    if person_id is None:
        return -1
    if type(person_id) is not int or person_id < 0:
        raise FileFault("", f"track_id is {short(person_id)}; it must be a whole number from 0.")
    return person_id


def _note_repeated(rows: "pd.DataFrame", places: list[str], faults: Faults) -> None:
    repeated = rows.duplicated([name for name in rows.columns if name != "line"])
    for row in np.flatnonzero(repeated.to_numpy()).tolist():
        faults.add(places[row], "repeats an earlier annotation: box, category and track_id.")
