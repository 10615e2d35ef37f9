"""One shot: figures acting in a scene, its pictures and its annotated boxes.

Shape suffixes in this file: T moments, J joints, 3 right, up and nearness.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from x3d_det.synthetic.actions import Role
from x3d_det.synthetic.casting import Actor, camera_pan, cast_roles, seen_joints
from x3d_det.synthetic.figure import Shape, circle, figure_shapes, near_arm_shapes, paint, shaded
from x3d_det.synthetic.scene import CANVAS_SCALE, Scene
from x3d_det.synthetic.skeleton import JOINT

MIN_VISIBLE = 0.3
"""A figure less of which is seen, behind things and edges, is not annotated."""


@dataclass(frozen=True)
class PersonBox:
    """An annotated figure of a keyframe: its number in the shot, box in [0, 1], action ids."""

    actor: int
    box_norm: tuple[float, float, float, float]
    action_ids: tuple[int, ...]


class Shot:
    """Figures acting in a scene for some seconds.

    Args:
        roles: one for each figure; a pair is two equal roles next to each other.
        look_rng: source of bodies, clothes and sizes.
        motion_rng: source of poses, places and the camera's pan.
        scene_rng: source of the background, light and shake.
        height, width: of the picture.
        duration_seconds: of the shot.
        keyframes: seconds of the shot that will be annotated.
    """

    def __init__(
        self,
        roles: Sequence[Role],
        *,
        look_rng: np.random.Generator,
        motion_rng: np.random.Generator,
        scene_rng: np.random.Generator,
        height: int,
        width: int,
        duration_seconds: float,
        keyframes: Sequence[float],
    ) -> None:
        self.height, self.width = height, width
        self._middle_seconds = float(np.mean(keyframes)) if keyframes else duration_seconds / 2
        self.actors = cast_roles(
            roles, look_rng, motion_rng, height=height, width=width, moments=keyframes
        )
        self.pan_px = camera_pan(self.actors, motion_rng)
        self.scene = Scene(
            scene_rng,
            height=height,
            width=width,
            middle_seconds=self._middle_seconds,
            duration_seconds=duration_seconds,
            pan_px=self.pan_px,
        )

    def pictures(self, seconds: Sequence[float]) -> Iterator[np.ndarray]:
        """Yield the pictures (H, W, 3) uint8 RGB at seconds of the shot."""
        for second, figures in zip(seconds, self._figures(seconds), strict=True):
            canvas = self.scene.open_canvas(second)
            draw = ImageDraw.Draw(canvas)
            for _, shapes in figures:
                paint(draw, shapes)
            paint(draw, self.scene.occluder_shapes(second))
            yield self.scene.develop(canvas, second)

    def boxes(self, second: float) -> list[PersonBox]:
        """Return the figures seen well enough at a second, with tight boxes and action ids.

        A box holds what of the figure lies in the picture and not behind an occluder; what
        another figure covers counts as seen for the box, not for the share seen.
        """
        size = (CANVAS_SCALE * self.width, CANVAS_SCALE * self.height)
        figures = [
            (actor, [_moved(shape, size) for shape in shapes])
            for actor, shapes in next(self._figures([second], furniture=False))
        ]
        hidden = [_moved(shape, size) for shape in self.scene.occluder_shapes(second)]
        front = Image.new("L", (3 * size[0], 3 * size[1]), 0)
        draw = ImageDraw.Draw(front)
        for actor, shapes in figures:
            paint(draw, shapes, number=actor + 1)
        paint(draw, hidden, number=255)
        inside = (slice(size[1], 2 * size[1]), slice(size[0], 2 * size[0]))
        seen_HW = np.asarray(front)[inside]
        found = []
        for number in range(len(self.actors)):
            alone = Image.new("L", front.size, 0)
            for actor, shapes in figures:
                if actor == number:
                    paint(ImageDraw.Draw(alone), shapes, number=1)
            alone_HW = np.asarray(alone)
            total = int(alone_HW.sum())
            box_HW = (alone_HW[inside] > 0) & (seen_HW != 255)
            if int((seen_HW == number + 1).sum()) < MIN_VISIBLE * total or not box_HW.any():
                continue
            rows, columns = np.flatnonzero(box_HW.any(axis=1)), np.flatnonzero(box_HW.any(axis=0))
            box = (
                float(columns[0] / size[0]),
                float(rows[0] / size[1]),
                float((columns[-1] + 1) / size[0]),
                float((rows[-1] + 1) / size[1]),
            )
            labels = self.actors[number].performance.labels(second)
            found.append(PersonBox(number, box, labels))
        return found

    def _figures(
        self, seconds: Sequence[float], *, furniture: bool = True
    ) -> Iterator[list[tuple[int, list[Shape]]]]:
        """Yield, second by second, (actor number, shapes on the canvas), far ones first."""
        order = sorted(range(len(self.actors)), key=lambda i: self.actors[i].ground_px)
        tracks = [seen_joints(actor, np.array(seconds)).tolist() for actor in self.actors]
        for moment, second in enumerate(seconds):
            camera = self.scene.camera_px(second)
            figures: list[tuple[int, list[Shape]]] = []
            over: list[tuple[int, list[Shape]]] = []
            for number in order:
                actor = self.actors[number]
                scale = CANVAS_SCALE * actor.height_px
                points, near = self._on_canvas(actor, tracks[number][moment], second, camera)
                look, props = actor.look, actor.performance.props
                shapes = figure_shapes(points, near, look, height_px=scale, props=props)
                if furniture and actor.performance.seat:
                    shapes = _seat(points, actor, scale) + shapes
                figures.append((number, shapes))
                if actor.role.pair == "hug":
                    over.append((number, near_arm_shapes(points, near, look, height_px=scale)))
            yield figures + over

    def _on_canvas(
        self,
        actor: Actor,
        seen: Sequence[Sequence[float]],
        second: float,
        camera_px: tuple[float, float],
    ) -> tuple[list[tuple[float, float]], list[float]]:
        """Return the joints' canvas points and their nearness."""
        right, down = camera_px
        scale = CANVAS_SCALE * actor.height_px
        drift = actor.drift_px() * (second - self._middle_seconds)
        x0, y0 = (
            CANVAS_SCALE * (actor.x_px + drift - right),
            CANVAS_SCALE * (actor.ground_px - down),
        )
        points = [(x0 + scale * joint[0], y0 - scale * joint[1]) for joint in seen]
        return points, [joint[2] for joint in seen]


def _seat(points: Sequence[Sequence[float]], actor: Actor, scale: float) -> list[Shape]:
    """Return a block with a back under a seated figure."""
    pelvis, nose, head = (points[JOINT[name]] for name in ("pelvis", "nose", "head"))
    ground = max(points[JOINT["left_ankle"]][1], points[JOINT["right_ankle"]][1])
    colour = shaded(actor.look.prop, 0.7)
    half, top = 0.13 * scale, pelvis[1] + 0.05 * scale
    x, behind = pelvis[0], -1.0 if nose[0] > head[0] else 1.0
    back_x = x + behind * half
    return [
        Shape("line", (back_x, top - 0.28 * scale, back_x, ground), colour, 0.05 * scale),
        Shape(
            "polygon", (x - half, top, x + half, top, x + half, ground, x - half, ground), colour
        ),
        circle(back_x, top - 0.28 * scale, 0.025 * scale, colour),
    ]


def _moved(shape: Shape, by: tuple[int, int]) -> Shape:
    """Return the shape moved right and down."""
    points = [value + by[index % 2] for index, value in enumerate(shape.points)]
    return shape._replace(points=points)
