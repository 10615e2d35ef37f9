"""Where a shot plays: background, moving things, occluders, camera and light.

Everything is painted on a canvas of `CANVAS_SCALE` times the picture's size and reduced at the
end, which smooths edges and lets the camera move by half a pixel. Positions and speeds are in
pixels of the picture unless a name says canvas.
"""

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from x3d_det.synthetic.figure import Colour, Shape, shaded

CANVAS_SCALE = 2
_SHAKE_MARGIN_PX = 8
_NOISE_OFFSET = 64
_NUM_NOISE_TILES = 6


@dataclass(frozen=True, kw_only=True)
class MovingThing:
    """Something that drifts behind the figures."""

    x_px: float
    y_px: float
    half_width_px: float
    half_height_px: float
    speed_x_px: float  # per second
    speed_y_px: float
    colour: Colour
    round: bool


@dataclass(frozen=True, kw_only=True)
class Occluder:
    """A pillar or table before the figures; it moves a little faster than they when panning."""

    left_px: float
    top_px: float
    width_px: float
    height_px: float
    colour: Colour


class Scene:
    """One place with its camera and light, made once and photographed at many moments.

    Args:
        rng: source of everything in it.
        height, width: of the picture.
        middle_seconds: moment at which the camera's pan passes its middle.
        duration_seconds: of the shot.
        pan_px: of the camera, pixels per second, to the right.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        height: int,
        width: int,
        middle_seconds: float,
        duration_seconds: float,
        pan_px: float,
    ) -> None:
        self.height, self.width = height, width
        self._middle_seconds, self._pan_px = middle_seconds, pan_px
        # A window of a train: in some places the backdrop moves by itself.
        scroll = rng.random() < 0.15
        self._scroll_px = float(rng.uniform(-45, 45)) if scroll else 0.0
        self._shake = [
            (rng.uniform(0, 1.6) * strength, rng.uniform(0.4, 3.0), rng.uniform(0, 2 * np.pi))
            for strength in rng.choice([0.3, 1.0], size=1)
            for _ in range(4)
        ]
        after = max(duration_seconds - middle_seconds, middle_seconds)
        self._reach_px = (abs(pan_px) + abs(self._scroll_px)) * after + _SHAKE_MARGIN_PX
        self._background = _background(
            rng,
            height=height + 2 * _SHAKE_MARGIN_PX,
            width=int(np.ceil(width + 2 * self._reach_px)),
        )
        self._things = _moving_things(rng, height=height, width=width)
        self._occluders = _occluders(rng, height=height, width=width)
        self._light = _Light(rng)
        self._noise = _noise_tiles(rng, height=height, width=width)

    def camera_px(self, second: float) -> tuple[float, float]:
        """Return how far right and down the camera looks from its middle position."""
        right = self._pan_px * (second - self._middle_seconds)
        down = 0.0
        for index, (amplitude, rate_hz, phase) in enumerate(self._shake):
            swing = amplitude * np.sin(2 * np.pi * rate_hz * second + phase)
            if index % 2:
                down += swing
            else:
                right += swing
        return float(right), float(down)

    def open_canvas(self, second: float) -> Image.Image:
        """Return the canvas of a moment with the background and the moving things."""
        right, down = self.camera_px(second)
        scroll = self._scroll_px * (second - self._middle_seconds)
        left_canvas = round(CANVAS_SCALE * (self._reach_px + right + scroll))
        left_canvas = min(max(left_canvas, 0), self._background.width - CANVAS_SCALE * self.width)
        top_canvas = round(CANVAS_SCALE * (_SHAKE_MARGIN_PX + down))
        top_canvas = min(max(top_canvas, 0), 2 * CANVAS_SCALE * _SHAKE_MARGIN_PX)
        canvas = self._background.crop(
            (
                left_canvas,
                top_canvas,
                left_canvas + CANVAS_SCALE * self.width,
                top_canvas + CANVAS_SCALE * self.height,
            )
        )
        draw = ImageDraw.Draw(canvas)
        for thing in self._things:
            x = thing.x_px + thing.speed_x_px * second - 0.7 * right
            y = thing.y_px + thing.speed_y_px * second - 0.7 * down
            span = self.width + 2 * thing.half_width_px
            x = (x + thing.half_width_px) % span - thing.half_width_px
            box = [
                CANVAS_SCALE * (x - thing.half_width_px),
                CANVAS_SCALE * (y - thing.half_height_px),
                CANVAS_SCALE * (x + thing.half_width_px),
                CANVAS_SCALE * (y + thing.half_height_px),
            ]
            (draw.ellipse if thing.round else draw.rectangle)(box, fill=thing.colour)
        return canvas

    def occluder_shapes(self, second: float) -> list[Shape]:
        """Return what stands before the figures at a moment, on the canvas."""
        right, down = self.camera_px(second)
        shapes = []
        for item in self._occluders:
            left = CANVAS_SCALE * (item.left_px - 1.15 * right)
            top = CANVAS_SCALE * (item.top_px - 1.15 * down)
            wide, high = CANVAS_SCALE * item.width_px, CANVAS_SCALE * item.height_px
            shapes.append(_rectangle(left, top, wide, high, item.colour))
            edge = shaded(item.colour, 0.7)
            shapes.append(_rectangle(left, top, wide, min(8.0, high), edge))
            shapes.append(_rectangle(left + 0.7 * wide, top, 0.3 * wide, high, edge))
        return shapes

    def develop(self, canvas: Image.Image, second: float) -> np.ndarray:
        """Return the finished picture (H, W, 3) uint8: reduced, lit and grainy."""
        small = canvas.reduce(CANVAS_SCALE).point(self._light.table(second))
        tile = self._noise[round(second * 1000) % _NUM_NOISE_TILES]
        return np.asarray(ImageChops.add(small, tile, scale=1.0, offset=-_NOISE_OFFSET))


class _Light:
    """Brightness and colour that drift, with a flicker."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._level = rng.uniform(0.88, 1.1)
        self._drift = rng.uniform(0.0, 0.15)
        self._rate_hz = rng.uniform(0.08, 0.5)
        self._phase = rng.uniform(0, 2 * np.pi)
        self._flicker = rng.choice([0.0, 0.0, 0.03])
        self._tint = rng.uniform(0.92, 1.08, size=3)
        self._tint_drift = rng.uniform(-0.05, 0.05, size=3)

    def table(self, second: float) -> list[int]:
        """Return the 3 x 256 look-up table of a moment."""
        wave = np.sin(2 * np.pi * self._rate_hz * second + self._phase)
        flicker = self._flicker * np.sin(2 * np.pi * 7.3 * second)
        gain_C = (self._level + self._drift * wave + flicker) * (
            self._tint + self._tint_drift * wave
        )
        values = np.clip(np.arange(256)[None] * gain_C[:, None], 0, 255)
        table: list[int] = values.astype(np.int64).ravel().tolist()
        return table


def _rectangle(left: float, top: float, wide: float, high: float, colour: Colour) -> Shape:
    right, bottom = left + wide, top + high
    return Shape("polygon", (left, top, right, top, right, bottom, left, bottom), colour)


def _colour(
    rng: np.random.Generator, *, saturation: tuple[float, float], value: tuple[float, float]
) -> Colour:
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    red, green, blue = (int(255 * part) for part in rgb)
    return red, green, blue


def _background(rng: np.random.Generator, *, height: int, width: int) -> Image.Image:
    """Return a wall, a floor and furniture under noise of several scales, at canvas scale."""
    high, wide = CANVAS_SCALE * height, CANVAS_SCALE * width
    picture = Image.new(
        "RGB", (wide, high), _colour(rng, saturation=(0.03, 0.34), value=(0.45, 0.92))
    )
    draw = ImageDraw.Draw(picture)
    horizon = int(high * rng.uniform(0.5, 0.78))
    floor = _colour(rng, saturation=(0.05, 0.4), value=(0.35, 0.8))
    draw.rectangle([0, horizon, wide, high], fill=floor)
    if rng.random() < 0.5:  # boards or tiles
        step = int(rng.uniform(24, 80))
        line = shaded(floor, rng.uniform(0.7, 0.9))
        for x in range(-wide, 2 * wide, step):
            draw.line([x, horizon, int(wide / 2 + (x - wide / 2) * 2.2), high], fill=line, width=2)
    if rng.random() < 0.35:  # wallpaper
        step, base = int(rng.uniform(16, 60)), picture.getpixel((2, 2))
        assert isinstance(base, tuple)
        tone = shaded((base[0], base[1], base[2]), rng.uniform(0.82, 1.18))
        for x in range(0, wide, 2 * step):
            draw.rectangle([x, 0, x + step, horizon], fill=tone)
    for _ in range(int(rng.integers(3, 6 + wide // 160))):
        _draw_furniture(draw, rng, horizon=horizon, high=high, wide=wide)
    shade = np.zeros((high, wide, 1), dtype=np.float32)
    for cells, strength in ((3, 20.0), (14, 11.0), (60, 8.0), (high // 4, 6.0)):
        columns = max(2, int(cells * wide / high))
        coarse = rng.normal(0, strength, size=(cells, columns)).astype(np.float32)
        grown = Image.fromarray(coarse).resize((wide, high), Image.Resampling.BILINEAR)
        shade += np.asarray(grown)[:, :, None]
    lit = np.clip(np.asarray(picture, dtype=np.float32) + shade, 0, 255)
    return Image.fromarray(lit.astype(np.uint8))


def _draw_furniture(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, *, horizon: int, high: int, wide: int
) -> None:
    """Draw a picture, window, shelf, cupboard, lamp or rug."""
    colour = _colour(rng, saturation=(0.1, 0.6), value=(0.3, 0.95))
    x = rng.uniform(0, wide)
    kind = rng.choice(["frame", "shelf", "cupboard", "lamp", "rug"])
    if kind == "rug":
        y, half_wide = rng.uniform(horizon, high), rng.uniform(60, 200)
        draw.ellipse([x - half_wide, y - 14, x + half_wide, y + 14], fill=colour)
        return
    if kind == "lamp":
        y, radius = rng.uniform(0.05, 0.6) * horizon, rng.uniform(10, 30)
        draw.line([x, y, x, horizon + 20], fill=shaded(colour, 0.5), width=5)
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
        return
    half_wide, tall = rng.uniform(20, 80), rng.uniform(30, 150)
    top = horizon - tall + 25 if kind == "cupboard" else rng.uniform(0, 0.7) * horizon
    draw.rectangle([x - half_wide, top, x + half_wide, top + tall], fill=colour)
    inner = shaded(colour, rng.uniform(0.6, 1.3))
    if kind == "frame":
        inside = [x - half_wide + 8, top + 8, x + half_wide - 8, top + tall - 8]
        draw.rectangle(inside, fill=inner)
    else:
        for share in (0.3, 0.6, 0.9):
            y = top + share * tall
            draw.line([x - half_wide, y, x + half_wide, y], fill=inner, width=4)


def _moving_things(rng: np.random.Generator, *, height: int, width: int) -> list[MovingThing]:
    count = int(rng.choice([0, 0, 1, 2, 3]))
    return [
        MovingThing(
            x_px=rng.uniform(0, width),
            y_px=rng.uniform(0, 0.7) * height,
            half_width_px=rng.uniform(5, 26),
            half_height_px=rng.uniform(5, 22),
            speed_x_px=rng.uniform(-90, 90),
            speed_y_px=rng.uniform(-6, 6),
            colour=_colour(rng, saturation=(0.1, 0.8), value=(0.2, 0.95)),
            round=bool(rng.random() < 0.6),
        )
        for _ in range(count)
    ]


def _occluders(rng: np.random.Generator, *, height: int, width: int) -> list[Occluder]:
    colour = _colour(rng, saturation=(0.05, 0.6), value=(0.15, 0.7))
    draw = rng.random()
    if draw < 0.16:
        wide = rng.uniform(0.05, 0.1) * width
        return [
            Occluder(
                left_px=rng.uniform(0, width - wide),
                top_px=-20,
                width_px=wide,
                height_px=height + 40,
                colour=colour,
            )
        ]
    if draw < 0.28:
        wide, top = rng.uniform(0.2, 0.5) * width, rng.uniform(0.8, 0.9) * height
        return [
            Occluder(
                left_px=rng.uniform(0, width - wide),
                top_px=top,
                width_px=wide,
                height_px=height,
                colour=colour,
            )
        ]
    return []


def _noise_tiles(rng: np.random.Generator, *, height: int, width: int) -> list[Image.Image]:
    """Return pictures of grain about `_NOISE_OFFSET`."""
    strength = rng.uniform(0.5, 2.5)
    tiles = []
    for _ in range(_NUM_NOISE_TILES):
        grain = rng.normal(_NOISE_OFFSET, strength, size=(height, width)).round()
        grey = Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8))
        tiles.append(Image.merge("RGB", (grey, grey, grey)))
    return tiles
