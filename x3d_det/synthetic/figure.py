"""How a figure looks: its clothes and sizes, and its joints as shapes on a picture.

Points are (x, y) in canvas pixels. A figure becomes a list of shapes, back to front, so that
the same list can be painted in colours or, for its mask, in one number.
"""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import ImageDraw

from x3d_det.synthetic.skeleton import JOINT

Colour = tuple[int, int, int]

_SKINS: tuple[Colour, ...] = (
    (246, 214, 186),
    (231, 190, 152),
    (205, 158, 116),
    (160, 112, 76),
    (112, 74, 50),
    (80, 54, 40),
)
_HAIRS: tuple[Colour, ...] = (
    (30, 24, 22),
    (66, 44, 28),
    (120, 78, 40),
    (196, 158, 92),
    (150, 148, 146),
    (142, 56, 28),
)
_FAR_SHADE = 0.72  # limbs on the far side are darker, so that left and right can be told apart


class Shape(NamedTuple):
    """One painted shape: kind "line", "circle" or "polygon", points, colour, line width."""

    kind: str
    points: Sequence[float]
    colour: Colour
    width: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """Clothes, hair, skin and thickness of one figure."""

    skin: Colour
    hair: Colour
    hair_style: str  # "short", "long", "bald" or "cap"
    shirt: Colour
    shirt_pattern: str  # "plain", "stripes", "sash" or "vest"
    second_shirt: Colour
    trousers: Colour
    shoes: Colour
    long_sleeves: bool
    long_legs: bool
    thickness: float
    prop: Colour


def random_appearance(rng: np.random.Generator) -> Appearance:
    """Return clothes and sizes of a figure."""
    return Appearance(
        skin=_SKINS[rng.integers(len(_SKINS))],
        hair=_HAIRS[rng.integers(len(_HAIRS))],
        hair_style=str(rng.choice(["short", "short", "long", "bald", "cap"])),
        shirt=_cloth(rng),
        shirt_pattern=str(rng.choice(["plain", "plain", "stripes", "sash", "vest"])),
        second_shirt=_cloth(rng),
        trousers=_cloth(rng, dark=0.75),
        shoes=_cloth(rng, dark=0.6),
        long_sleeves=bool(rng.random() < 0.5),
        long_legs=bool(rng.random() < 0.75),
        thickness=float(rng.uniform(0.85, 1.2)),
        prop=_cloth(rng),
    )


def figure_shapes(
    joints: Sequence[Sequence[float]],
    nearness: Sequence[float],
    look: Appearance,
    *,
    height_px: float,
    props: Sequence[str] = (),
) -> list[Shape]:
    """Return the shapes of a figure, back to front.

    Args:
        joints: (x, y) in canvas pixels, in the order of `skeleton.JOINTS`.
        nearness: of each joint to the camera, body heights.
        look: clothes and sizes.
        height_px: of the upright figure on the canvas.
        props: what is held, as `actions.Performance.props`.
    """
    unit = height_px * look.thickness
    chest, pelvis = nearness[JOINT["chest"]], nearness[JOINT["pelvis"]]
    middle = 0.5 * (chest + pelvis)
    parts: list[tuple[float, list[Shape]]] = [
        (middle, _torso(joints, nearness, look, unit)),
        (max(nearness[JOINT["head"]], middle) + 0.005, _head(joints, nearness, look, height_px)),
    ]
    for side in ("left", "right"):
        elbow, wrist = nearness[JOINT[f"{side}_elbow"]], nearness[JOINT[f"{side}_wrist"]]
        knee = nearness[JOINT[f"{side}_knee"]]
        hip_gap = nearness[JOINT[f"{side}_hip"]] - pelvis
        arm_depth = 0.5 * (elbow + wrist)
        leg_depth = middle + hip_gap - 0.08 if knee < pelvis + 0.1 else knee
        shoulder_gap = nearness[JOINT[f"{side}_shoulder"]] - chest
        arm = _arm(joints, side, look, unit, shade=_shade(shoulder_gap))
        if f"{side}_phone" in props:
            arm += _phone(joints, side, unit)
        if f"{side}_bag" in props:
            arm += _bag(joints, side, look, unit)
        parts.append((arm_depth, arm))
        parts.append((leg_depth, _leg(joints, side, look, unit, shade=_shade(hip_gap))))
    if "box" in props:
        hands = 0.5 * (nearness[JOINT["left_wrist"]] + nearness[JOINT["right_wrist"]])
        parts.append((hands + 0.001, [_box(joints, look, height_px)]))
    parts.sort(key=lambda part: part[0])
    return [shape for _, shapes in parts for shape in shapes]


def near_arm_shapes(
    joints: Sequence[Sequence[float]],
    nearness: Sequence[float],
    look: Appearance,
    *,
    height_px: float,
) -> list[Shape]:
    """Return the arm nearer to the camera alone, to be painted over an embraced partner."""
    nearer = nearness[JOINT["left_wrist"]] > nearness[JOINT["right_wrist"]]
    unit = height_px * look.thickness
    return _arm(joints, "left" if nearer else "right", look, unit, shade=1.0)


def paint(draw: ImageDraw.ImageDraw, shapes: Sequence[Shape], *, number: int | None = None) -> None:
    """Paint shapes in their colours, or all in one number (on a picture of mode "L")."""
    for kind, points, colour, width in shapes:
        fill = colour if number is None else number
        if kind == "line":
            draw.line(points, fill=fill, width=max(1, round(width)))
        elif kind == "circle":
            draw.ellipse(points, fill=fill)
        else:
            draw.polygon(points, fill=fill)


def circle(x: float, y: float, radius: float, colour: Colour) -> Shape:
    """Return a filled circle."""
    return Shape("circle", (x - radius, y - radius, x + radius, y + radius), colour)


def shaded(colour: Colour, factor: float) -> Colour:
    """Return a colour made darker (factor below 1) or lighter."""
    red, green, blue = (min(255, int(value * factor)) for value in colour)
    return red, green, blue


def _cloth(rng: np.random.Generator, *, dark: float = 1.0) -> Colour:
    """Return a clothes colour, mostly a strong one; `dark` scales the brightness."""
    red, green, blue = colorsys.hsv_to_rgb(
        rng.random(), rng.uniform(0.35, 0.95), rng.uniform(0.3, 1.0) * dark
    )
    return int(255 * red), int(255 * green), int(255 * blue)


def _shade(gap: float) -> float:
    """Return the brightness of a limb whose joint lies `gap` before the body's middle."""
    return _FAR_SHADE if gap < -0.02 else 1.0


def _limb(
    points: Sequence[Sequence[float]], widths: Sequence[float], colours: Sequence[Colour]
) -> list[Shape]:
    """Return rounded segments from point to point; a width and a colour for each segment."""
    shapes = []
    for start, end, width, colour in zip(points, points[1:], widths, colours, strict=False):
        shapes.append(Shape("line", (start[0], start[1], end[0], end[1]), colour, width))
        shapes.append(circle(end[0], end[1], 0.48 * width, colour))
    return shapes


def _arm(
    joints: Sequence[Sequence[float]], side: str, look: Appearance, unit: float, *, shade: float
) -> list[Shape]:
    shoulder, elbow, wrist = (joints[JOINT[f"{side}_{n}"]] for n in ("shoulder", "elbow", "wrist"))
    sleeve, skin = shaded(look.shirt, shade * 0.92), shaded(look.skin, shade)
    if look.shirt_pattern == "vest":
        sleeve = skin
    lower = sleeve if look.long_sleeves else skin
    return [
        circle(shoulder[0], shoulder[1], 0.036 * unit, sleeve),
        *_limb([shoulder, elbow, wrist], (0.066 * unit, 0.054 * unit), (sleeve, lower)),
        circle(wrist[0], wrist[1], 0.034 * unit, skin),
    ]


def _leg(
    joints: Sequence[Sequence[float]], side: str, look: Appearance, unit: float, *, shade: float
) -> list[Shape]:
    hip, knee, ankle, toe = (joints[JOINT[f"{side}_{n}"]] for n in ("hip", "knee", "ankle", "toe"))
    cloth, shoe = shaded(look.trousers, shade), shaded(look.shoes, shade)
    lower = cloth if look.long_legs else shaded(look.skin, shade)
    return [
        circle(hip[0], hip[1], 0.05 * unit, cloth),
        *_limb(
            [hip, knee, ankle, toe],
            (0.094 * unit, 0.07 * unit, 0.05 * unit),
            (cloth, lower, shoe),
        ),
    ]


def _torso(
    joints: Sequence[Sequence[float]], nearness: Sequence[float], look: Appearance, unit: float
) -> list[Shape]:
    chest, pelvis = joints[JOINT["chest"]], joints[JOINT["pelvis"]]
    left, right = joints[JOINT["left_shoulder"]], joints[JOINT["right_shoulder"]]
    left_hip, right_hip = joints[JOINT["left_hip"]], joints[JOINT["right_hip"]]
    head = joints[JOINT["head"]]
    body, side = 0.125 * unit, 0.075 * unit
    shirt, trousers = look.shirt, look.trousers
    shapes = [
        Shape("line", (chest[0], chest[1], head[0], head[1]), look.skin, 0.05 * unit),
        circle(pelvis[0], pelvis[1], 0.066 * unit, trousers),
        Shape("line", (left_hip[0], left_hip[1], right_hip[0], right_hip[1]), trousers, body),
        Shape(
            "polygon",
            (*left[:2], *right[:2], *right_hip[:2], *left_hip[:2]),
            shirt,
        ),
        Shape("line", (*left[:2], *left_hip[:2]), shirt, side),
        Shape("line", (*right[:2], *right_hip[:2]), shirt, side),
        Shape("line", (*chest[:2], *pelvis[:2]), shirt, body),
        circle(chest[0], chest[1], 0.058 * unit, shirt),
    ]
    across = abs(left[0] - right[0]) + abs(left[1] - right[1])
    half = 0.5 * max(across + side, body) * 0.96
    length = max(1.0, float(np.hypot(chest[0] - pelvis[0], chest[1] - pelvis[1])))
    normal = ((pelvis[1] - chest[1]) / length, (chest[0] - pelvis[0]) / length)
    if look.shirt_pattern == "stripes":
        for share in (0.1, 0.36, 0.62, 0.88):
            x, y = (chest[i] + share * (pelvis[i] - chest[i]) for i in (0, 1))
            reach = half * (1 - 0.25 * share)
            dx, dy = normal[0] * reach, normal[1] * reach
            shapes.append(
                Shape("line", (x - dx, y - dy, x + dx, y + dy), look.second_shirt, 0.034 * unit)
            )
    elif look.shirt_pattern == "sash":
        shapes.append(Shape("line", (*left[:2], *right_hip[:2]), look.second_shirt, 0.04 * unit))
    elif look.shirt_pattern == "vest":
        shapes.append(Shape("line", (*chest[:2], *pelvis[:2]), look.second_shirt, 0.035 * unit))
    return shapes


def _head(
    joints: Sequence[Sequence[float]], nearness: Sequence[float], look: Appearance, height_px: float
) -> list[Shape]:
    head, nose, chest = joints[JOINT["head"]], joints[JOINT["nose"]], joints[JOINT["chest"]]
    radius = 0.072 * height_px
    ahead = (nose[0] - head[0], nose[1] - head[1])
    up_length = max(1.0, float(np.hypot(head[0] - chest[0], head[1] - chest[1])))
    up = ((head[0] - chest[0]) / up_length, (head[1] - chest[1]) / up_length)
    x, y = head[0], head[1]
    seen_from_front = nearness[JOINT["nose"]] - nearness[JOINT["head"]]
    back = (x - 0.38 * ahead[0], y - 0.38 * ahead[1])
    shapes = [circle(x + 0.85 * ahead[0], y + 0.85 * ahead[1], 0.24 * radius, look.skin)]
    if look.hair_style == "long":
        low = (back[0] - 0.5 * up[0] * radius, back[1] - 0.5 * up[1] * radius)
        shapes.append(circle(*low, 0.95 * radius, look.hair))
    shapes.append(circle(x, y, radius, look.skin))
    if look.hair_style != "bald":
        colour = look.second_shirt if look.hair_style == "cap" else look.hair
        top = (back[0] + 0.42 * up[0] * radius, back[1] + 0.42 * up[1] * radius)
        shapes.append(circle(*top, 0.84 * radius, colour))
        if look.hair_style == "cap":
            brim = (x + 0.9 * ahead[0], y + 0.9 * ahead[1])
            rise = (0.35 * up[0] * radius, 0.35 * up[1] * radius)
            shapes.append(
                Shape(
                    "line",
                    (x + rise[0], y + rise[1], brim[0] + rise[0], brim[1] + rise[1]),
                    colour,
                    0.3 * radius,
                )
            )
    if seen_from_front > 0.0:
        aside = (-up[1], up[0])
        for sign in (-1.0, 1.0):
            eye_x = x + 0.55 * ahead[0] + sign * 0.34 * aside[0] * radius
            eye_y = y + 0.55 * ahead[1] + sign * 0.34 * aside[1] * radius
            shapes.append(circle(eye_x, eye_y, 0.13 * radius, (25, 20, 20)))
    return shapes


def _phone(joints: Sequence[Sequence[float]], side: str, unit: float) -> list[Shape]:
    """Return an upright telephone beside the fist, light with a dark rim."""
    x, y = joints[JOINT[f"{side}_wrist"]][:2]
    high = 0.055 * unit
    return [
        Shape("line", (x, y - high, x, y + high), (20, 20, 26), 0.056 * unit),
        Shape("line", (x, y - 0.8 * high, x, y + 0.8 * high), (225, 232, 240), 0.03 * unit),
    ]


def _bag(
    joints: Sequence[Sequence[float]], side: str, look: Appearance, unit: float
) -> list[Shape]:
    x, y = joints[JOINT[f"{side}_wrist"]][:2]
    half, top, bottom = 0.09 * unit, y + 0.06 * unit, y + 0.22 * unit
    corners = (x - half, top, x + half, top, 0.9 * half + x, bottom, x - 0.9 * half, bottom)
    return [
        Shape("line", (x - 0.6 * half, top, x, y), shaded(look.prop, 0.6), 0.014 * unit),
        Shape("line", (x + 0.6 * half, top, x, y), shaded(look.prop, 0.6), 0.014 * unit),
        Shape("polygon", corners, look.prop),
    ]


def _box(joints: Sequence[Sequence[float]], look: Appearance, height_px: float) -> Shape:
    left, right = joints[JOINT["left_wrist"]], joints[JOINT["right_wrist"]]
    x, y = 0.5 * (left[0] + right[0]), 0.5 * (left[1] + right[1])
    half_width, half_height = 0.1 * height_px, 0.075 * height_px
    return Shape(
        "polygon",
        (
            x - half_width,
            y - half_height,
            x + half_width,
            y - half_height,
            x + half_width,
            y + half_height,
            x - half_width,
            y + half_height,
        ),
        look.prop,
    )
