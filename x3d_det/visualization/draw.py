"""Persons, their boxes and their actions, on one frame.

Shape suffixes in this file: H x W pixels, C the three channels red, green, blue.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from x3d_det.visualization.palette import (
    DARK_PLATE,
    DARK_PLATE_OPACITY,
    LIGHT_TEXT,
    NO_ACTION_COLOR,
    PLATE_OPACITY,
    Color,
    person_color,
    text_color_on,
)
from x3d_det.visualization.placement import PlateMemory, place_plate, rect_of
from x3d_det.visualization.strokes import draw_box
from x3d_det.visualization.tiles import (
    Mark,
    Rect,
    Row,
    Tile,
    cached_plate,
    lay_over,
    padding_px,
    plate,
    row_height_px,
    strip,
)

Kind = Literal["annotation", "detection"]
_MIN_BOX_PX = 4  # a smaller box is drawn this large, so that it can be seen
_MAX_PLATE_SHARE = 0.5  # of the picture's height, and 0.6 of its width
_LEGEND: tuple[tuple[Mark, str], ...] = (("solid line", "detected"), ("dashed line", "annotated"))
_VERDICTS: tuple[tuple[Mark, str], ...] = (
    ("tick", "correct"),
    ("cross", "wrong"),
    ("ring", "missed"),
)


@dataclass(frozen=True, kw_only=True)
class DrawnPerson:
    """One person as it is to be drawn.

    Args:
        box_xyxy_px: corners x1, y1, x2, y2 in pixels of the frame; what lies outside the
            frame is cut off.
        labels: (action name, score), the score None for an annotation.
        kind: detections have solid boxes and coloured plates, annotations dashed boxes
            and dark plates.
        person_id: the same from frame to frame: keeps the plate's place, and the colour where
            `color_index` says nothing; None takes the place in the list.
        color_index: of the palette.
        correct_labels: where given, the labels in it get a tick and the others a cross.
        missed_labels: names of true actions that were not found; listed below with a ring.
        tag: a short text in the top left corner of the box, as the person's number; also of a
            person without a plate.
    """

    box_xyxy_px: tuple[float, float, float, float]
    labels: Sequence[tuple[str, float | None]] = ()
    kind: Kind = "detection"
    person_id: int | None = None
    color_index: int | None = None
    correct_labels: Collection[str] | None = None
    missed_labels: Sequence[str] = ()
    tag: str | None = None


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A line in the top left corner; with a full diamond at a keyframe, else a hollow one."""

    text: str
    at_keyframe: bool | None = None


def draw_persons(
    frame_HWC: np.ndarray,
    persons: Sequence[DrawnPerson],
    *,
    score_threshold: float = 0.0,
    top_k: int | None = None,
    caption: Caption | None = None,
    legend: bool = True,
    memory: PlateMemory | None = None,
) -> np.ndarray:
    """Return a copy of the frame with a box per person and a plate with its actions.

    Lines and letters grow with the picture. Labels are sorted by score. A detection
    without a label above the threshold is drawn in grey and without a plate. Plates lie
    inside the picture and, where there is room, not over each other.

    Args:
        frame_HWC: uint8 RGB.
        persons: in any order.
        score_threshold: labels with a lower score are left out.
        top_k: at most so many labels a person, the best; None shows all.
        caption: a line of text in the corner.
        legend: explain solid and dashed where the frame has both kinds of persons.
        memory: give the same one for the frames of a video, and plates keep their places.

    Raises:
        ValueError: a frame that is not (H, W, 3) uint8, a box that is not finite or has
            x2 < x1 or y2 < y1, an unknown kind, top_k below 1.
    """
    _check(frame_HWC, persons, top_k)
    drawn_HWC = frame_HWC.copy()
    height, width = drawn_HWC.shape[:2]
    font_size = font_size_px(height, width)
    rects = [_rect_in(person.box_xyxy_px, height, width) for person in persons]
    shown = [_shown_labels(person, score_threshold, top_k) for person in persons]
    colors = _colors(persons, shown)
    line_width = line_width_px(height, width)
    detected = [r for r, p in zip(rects, persons, strict=True) if r and p.kind == "detection"]
    for index in _box_order(persons, shown):
        rect = rects[index]
        if rect is not None:
            if persons[index].kind == "annotation":
                rect = _moved_off(rect, detected, line_width)
            grey = colors[index] == NO_ACTION_COLOR
            draw_box(
                drawn_HWC,
                rect,
                color=colors[index],
                line_width_px=max(1, line_width // 2) if grey else line_width,
                dashed=persons[index].kind == "annotation",
            )
    taken: list[Rect] = []
    if caption is not None:
        taken.append(_lay_caption(drawn_HWC, caption, font_size))
    kinds = {person.kind for person in persons}
    if legend and len(kinds) == 2:
        taken.append(_lay_legend(drawn_HWC, persons, font_size))
    for rect, person, color in zip(rects, persons, colors, strict=True):
        if rect is not None and person.tag:
            taken.append(_lay_tag(drawn_HWC, person.tag, rect, color, font_size))
    for index, person in enumerate(persons):
        rows, rect = _rows(person, shown[index]), rects[index]
        if not rows or rect is None:
            continue
        tile = _person_plate(rows, person.kind, colors[index], font_size, height, width)
        x, y = place_plate(
            (tile.height, tile.width),
            rect,
            picture_size=(height, width),
            taken=taken,
            other_boxes=[box for box in rects if box is not None and box != rect],
            below_first=person.kind == "annotation" and "detection" in kinds,
            key=(person.kind, index if person.person_id is None else person.person_id),
            memory=memory,
        )
        taken.append(rect_of((x, y), (tile.height, tile.width)))
        lay_over(drawn_HWC, tile, x_px=x, y_px=y)
    return drawn_HWC


def font_size_px(height: int, width: int) -> int:
    """Return the size of letters for a picture: 11 at 320 x 240, 14 at 640 x 360, 28 at 1080p."""
    return max(11, round(6.5 + 0.02 * _side_px(height, width)))


def line_width_px(height: int, width: int) -> int:
    """Return the width of box lines for a picture: 2 below 540 lines, 4 at 1080p."""
    return max(2, round(_side_px(height, width) / 270))


def _side_px(height: int, width: int) -> float:
    """Return the height of the 16:9 picture with as many pixels."""
    return math.sqrt(height * width * 9 / 16)


def _check(frame_HWC: np.ndarray, persons: Sequence[DrawnPerson], top_k: int | None) -> None:
    if frame_HWC.ndim != 3 or frame_HWC.shape[2] != 3 or frame_HWC.dtype != np.uint8:
        raise ValueError(
            f"the frame has shape {frame_HWC.shape} and type {frame_HWC.dtype}; "
            "it must be (H, W, 3) and uint8."
        )
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; it must be 1 or more, or None for all labels.")
    for index, person in enumerate(persons):
        x1, y1, x2, y2 = person.box_xyxy_px
        if not all(map(math.isfinite, (x1, y1, x2, y2))) or x2 < x1 or y2 < y1:
            raise ValueError(
                f"persons[{index}].box_xyxy_px is {tuple(person.box_xyxy_px)}; it must be finite "
                "with x1 <= x2 and y1 <= y2."
            )
        if person.kind not in ("annotation", "detection"):
            raise ValueError(
                f"persons[{index}].kind is {person.kind!r}; allowed are 'annotation', 'detection'."
            )


def _rect_in(
    box_xyxy_px: tuple[float, float, float, float], height: int, width: int
) -> Rect | None:
    """Return the box in whole pixels, cut to the picture; None where it lies outside."""
    x1, y1, x2, y2 = box_xyxy_px
    if x2 < 0 or y2 < 0 or x1 > width or y1 > height:
        return None
    (left, right), (top, bottom) = _side(x1, x2, width), _side(y1, y2, height)
    return left, top, right, bottom


def _side(start: float, end: float, limit: int) -> tuple[int, int]:
    first, last = max(round(start), 0), min(round(end), limit)
    first = max(0, min(first, limit - _MIN_BOX_PX))
    return first, max(last, min(first + _MIN_BOX_PX, limit))


def _moved_off(rect: Rect, detected: Sequence[Rect], line_width: int) -> Rect:
    """Return an annotated box a little smaller where its dashes would lie on a solid line."""
    near = line_width + 2  # the line, and the dark edges between the two lines
    if all(max(abs(a - b) for a, b in zip(rect, other, strict=True)) >= near for other in detected):
        return rect
    x1, y1, x2, y2 = rect
    dx, dy = min(near, (x2 - x1) // 4), min(near, (y2 - y1) // 4)
    return x1 + dx, y1 + dy, x2 - dx, y2 - dy


def _shown_labels(
    person: DrawnPerson, score_threshold: float, top_k: int | None
) -> list[tuple[str, float | None]]:
    labels = [(n, s) for n, s in person.labels if s is None or s >= score_threshold]
    labels.sort(key=lambda label: math.inf if label[1] is None else label[1], reverse=True)
    return labels[:top_k]


def _colors(
    persons: Sequence[DrawnPerson], shown: Sequence[Sequence[tuple[str, float | None]]]
) -> list[Color]:
    colors = []
    places = {"annotation": 0, "detection": 0}
    for person, labels in zip(persons, shown, strict=True):
        given = person.person_id if person.color_index is None else person.color_index
        number = places[person.kind] if given is None else given
        places[person.kind] += 1
        # The label of an annotated person may stand on the plate of its detection.
        is_grey = not labels and not (person.kind == "annotation" and given is not None)
        colors.append(NO_ACTION_COLOR if is_grey else person_color(number))
    return colors


def _box_order(
    persons: Sequence[DrawnPerson], shown: Sequence[Sequence[tuple[str, float | None]]]
) -> list[int]:
    """Grey boxes lie lowest, then detections, then the dashes of annotations."""

    def height(index: int) -> tuple[bool, bool]:
        return persons[index].kind == "annotation", bool(shown[index])

    return sorted(range(len(persons)), key=height)


def _rows(person: DrawnPerson, labels: Sequence[tuple[str, float | None]]) -> tuple[Row, ...]:
    rows = []
    for name, score in labels:
        mark: Mark | None = None
        if person.correct_labels is not None:
            mark = "tick" if name in person.correct_labels else "cross"
        rows.append(Row(name, "" if score is None else f"{score:.2f}", mark))
    rows += [Row(name, "", "ring") for name in person.missed_labels]
    return tuple(rows)


def _person_plate(
    rows: tuple[Row, ...], kind: Kind, color: Color, font_size: int, height: int, width: int
) -> Tile:
    room = _MAX_PLATE_SHARE * height - 2 * padding_px(font_size)
    most = max(2, int(room / row_height_px(font_size)))
    if len(rows) > most:
        rows = (*rows[: most - 1], Row(f"+ {len(rows) - most + 1} more"))
    is_detection = kind == "detection"
    return cached_plate(
        rows,
        font_size_px=font_size,
        max_width_px=max(round(0.6 * width), min(width, 8 * font_size)),
        color=color if is_detection else DARK_PLATE,
        opacity=PLATE_OPACITY if is_detection else DARK_PLATE_OPACITY,
        text_color=text_color_on(color, PLATE_OPACITY) if is_detection else LIGHT_TEXT,
        outline=None if is_detection else color,
    )


def _lay_tag(drawn_HWC: np.ndarray, tag: str, rect: Rect, color: Color, font_size: int) -> Rect:
    """Lay a tag inside its box; at most half as wide as the picture, and always in it."""
    height, width = drawn_HWC.shape[:2]
    tile = cached_plate(
        (Row(tag),),
        font_size_px=max(9, round(0.85 * font_size)),
        max_width_px=max(width // 2, font_size),
        color=color,
        opacity=PLATE_OPACITY,
        text_color=text_color_on(color, PLATE_OPACITY),
    )
    x, y = max(0, min(rect[0], width - tile.width)), max(0, min(rect[1], height - tile.height))
    lay_over(drawn_HWC, tile, x_px=x, y_px=y)
    return rect_of((x, y), (tile.height, tile.width))


def _lay_caption(drawn_HWC: np.ndarray, caption: Caption, font_size: int) -> Rect:
    mark: Mark | None = None
    if caption.at_keyframe is not None:
        mark = "diamond" if caption.at_keyframe else "hollow diamond"
    tile = plate(
        (Row(caption.text, "", mark),),
        font_size_px=max(10, round(0.85 * font_size)),
        max_width_px=drawn_HWC.shape[1],
        color=DARK_PLATE,
        opacity=DARK_PLATE_OPACITY,
        text_color=LIGHT_TEXT,
    )
    return _lay_in_corner(drawn_HWC, tile, at_bottom=False)


def _lay_legend(drawn_HWC: np.ndarray, persons: Sequence[DrawnPerson], font_size: int) -> Rect:
    judged = any(person.correct_labels is not None for person in persons)
    tile = strip(
        _LEGEND + _VERDICTS if judged else _LEGEND,
        font_size_px=max(9, round(0.75 * font_size)),
        color=DARK_PLATE,
        opacity=DARK_PLATE_OPACITY,
        text_color=LIGHT_TEXT,
    )
    return _lay_in_corner(drawn_HWC, tile, at_bottom=True)


def _lay_in_corner(drawn_HWC: np.ndarray, tile: Tile, *, at_bottom: bool) -> Rect:
    height, width = drawn_HWC.shape[:2]
    margin = max(2, round(0.008 * width))
    x = max(0, min(margin, width - tile.width))
    y = max(0, height - tile.height - margin) if at_bottom else min(margin, height)
    lay_over(drawn_HWC, tile, x_px=x, y_px=y)
    return rect_of((x, y), (tile.height, tile.width))
