"""Keyframes as COCO images, boxes in pixels as fractions of them, and COCO json written.

An image is one keyframe: `video` and `timestamp` say which, or its file name does
(`VIDEO/0902.jpg`). COCO's box is x, y, width, height in pixels.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from x3d_det.errors import DataError
from x3d_det.formats.exports.imported import FrameSize
from x3d_det.formats.foreign_files import Faults, FileFault, read_text, short
from x3d_det.formats.json_files import JsonValue, parse_json
from x3d_det.io.ava_csv import COORDINATES
from x3d_det.io.ava_rows import CLIP_TOLERANCE
from x3d_det.io.files import atomic_write
from x3d_det.keyframes import Keyframe, format_timestamp

if TYPE_CHECKING:
    import pandas as pd

# Pixels and back cost a few units of the 16th decimal: rounded here, boxes come back as they
# were, and 1e-12 of a frame is nothing.
_DECIMALS = 12
_BORDER_PX = 1.0  # boxes may reach over the border by a pixel: tools count pixels differently
_IMAGE_NAME = re.compile(r"(\d{1,6}(?:\.\d+)?)\.[A-Za-z]{2,5}", re.ASCII)
_BAD_NAME = re.compile(r'[/\\",\0\r\n]|\.\.|^\s|\s$|^$')


@dataclass(frozen=True)
class CocoImage:
    """One keyframe and the size of its frame."""

    keyframe: Keyframe
    height_px: int
    width_px: int


def load_coco(path: str | os.PathLike[str]) -> JsonValue:
    """Return the content of a COCO json, or of the one json in a zip.

    Raises:
        DataError: the file cannot be read, is no json, or has a key twice in one object.
    """
    try:
        return JsonValue(parse_json(read_text(path, suffix=".json")))
    except FileFault as fault:
        raise DataError(f"{path}{fault.place}: {fault.text}") from fault


def images_of(
    content: JsonValue, faults: Faults, *, frame_size: FrameSize | None
) -> dict[int | str, CocoImage]:
    """Return the images of a COCO data set by their ids, in the file's order.

    Args:
        content: of the file.
        faults: takes each image that names no keyframe, has no size, or repeats another.
        frame_size: of images that state no width and height.
    """
    images: dict[int | str, CocoImage] = {}
    seen: dict[Keyframe, str] = {}
    for item in content["images"]:
        with faults.collecting():
            image_id = item["id"].value
            if type(image_id) not in (int, str):
                raise item["id"].fault(f"found {short(image_id)}; an id is a number or text.")
            if image_id in images:
                raise item["id"].fault(f"the id {image_id!r} occurs twice.")
            keyframe = _keyframe(item)
            if keyframe in seen:
                raise item.fault(f"is {keyframe}, as is {seen[keyframe]}; join the two.")
            seen[keyframe] = item.path
            images[image_id] = CocoImage(keyframe, *_size(item, keyframe.video_id, frame_size))
    return images


def _keyframe(item: JsonValue) -> Keyframe:
    """Return the keyframe that an image is, by its keys or its file name."""
    if "video" in item and "timestamp" in item:
        video_id, second = item["video"].text(), item["timestamp"].number()
    else:
        name = PurePosixPath(item["file_name"].text().replace("\\", "/"))
        match = _IMAGE_NAME.fullmatch(name.name)
        if match is None or not name.parent.name:
            raise item.fault(
                f"the file name {short(str(name))} does not say which second of which video it "
                "is; call it VIDEO/0902.jpg, or add the keys video and timestamp. Frame numbers "
                "are read by the form coco-video."
            )
        video_id, second = name.parent.name, float(match[1])
    if _BAD_NAME.search(video_id):
        raise item.fault(
            f"the video id {video_id!r} is no bare file name without folder and suffix."
        )
    if second < 0:
        raise item.fault(f"the timestamp {second:g} is negative; seconds count from 0.")
    return Keyframe(video_id, second)


def _size(item: JsonValue, video_id: str, frame_size: FrameSize | None) -> tuple[int, int]:
    """Return height and width of an image."""
    if "width" in item and "height" in item:
        height_px, width_px = item["height"].whole(), item["width"].whole()
        if not height_px or not width_px:
            raise item.fault(f"the size is {width_px} x {height_px}; it must be above 0.")
        return height_px, width_px
    if frame_size is None:
        raise item.fault(
            "states no width and height; give --frame-size WxH, or --videos DIR to look."
        )
    return frame_size(video_id)


def checked_box(item: Mapping[str, Any]) -> list[float]:
    """Return the box x, y, width, height of an annotation or result.

    Raises:
        FileFault: there is none, or no four finite numbers with a width and a height.
    """
    box = item.get("bbox")
    if (
        type(box) is not list
        or len(box) != 4
        or not all(type(value) in (int, float) and math.isfinite(value) for value in box)
    ):
        raise FileFault("", f"bbox is {short(box)}; it must be four numbers: x, y, width, height.")
    if box[2] <= 0 or box[3] <= 0:
        raise FileFault("", f"bbox is {short(box)}; width and height must be above 0.")
    return box


def image_id_of(item: object, images: Mapping[int | str, CocoImage]) -> int | str:
    """Return the image of an annotation or result.

    Raises:
        FileFault: no object, or an image that there is not.
    """
    if not isinstance(item, dict):
        raise FileFault("", f"found {short(item)}; it must be an object.")
    image_id = item.get("image_id")
    if isinstance(image_id, bool) or not isinstance(image_id, int | str) or image_id not in images:
        raise FileFault("", f"image_id {short(image_id)} is the id of no image.")
    return image_id


def box_frame(
    images: Sequence[CocoImage],
    boxes_px: Sequence[Sequence[float]],
    places: Sequence[str],
    faults: Faults,
) -> "pd.DataFrame":
    """Return video_id, timestamp, x1, y1, x2, y2 (fractions) and line of boxes in pixels.

    Args:
        images: of each box.
        boxes_px: x, y, width, height.
        places: of each box in the file, for `faults`, which takes boxes beyond the frame.
    """
    import pandas as pd

    boxes = np.array(boxes_px, np.float64).reshape(-1, 4)
    sizes = np.array([(i.width_px, i.height_px) for i in images], np.float64).reshape(-1, 2)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    over = np.maximum(-corners, corners - np.tile(sizes, 2)).max(axis=1, initial=-np.inf)
    allowed = np.maximum(_BORDER_PX, CLIP_TOLERANCE * sizes.max(axis=1, initial=0))
    for row in np.flatnonzero(over > allowed).tolist():
        width, height = (int(side) for side in sizes[row])
        faults.add(
            places[row],
            f"bbox {short(list(boxes_px[row]))} reaches {over[row]:.4g} pixels out of its "
            f"{width} x {height} frame; boxes are x, y, width, height in pixels.",
        )
    norm = np.clip(np.round(corners / np.tile(sizes, 2), _DECIMALS), 0, 1)
    flat = (norm[:, :2] >= norm[:, 2:]).any(axis=1) & (over <= allowed)
    for row in np.flatnonzero(flat).tolist():
        faults.add(places[row], f"bbox {short(list(boxes_px[row]))} has no part in the frame.")
    columns: dict[str, object] = {
        "video_id": np.array([image.keyframe.video_id for image in images], dtype=object),
        "timestamp": np.array([image.keyframe.timestamp for image in images], np.float64),
    }
    columns |= {name: norm[:, place] for place, name in enumerate(COORDINATES)}
    frame = pd.DataFrame(columns)
    frame["line"] = np.arange(1, len(frame) + 1)
    return frame


def keyframe_frame(keyframes: Iterable[Keyframe], *, first_line: int) -> "pd.DataFrame":
    """Return keyframes as a table: video_id, timestamp, line counted from `first_line`."""
    import pandas as pd

    named = list(keyframes)
    return pd.DataFrame(
        {
            "video_id": np.array([keyframe.video_id for keyframe in named], dtype=object),
            "timestamp": np.array([keyframe.timestamp for keyframe in named], np.float64),
            "line": np.arange(first_line, first_line + len(named)),
        }
    )


def images_to_write(
    tables: Sequence["pd.DataFrame"], frame_size: FrameSize
) -> dict[tuple[str, float], tuple[int, CocoImage]]:
    """Return an image id and size for each keyframe, numbered from 1 by their lines.

    Args:
        tables: each with video_id, timestamp, line.
        frame_size: (height, width) of a video's frames.
    """
    keys = [
        (line, video_id, stamp)
        for table in tables
        for line, video_id, stamp in zip(
            table["line"].tolist(), table["video_id"], table["timestamp"].tolist(), strict=True
        )
    ]
    keys.sort(key=lambda key: key[0])
    numbered: dict[tuple[str, float], tuple[int, CocoImage]] = {}
    for _, video_id, stamp in keys:
        if (video_id, stamp) not in numbered:
            image = CocoImage(Keyframe(str(video_id), stamp), *frame_size(str(video_id)))
            numbered[video_id, stamp] = (len(numbered) + 1, image)
    return numbered


def image_entries(
    numbered: Mapping[tuple[str, float], tuple[int, CocoImage]],
) -> Iterator[dict[str, object]]:
    """Yield the images as COCO has them."""
    for number, image in numbered.values():
        video_id, stamp = image.keyframe.video_id, image.keyframe.timestamp
        yield {
            "id": number,
            "file_name": f"{video_id}/{format_timestamp(stamp)}.jpg",
            "width": image.width_px,
            "height": image.height_px,
            "video": video_id,
            "timestamp": stamp,
        }


def boxes_to_write(
    rows: "pd.DataFrame", numbered: Mapping[tuple[str, float], tuple[int | str, CocoImage]]
) -> Iterator[tuple[int | str, list[float], float]]:
    """Yield image id, box (x, y, width, height in pixels) and area of each row."""
    images = [
        numbered[key] for key in zip(rows["video_id"], rows["timestamp"].tolist(), strict=True)
    ]
    sizes = np.array([(i.width_px, i.height_px) for _, i in images], np.float64).reshape(-1, 2)
    corners = rows[list(COORDINATES)].to_numpy(np.float64) * np.tile(sizes, 2)
    corners[:, 2:] -= corners[:, :2]
    areas = (corners[:, 2] * corners[:, 3]).tolist()
    for (image_id, _), box, area in zip(images, corners.tolist(), areas, strict=True):
        yield image_id, box, area


def write_coco(
    path: str | os.PathLike[str],
    *,
    images: Iterable[Mapping[str, object]],
    annotations: Iterable[Mapping[str, object]],
    categories: Iterable[Mapping[str, object]],
) -> None:
    """Write a COCO data set, one image, annotation or category a line."""
    with atomic_write(path, "w") as file:
        file.write('{"info": {"description": "AVA keyframes as images"},\n"licenses": [],\n')
        for name, items, end in (
            ("categories", categories, ","),
            ("images", images, ","),
            ("annotations", annotations, "}"),
        ):
            file.write(f'"{name}": ')
            write_json_list(file, items)
            file.write(f"{end}\n")


def write_json_list(file: IO[str], items: Iterable[Mapping[str, object]]) -> None:
    """Write a list, an item a line, without holding it whole."""
    separator = "[\n"
    for item in items:
        file.write(f"{separator}{json.dumps(item, ensure_ascii=False)}")
        separator = ",\n"
    file.write("[]" if separator == "[\n" else "\n]")
