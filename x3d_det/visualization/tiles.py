"""Small translucent pictures (plates with text, strokes, marks) and their laying over a frame.

Only the pixels under a tile are touched, so a drawing costs what its tiles cover, not what
the frame holds. Tiles are cached: over a video the same plate is drawn on many frames.

Shape suffixes in this file: H x W pixels, C colour channels.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from x3d_det.visualization.palette import Color

Mark = Literal["tick", "cross", "ring", "diamond", "hollow diamond", "solid line", "dashed line"]
Rect = tuple[int, int, int, int]  # x1, y1, x2, y2 in whole pixels, half-open

_SUPERSAMPLING = 4
_ELLIPSIS = "…"
_PLAIN_SIGNS = str.maketrans("", "", "…·°")  # Pillow's font has these beside ASCII


@dataclass(frozen=True)
class Tile:
    """A picture with opacity, ready to be laid over a frame.

    Args:
        premultiplied_HWC: uint16, colour times opacity, 0 to 255 * 255.
        opacity_HW1: uint16, 0 (nothing) to 255 (covers).
    """

    premultiplied_HWC: np.ndarray
    opacity_HW1: np.ndarray

    @property
    def height(self) -> int:
        return int(self.opacity_HW1.shape[0])

    @property
    def width(self) -> int:
        return int(self.opacity_HW1.shape[1])


@dataclass(frozen=True)
class Row:
    """One line of a plate: an optional mark, a text, and a text at the right edge."""

    text: str
    right_text: str = ""
    mark: Mark | None = None


def lay_over(frame_HWC: np.ndarray, tile: Tile, *, x_px: int, y_px: int) -> None:
    """Lay `tile` over the frame in place, its top left corner at (x_px, y_px); cut at the edges."""
    height, width = frame_HWC.shape[:2]
    x1, y1 = max(x_px, 0), max(y_px, 0)
    x2, y2 = min(x_px + tile.width, width), min(y_px + tile.height, height)
    if x1 >= x2 or y1 >= y2:
        return
    inside = np.s_[y1 - y_px : y2 - y_px, x1 - x_px : x2 - x_px]
    _blend(frame_HWC[y1:y2, x1:x2], tile.premultiplied_HWC[inside], tile.opacity_HW1[inside])


def _blend(view_HWC: np.ndarray, premultiplied: np.ndarray, opacity: np.ndarray) -> None:
    total = view_HWC * (255 - opacity) + premultiplied
    total += 128
    total += total >> 8  # with the shift below: division by 255, rounded, exact in 16 bits
    view_HWC[...] = total >> 8


def tile_from(colors_HWC: np.ndarray, opacity_HW: np.ndarray) -> Tile:
    """Make a tile of colours (0 to 255) and an opacity (0 to 1), both float."""
    opacity = np.rint(opacity_HW[..., None] * 255).astype(np.uint16)
    return Tile(np.rint(colors_HWC).astype(np.uint16) * opacity, opacity)


def row_height_px(font_size_px: int) -> int:
    """Return the height of one line of a plate."""
    return round(1.28 * font_size_px)


def padding_px(font_size_px: int) -> int:
    """Return the free space round the text of a plate."""
    return max(4, round(0.36 * font_size_px))


def text_width_px(text: str, font_size_px: int) -> int:
    """Return how wide a text comes out."""
    return int(np.ceil(_font(_is_plain(text), font_size_px).getlength(text)))


def plate(
    rows: tuple[Row, ...],
    *,
    font_size_px: int,
    max_width_px: int,
    color: Color,
    opacity: float,
    text_color: Color,
    outline: Color | None = None,
) -> Tile:
    """Return a rounded plate with one line of text per row.

    Args:
        rows: at least one.
        font_size_px: of all rows.
        max_width_px: longer texts end in an ellipsis.
        color, opacity: of the plate; opacity in [0, 1].
        text_color: of texts and marks.
        outline: colour of a thin frame round the plate, or None.
    """
    size, padding, row_height = font_size_px, padding_px(font_size_px), row_height_px(font_size_px)
    mark_width = round(1.15 * size) if any(row.mark for row in rows) else 0
    right_width = max(text_width_px(row.right_text, size) for row in rows)
    gap = round(0.6 * size) if right_width else 0
    room = max(max_width_px - 2 * padding - mark_width - gap - right_width, size)
    texts = [_shortened(row.text, size, room) for row in rows]
    text_width = max(text_width_px(text, size) for text in texts)
    width = 2 * padding + mark_width + text_width + gap + right_width
    height = 2 * padding + row_height * len(rows)

    ink = _Ink(height, width, size)
    for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
        middle = padding + row_height * (number + 0.5)
        ink.write(text, x_px=padding + mark_width, middle_px=middle)
        right = width - padding - text_width_px(row.right_text, size)
        ink.write(row.right_text, x_px=right, middle_px=middle)
        if row.mark:
            ink.mark(row.mark, x_px=padding, middle_px=middle)
    return _compose(ink.coverage_HW(), size, color, opacity, text_color, outline)


# For plates that stand on many frames. A caption that counts the time is new on every frame:
# kept, each would pin memory between the frames' own and let the process grow.
cached_plate = lru_cache(maxsize=256)(plate)


@lru_cache(maxsize=16)
def strip(
    items: tuple[tuple[Mark, str], ...],
    *,
    font_size_px: int,
    color: Color,
    opacity: float,
    text_color: Color,
) -> Tile:
    """Return a plate of one line with a mark before each text: a legend."""
    size, padding = font_size_px, padding_px(font_size_px)
    mark_width, gap = round(1.15 * size), round(0.8 * size)
    widths = [mark_width + text_width_px(text, size) for _, text in items]
    height = 2 * padding + row_height_px(size)
    ink = _Ink(height, 2 * padding + sum(widths) + gap * (len(items) - 1), size)
    x = padding
    for (mark, text), width in zip(items, widths, strict=True):
        ink.mark(mark, x_px=x, middle_px=height / 2)
        ink.write(text, x_px=x + mark_width, middle_px=height / 2)
        x += width + gap
    return _compose(ink.coverage_HW(), size, color, opacity, text_color, None)


class _Ink:
    """Collects the coverage of texts and marks."""

    def __init__(self, height: int, width: int, font_size_px: int) -> None:
        self._size_px = font_size_px
        self._texts = Image.new("L", (width, height))
        self._marks_HW = np.zeros((height, width))

    def write(self, text: str, *, x_px: int, middle_px: float) -> None:
        # The middle of small letters with a capital lies 0.34 of the size above the base line.
        baseline_px = round(middle_px + 0.34 * self._size_px)
        font = _font(_is_plain(text), self._size_px)
        ImageDraw.Draw(self._texts).text(
            (x_px, baseline_px), text, fill=255, font=font, anchor="ls"
        )

    def mark(self, mark: Mark, *, x_px: int, middle_px: float) -> None:
        drawn_HW = _mark(mark, self._size_px)
        top = max(0, round(middle_px - drawn_HW.shape[0] / 2))
        part_HW = self._marks_HW[top:, x_px:][: drawn_HW.shape[0], : drawn_HW.shape[1]]
        np.maximum(part_HW, drawn_HW[: part_HW.shape[0], : part_HW.shape[1]], out=part_HW)

    def coverage_HW(self) -> np.ndarray:
        return np.maximum(np.asarray(self._texts) / 255, self._marks_HW)


def _compose(
    ink_HW: np.ndarray,
    font_size_px: int,
    color: Color,
    opacity: float,
    text_color: Color,
    outline: Color | None,
) -> Tile:
    height, width = ink_HW.shape
    radius = 0.3 * font_size_px
    shape_HW = _rounded(height, width, radius)
    colors_HWC = np.broadcast_to(np.array(color, float), (height, width, 3))
    alpha_HW = np.full((height, width), opacity)
    if outline is not None:
        thickness = max(1.0, font_size_px / 12)
        line_HW = shape_HW - _rounded(height, width, radius, inset=thickness)
        colors_HWC, alpha_HW = _over(colors_HWC, alpha_HW, line_HW, outline)
    colors_HWC, alpha_HW = _over(colors_HWC, alpha_HW, ink_HW, text_color)
    return tile_from(colors_HWC, alpha_HW * shape_HW)


def _over(
    colors_HWC: np.ndarray, alpha_HW: np.ndarray, ink_HW: np.ndarray, color: Color
) -> tuple[np.ndarray, np.ndarray]:
    """Lay ink of one colour over a translucent picture; return colours and opacity."""
    alpha = ink_HW + (1 - ink_HW) * alpha_HW
    share = np.divide(ink_HW, alpha, out=np.zeros_like(alpha), where=alpha > 0)[..., None]
    return share * np.array(color, float) + (1 - share) * colors_HWC, alpha


def _shortened(text: str, font_size_px: int, room_px: int) -> str:
    if text_width_px(text, font_size_px) <= room_px:
        return text
    while text and text_width_px(text.rstrip() + _ELLIPSIS, font_size_px) > room_px:
        text = text[:-1]
    return text.rstrip() + _ELLIPSIS


def _is_plain(text: str) -> bool:
    return text.translate(_PLAIN_SIGNS).isascii()


@lru_cache(maxsize=64)
def _font(is_plain: bool, size_px: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font for plain text, and for other letters the one of matplotlib.

    Both come inside their packages, so a drawing looks the same on every machine.
    """
    if is_plain:
        font = ImageFont.load_default(size=size_px)
        assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
        return font
    import matplotlib  # only here: most labels are plain

    return ImageFont.truetype(
        Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size_px * 0.92
    )


@lru_cache(maxsize=64)
def _rounded(height: int, width: int, radius: float, inset: float = 0.0) -> np.ndarray:
    """Return the coverage (0 to 1) of a rounded rectangle that fills (height, width)."""
    scale = _SUPERSAMPLING
    image = Image.new("L", (width * scale, height * scale))
    ImageDraw.Draw(image).rounded_rectangle(
        (
            inset * scale,
            inset * scale,
            (width - inset) * scale - 1,
            (height - inset) * scale - 1,
        ),
        radius=max(radius - inset, 0) * scale,
        fill=255,
    )
    return np.asarray(image.reduce(scale)) / 255


@lru_cache(maxsize=64)
def _mark(mark: Mark, font_size_px: int) -> np.ndarray:
    """Return the coverage of a mark, about one letter high."""
    scale, size = _SUPERSAMPLING, font_size_px
    side = max(5, round(0.78 * size))
    image = Image.new("L", (side * scale, side * scale))
    pen, last = ImageDraw.Draw(image), side * scale - 1
    thick = max(scale, round(0.13 * last))

    def points(*shares: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * last, y * last) for x, y in shares]

    if mark == "tick":
        pen.line(points((0.08, 0.55), (0.38, 0.85), (0.92, 0.18)), 255, thick, joint="curve")
    elif mark == "cross":
        pen.line(points((0.16, 0.16), (0.84, 0.84)), 255, thick)
        pen.line(points((0.16, 0.84), (0.84, 0.16)), 255, thick)
    elif mark == "ring":
        pen.ellipse((0.12 * last, 0.12 * last, 0.88 * last, 0.88 * last), None, 255, thick)
    elif mark in ("diamond", "hollow diamond"):
        pen.polygon(points((0.5, 0.05), (0.95, 0.5), (0.5, 0.95), (0.05, 0.5)), fill=255)
        if mark == "hollow diamond":
            pen.polygon(points((0.5, 0.3), (0.7, 0.5), (0.5, 0.7), (0.3, 0.5)), fill=0)
    else:
        dashes = [(0.0, 1.0)] if mark == "solid line" else [(0.0, 0.38), (0.62, 1.0)]
        for start, end in dashes:
            pen.line(points((start, 0.5), (end, 0.5)), 255, thick)
    return np.asarray(image.reduce(scale)) / 255
