"""Where the plate of a person goes: inside the picture, near its box, off the other plates.

Shape suffixes in this file: G places to choose from, M rectangles to keep off.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from x3d_det.visualization.tiles import Rect

# Prices of the choice, in "steps down the list of places": a plate hidden under another is
# the worst, a face next.
_PLATE_PRICE = 4000.0
_HEAD_PRICE = 60.0
_OTHER_BODY_PRICE = 8.0
_OWN_BODY_PRICE = 4.0
_DISTANCE_PRICE = 40.0
_HEAD_SHARE = 0.3  # of a person's box, from its top
_STAY_BONUS = 6.0


@dataclass
class PlateMemory:
    """Remembers each plate's place from frame to frame, so that plates do not hop about."""

    places: dict[Hashable, str] = field(default_factory=dict)


def place_plate(
    plate_size: tuple[int, int],
    box: Rect,
    *,
    picture_size: tuple[int, int],
    taken: Sequence[Rect],
    other_boxes: Sequence[Rect],
    below_first: bool = False,
    key: Hashable = None,
    memory: PlateMemory | None = None,
) -> tuple[int, int]:
    """Return x and y of a plate's top left corner.

    Tried in this order: above the box, right, left, below, inside at its bottom, inside
    at its top; then anywhere. The cheapest place wins, where lying on another plate costs
    most and on a head, the person's own too, next.

    Args:
        plate_size: (height, width) in pixels.
        box: of the person.
        picture_size: (height, width); the plate lies inside where it is small enough.
        taken: rectangles of the plates that lie already.
        other_boxes: of the other persons.
        below_first: begin below the box, for the second plate of one person.
        key, memory: with both, the place of the frame before is favoured.
    """
    near = list(_near(plate_size, box, picture_size, below_first))
    names = [name for name, _ in near]
    corners_G2 = np.array([corner for _, corner in near])
    prices_G = np.arange(len(near)) + _prices(corners_G2, plate_size, box, taken, other_boxes)
    if memory is not None and memory.places.get(key) in names:
        prices_G[names.index(memory.places[key])] -= _STAY_BONUS
    best = int(np.argmin(prices_G))
    if prices_G[best] >= _DISTANCE_PRICE:
        far_price, corner = _anywhere(plate_size, box, picture_size, taken, other_boxes)
        if far_price < prices_G[best]:
            return corner
    if memory is not None:
        memory.places[key] = names[best]
    return near[best][1]


def rect_of(corner: tuple[int, int], plate_size: tuple[int, int]) -> Rect:
    """Return the rectangle of a plate from its corner (x, y) and size (height, width)."""
    return corner[0], corner[1], corner[0] + plate_size[1], corner[1] + plate_size[0]


def _near(
    plate_size: tuple[int, int], box: Rect, picture_size: tuple[int, int], below_first: bool
) -> Iterable[tuple[str, tuple[int, int]]]:
    height, width = plate_size
    x1, y1, x2, y2 = box
    gap = 2
    above, below = y1 - height - gap, y2 + gap
    top, bottom = y1 + gap, y2 - height - gap
    left, right = x1, x2 - width
    places = [
        ("above left", (left, above)),
        ("above right", (right, above)),
        ("beside right", (x2 + gap, y1)),
        ("beside left", (x1 - gap - width, y1)),
        ("below left", (left, below)),
        ("below right", (right, below)),
        ("beside right bottom", (x2 + gap, y2 - height)),
        ("beside left bottom", (x1 - gap - width, y2 - height)),
        ("beside right middle", (x2 + gap, (y1 + y2 - height) // 2)),
        ("beside left middle", (x1 - gap - width, (y1 + y2 - height) // 2)),
        ("bottom left", (left + gap, bottom)),
        ("bottom right", (right - gap, bottom)),
        ("top left", (left + gap, top)),
        ("top right", (right - gap, top)),
    ]
    if below_first:
        places = places[4:8] + places[:4] + places[8:]
    for name, (x, y) in places:
        x_inside = _inside(x, width, picture_size[1])
        y_inside = _inside(y, height, picture_size[0])
        # Moving sideways along the box is as good; moving over the box makes it another place.
        if y_inside == y or not name.startswith(("above", "below")):
            yield name, (x_inside, y_inside)
    yield (
        "pushed in",
        (_inside(left, width, picture_size[1]), _inside(top, height, picture_size[0])),
    )


def _inside(start: int, length: int, limit: int) -> int:
    return max(0, min(start, limit - length))


def _prices(
    corners_G2: np.ndarray,
    plate_size: tuple[int, int],
    own_box: Rect,
    taken: Sequence[Rect],
    other_boxes: Sequence[Rect],
) -> np.ndarray:
    """Return what it costs (G,) to lay the plate at each of the corners (x, y)."""
    height, width = plate_size
    rects_G4 = np.concatenate([corners_G2, corners_G2 + np.array([width, height])], axis=1)
    area = height * width
    heads = [_head(box) for box in (own_box, *other_boxes)]
    head_areas_M = np.array([(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in heads])
    smaller_M = np.clip(np.minimum(head_areas_M, area), 1, None)
    prices_G = _PLATE_PRICE / area * _overlaps(rects_G4, taken).sum(axis=1)
    prices_G += _OWN_BODY_PRICE / area * _overlaps(rects_G4, [own_box]).sum(axis=1)
    prices_G += _OTHER_BODY_PRICE / area * _overlaps(rects_G4, other_boxes).sum(axis=1)
    prices_G += _HEAD_PRICE * (_overlaps(rects_G4, heads) / smaller_M).sum(axis=1)
    return prices_G


def _overlaps(rects_G4: np.ndarray, others: Sequence[Rect]) -> np.ndarray:
    """Return the areas (G, M) that rectangles share."""
    others_M4 = np.array(others, dtype=np.int64).reshape(-1, 4)
    ends = np.minimum(rects_G4[:, None, 2:], others_M4[None, :, 2:])
    starts = np.maximum(rects_G4[:, None, :2], others_M4[None, :, :2])
    return np.clip(ends - starts, 0, None).prod(axis=2).astype(np.float64)


def _head(box: Rect) -> Rect:
    """Return where a person's head mostly is: along the top of the box."""
    x1, y1, x2, y2 = box
    margin = (x2 - x1) // 10
    return x1 + margin, y1, x2 - margin, y1 + round(_HEAD_SHARE * (y2 - y1))


def _anywhere(
    plate_size: tuple[int, int],
    box: Rect,
    picture_size: tuple[int, int],
    taken: Sequence[Rect],
    other_boxes: Sequence[Rect],
) -> tuple[float, tuple[int, int]]:
    """Return price and corner of the cheapest spot on a grid over the picture."""
    height, width = plate_size
    y_G, x_G = np.meshgrid(
        _grid(picture_size[0] - height, max(height // 4, 4)),
        _grid(picture_size[1] - width, max(width // 6, 4)),
        indexing="ij",
    )
    corners_G2 = np.stack([x_G.ravel(), y_G.ravel()], axis=1)
    x_G, y_G = corners_G2[:, 0], corners_G2[:, 1]
    distance_G = np.maximum(np.maximum(box[0] - (x_G + width), x_G - box[2]), 0) + np.maximum(
        np.maximum(box[1] - (y_G + height), y_G - box[3]), 0
    )
    prices_G = _DISTANCE_PRICE * (1 + distance_G / max(picture_size))
    prices_G += _prices(corners_G2, plate_size, box, taken, other_boxes)
    best = int(np.argmin(prices_G))
    return float(prices_G[best]), (int(x_G[best]), int(y_G[best]))


def _grid(last: int, step: int) -> np.ndarray:
    """Return 0, step, 2 step ... and the last place itself."""
    return np.append(np.arange(0, max(last, 0), step), max(last, 0))
