"""The frame of a box: a coloured line inside the box with a thin dark edge on both sides.

Shape suffixes in this file: H x W pixels, C colour channels, L pixels along a side.
"""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from x3d_det.visualization.palette import Color
from x3d_det.visualization.tiles import Rect, Tile, lay_over, tile_from

HALO_PX = 1  # the dark edge; it is all that a box changes outside itself
_HALO_OPACITY = 0.45
_SUPERSAMPLING = 4


def draw_box(
    frame_HWC: np.ndarray, rect: Rect, *, color: Color, line_width_px: int, dashed: bool = False
) -> None:
    """Draw the frame of a box in place.

    Args:
        frame_HWC: uint8 RGB.
        rect: the box in whole pixels; the line lies inside it.
        color: of the line.
        line_width_px: of the coloured line.
        dashed: broken sides with whole corners.
    """
    x1, y1, x2, y2 = rect
    corner = 3 * line_width_px + 2 * HALO_PX
    height, width = y2 - y1 + 2 * HALO_PX, x2 - x1 + 2 * HALO_PX
    left, top = x1 - HALO_PX, y1 - HALO_PX
    if height < 2 * corner + 1 or width < 2 * corner + 1:
        small = _frame_tile(height, width, color, line_width_px)
        lay_over(frame_HWC, small, x_px=left, y_px=top)
        return
    # Nine patches: four corners and four sides; the picture inside the box stays as it is.
    size = 2 * corner + 1
    whole = _frame_tile(size, size, color, line_width_px)
    right, bottom = left + width - corner, top + height - corner
    near, far = slice(0, corner), slice(size - corner, size)
    for rows, y in ((near, top), (far, bottom)):
        for columns, x in ((near, left), (far, right)):
            lay_over(frame_HWC, _part(whole, rows, columns), x_px=x, y_px=y)
    middle = slice(corner, corner + 1)
    for length, across in ((width - 2 * corner, False), (height - 2 * corner, True)):
        shown_L = _dashes(length, line_width_px) if dashed else np.ones(length, np.uint16)
        for thick, offset in ((near, 0), (far, (width if across else height) - corner)):
            if across:
                side = _stretched(_part(whole, middle, thick), shown_L[:, None, None])
                lay_over(frame_HWC, side, x_px=left + offset, y_px=top + corner)
            else:
                side = _stretched(_part(whole, thick, middle), shown_L[None, :, None])
                lay_over(frame_HWC, side, x_px=left + corner, y_px=top + offset)


def _part(tile: Tile, rows: slice, columns: slice) -> Tile:
    return Tile(tile.premultiplied_HWC[rows, columns], tile.opacity_HW1[rows, columns])


def _stretched(line: Tile, shown: np.ndarray) -> Tile:
    return Tile(line.premultiplied_HWC * shown, line.opacity_HW1 * shown)


def _dashes(length: int, line_width_px: int) -> np.ndarray:
    """Return 1 where a side is drawn: gap first and last, so that it meets whole corners."""
    num_dashes = max(1, round(length / (7 * line_width_px)))
    phase_L = (np.arange(length) + 0.5) * (num_dashes + 3 / 7) / length % 1
    return (phase_L >= 3 / 7).astype(np.uint16)


@lru_cache(maxsize=256)
def _frame_tile(height: int, width: int, color: Color, line_width_px: int) -> Tile:
    """Return the whole frame of a box whose size with its halo is (height, width)."""
    radius = 2.0 * line_width_px
    line_HW = _ring(height, width, radius, HALO_PX, HALO_PX + line_width_px)
    halo_HW = _ring(height, width, radius, 0, 2 * HALO_PX + line_width_px) * _HALO_OPACITY
    opacity_HW = line_HW + (1 - line_HW) * halo_HW
    share_HW = np.divide(line_HW, opacity_HW, out=np.zeros_like(line_HW), where=opacity_HW > 0)
    return tile_from(share_HW[..., None] * np.array(color, float), opacity_HW)


def _ring(height: int, width: int, radius: float, outer: int, inner: int) -> np.ndarray:
    """Return the coverage between two rounded rectangles, inset by `outer` and `inner` pixels."""
    scale = _SUPERSAMPLING
    image = Image.new("L", (width * scale, height * scale))
    pen = ImageDraw.Draw(image)
    for inset, value in ((outer, 255), (inner, 0)):
        x2, y2 = (width - inset) * scale - 1, (height - inset) * scale - 1
        if x2 >= inset * scale and y2 >= inset * scale:
            pen.rounded_rectangle(
                (inset * scale, inset * scale, x2, y2),
                radius=max(0.0, radius + HALO_PX - inset) * scale,
                fill=value,
            )
    return np.asarray(image.reduce(scale)) / 255
