"""Person boxes as COCO json: a data set with the category "person", or a list of results.

A data set states its images; annotations may carry a `score`. A list of results (what
pycocotools' `loadRes` takes) only has image ids, so it needs the data set that they count.
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
    write_json_list,
)
from x3d_det.formats.exports.imported import FrameSize
from x3d_det.formats.foreign_files import Faults, FileFault, short
from x3d_det.formats.json_files import JsonValue
from x3d_det.formats.person_boxes import PersonBoxes
from x3d_det.io.files import atomic_write
from x3d_det.keyframes import Keyframe

if TYPE_CHECKING:
    import pandas as pd

PERSON = "person"
_PERSON_CATEGORY_ID = 1  # as in COCO itself


def read_coco_persons(
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
    frame_size: FrameSize | None = None,
) -> PersonBoxes:
    """Return the person boxes of a COCO data set, or of a list of COCO results.

    Args:
        path: the json: an object with images, annotations and categories, or a list.
        images: COCO data set whose images a list of results counts.
        frame_size: (height, width) of a video's frames, for images that state none.

    Raises:
        DataError: every fault of the file at once, each with its place; a list of results
            without `images`; no category that is called person, among several.
    """
    content = load_coco(path)
    is_results = isinstance(content.value, list)
    if is_results and images is None:
        raise DataError(
            f"{path}: a list of COCO results counts the images of another file; name that data "
            "set with --images."
        )
    faults = Faults(path)
    source, data_set = faults, content
    if is_results and images is not None:
        source, data_set = Faults(images), load_coco(images)
    known: dict[int | str, CocoImage] = {}
    category_id = _PERSON_CATEGORY_ID
    with source.collecting():
        category_id = person_category(data_set)
        known = images_of(data_set, source, frame_size=frame_size)
    source.raise_if_any()
    items: list[Any] = []
    with faults.collecting():
        listed = content if is_results else content["annotations"]
        items = [item.value for item in listed]
    boxes = _person_boxes(items, known, category_id, faults, is_results=is_results)
    faults.raise_if_any()
    if not known:
        raise DataError(f"{path}: there is no image in it, so no box of a person either.")
    return boxes


def person_category(data_set: JsonValue) -> int:
    """Return the id of the category that is a person: the one so called, or the only one.

    Raises:
        FileFault: there is none, or several and none is called person.
    """
    names = {item["id"].whole(): item["name"].text() for item in data_set["categories"]}
    persons = [number for number, name in names.items() if name.lower() == PERSON]
    if len(persons) == 1 or len(names) == 1:
        return (persons or list(names))[0]
    found = ", ".join(list(names.values())[:5]) or "none"
    raise data_set["categories"].fault(
        f"found {len(names)} categories ({found}), of which {len(persons)} are called person; "
        "one must be."
    )


def _person_boxes(
    items: list[Any],
    images: Mapping[int | str, CocoImage],
    category_id: int,
    faults: Faults,
    *,
    is_results: bool,
) -> PersonBoxes:
    import pandas as pd

    found: list[CocoImage] = []
    boxes: list[list[float]] = []
    scores: list[float] = []
    places: list[str] = []
    num_others = num_crowds = num_unscored = 0
    used: set[int | str] = set()
    for index, item in enumerate(items):
        place = f": [{index}]" if is_results else f": annotations[{index}]"
        try:
            image_id = image_id_of(item, images)
            if item.get("category_id") != category_id:
                num_others += 1
                continue
            if item.get("iscrowd"):
                num_crowds += 1
                continue
            score = _score(item, is_results=is_results)
            boxes.append(checked_box(item))
        except FileFault as fault:
            faults.add(place, fault.text)
            continue
        num_unscored += score is None
        found.append(images[image_id])
        scores.append(1.0 if score is None else score)
        places.append(place)
        used.add(image_id)
    rows = box_frame(found, boxes, places, faults)
    rows.insert(6, "label", pd.Series(pd.NA, index=rows.index, dtype="Int64"))
    rows.insert(7, "score", np.array(scores, np.float64))
    empty = [image.keyframe for image_id, image in images.items() if image_id not in used]
    counts = (
        (num_others, "boxes of other categories than person are left out"),
        (num_crowds, "boxes of crowds (iscrowd) are left out"),
        (num_unscored, "boxes have no score; 1 is taken"),
    )
    notes = tuple(f"{number:,} {words}" for number, words in counts if number)
    return PersonBoxes(rows, keyframe_frame(empty, first_line=len(rows) + 1), notes)


def _score(item: Mapping[str, Any], *, is_results: bool) -> float | None:
    """Return the score, which results must have; None where an annotation has none."""
    score = item.get("score")
    if score is None and not is_results:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise FileFault("", f"score is {short(score)}; it must be a number from 0 to 1.")
    return float(score)


def write_coco_persons(
    boxes: PersonBoxes, path: str | os.PathLike[str], *, frame_size: FrameSize
) -> None:
    """Write person boxes as a COCO data set with one category; `score` is a further key.

    Args:
        boxes: rows and empty keyframes; images are numbered by their lines.
        path: the json.
        frame_size: (height, width) of a video's frames.
    """
    numbered = images_to_write([boxes.rows, boxes.empty_keyframes], frame_size)
    write_coco(
        path,
        images=image_entries(numbered),
        annotations=(
            {"id": number, **entry, "area": area, "iscrowd": 0}
            for number, (entry, area) in enumerate(
                _entries(boxes.rows, numbered, _PERSON_CATEGORY_ID), start=1
            )
        ),
        categories=[{"id": _PERSON_CATEGORY_ID, "name": PERSON, "supercategory": PERSON}],
    )


def write_coco_results(
    rows: "pd.DataFrame",
    path: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str],
    frame_size: FrameSize | None = None,
) -> None:
    """Write person boxes as a list of COCO results.

    Args:
        rows: video_id, timestamp, x1, y1, x2, y2, score.
        path: the json.
        images: COCO data set whose image ids are used.
        frame_size: (height, width) of a video's frames, for images that state none.

    Raises:
        DataError: a fault of `images`; a keyframe that it lacks.
    """
    data_set = load_coco(images)
    faults = Faults(images)
    known: dict[int | str, CocoImage] = {}
    category_id = _PERSON_CATEGORY_ID
    with faults.collecting():
        category_id = person_category(data_set)
        known = images_of(data_set, faults, frame_size=frame_size)
    faults.raise_if_any()
    numbered = {
        (image.keyframe.video_id, image.keyframe.timestamp): (image_id, image)
        for image_id, image in known.items()
    }
    keys = list(zip(rows["video_id"], rows["timestamp"].tolist(), strict=True))
    missing = [key for key in dict.fromkeys(keys) if key not in numbered]
    if missing:
        raise DataError(
            f"{images}: {len(missing):,} keyframes with boxes are no image of it; the first is "
            f"{Keyframe(*missing[0])}. Name the data set of these videos."
        )
    with atomic_write(path, "w") as file:
        write_json_list(file, (entry for entry, _ in _entries(rows, numbered, category_id)))
        file.write("\n")


def _entries(
    rows: "pd.DataFrame",
    numbered: Mapping[tuple[str, float], tuple[int | str, CocoImage]],
    category_id: int,
) -> Iterator[tuple[dict[str, object], float]]:
    """Yield what annotations and results share, and the area of the box."""
    boxes = boxes_to_write(rows, numbered)
    for (image_id, box, area), score in zip(boxes, rows["score"].tolist(), strict=True):
        entry = {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}
        yield entry, area
