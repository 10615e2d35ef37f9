"""Who acts in a shot: figures with their bodies, clothes, sizes and places.

Shape suffixes in this file: T moments, J joints, 3 right, up and nearness.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from x3d_det.synthetic.actions import GAITS, Performance, Role, perform, perform_pair
from x3d_det.synthetic.figure import Appearance, random_appearance
from x3d_det.synthetic.motions import random_gait
from x3d_det.synthetic.skeleton import Proportions, joint_positions, project, random_proportions


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A figure with its place in the picture.

    Attributes:
        role: what it does, in words.
        performance: what it does, second by second.
        body: lengths.
        look: clothes.
        height_px: upright, in picture pixels.
        x_px: of its origin when the camera's pan passes its middle.
        ground_px: y of the ground under its origin.
        elevation: how far the camera looks down, degrees.
        aside: (right, near) of its origin from the pair's middle, body heights.
    """

    role: Role
    performance: Performance
    body: Proportions
    look: Appearance
    height_px: float
    x_px: float
    ground_px: float
    elevation: float
    aside: tuple[float, float] = (0.0, 0.0)

    def drift_px(self) -> float:
        """Return how fast the figure goes right over the ground, pixels per second."""
        return float(
            self.performance.speed * self.height_px * np.cos(np.radians(self.performance.yaw))
        )


def cast_roles(
    roles: Sequence[Role],
    look_rng: np.random.Generator,
    motion_rng: np.random.Generator,
    *,
    height: int,
    width: int,
    moments: Sequence[float],
) -> list[Actor]:
    """Return the actors, side by side with some play, pairs together."""
    groups: list[list[Role]] = []
    for role in roles:
        if role.pair and groups and groups[-1][0].pair == role.pair and len(groups[-1]) == 1:
            groups[-1].append(role)
        else:
            groups.append([role])
    elevation = motion_rng.uniform(3, 14)
    slots = (np.arange(len(groups)) + motion_rng.uniform(0.32, 0.68, len(groups))) / len(groups)
    smallest, largest = {1: (0.62, 0.92), 2: (0.58, 0.86)}.get(len(groups), (0.5, 0.74))
    actors: list[Actor] = []
    for group, slot in zip(groups, motion_rng.permutation(slots), strict=True):
        share = motion_rng.uniform(smallest, largest)
        ground_px = height * (0.76 + 0.22 * (share - 0.35) / 0.5 + motion_rng.uniform(-0.02, 0.02))
        bodies = [random_proportions(look_rng) for _ in group]
        acts: Sequence[Performance]
        if len(group) == 2:
            first, second, gap = perform_pair(group[0], (bodies[0], bodies[1]), motion_rng)
            acts = (first, second)
            turn = np.radians(first.yaw)
            step = (0.5 * gap * float(np.cos(turn)), 0.5 * gap * float(np.sin(turn)))
            asides = [(-step[0], -step[1]), step]
            half_px = min((0.5 * gap + 0.16) * share * height, 0.5 * width)
            x_px = float(np.clip(slot * width, half_px, width - half_px))
        else:
            acts, asides = (perform(group[0], bodies[0], motion_rng),), [(0.0, 0.0)]
            x_px = float(slot * width)
        for role, body, act, aside in zip(group, bodies, acts, asides, strict=True):
            own = look_rng.uniform(0.95, 1.05) if len(group) == 2 else 1.0
            actor = Actor(
                role=role,
                performance=act,
                body=body,
                look=random_appearance(look_rng),
                height_px=share * height * own,
                x_px=x_px,
                ground_px=ground_px + 0.5 * aside[1],  # the nearer partner is drawn over the other
                elevation=elevation,
                aside=aside,
            )
            actors.append(_centred(actor, moments, width) if len(group) == 1 else actor)
    return actors


def seen_joints(actor: Actor, seconds_T: np.ndarray) -> np.ndarray:
    """Return right, up and nearness (T, J, 3) of an actor's joints, body heights."""
    act = actor.performance
    joints_TJ3 = joint_positions(act.poses(seconds_T), actor.body, feet_stay=act.feet_stay)
    seen_TJ3 = project(joints_TJ3, yaw=act.yaw, elevation=actor.elevation)
    right, near = actor.aside
    tip = np.radians(actor.elevation)
    return seen_TJ3 + np.array([right, -near * np.sin(tip), near * np.cos(tip)])


def _centred(actor: Actor, moments: Sequence[float], width: int) -> Actor:
    """Return the actor moved so that what it fills at the keyframes lies round its place."""
    if not moments:
        return actor
    across = seen_joints(actor, np.array(moments))[:, :, 0] * actor.height_px
    low, high = float(across.min()), float(across.max())
    x_px = actor.x_px - 0.5 * (low + high)
    if high - low < width:
        x_px = min(max(x_px, -low + 4), width - high - 4)
    return replace(actor, x_px=x_px)


def camera_pan(actors: Sequence[Actor], rng: np.random.Generator) -> float:
    """Return how fast the camera pans, pixels per second.

    It follows a figure of the shot more or less. Where that one stands, it follows somebody
    who might have walked or run there, so that the pan does not tell the gait.
    """
    gaits = [actor for actor in actors if actor.role.body in GAITS and not actor.role.pair]
    follow = rng.uniform(0.2, 0.95)
    if not gaits or rng.random() < 0.15:
        return float(rng.uniform(-18, 18))
    leader = gaits[int(rng.integers(len(gaits)))]
    if leader.role.body != "stand":
        return follow * leader.drift_px()
    other = random_gait(str(rng.choice(["walk", "run"])), rng)
    turn = np.radians(leader.performance.yaw)
    return float(follow * other.speed(leader.body) * leader.height_px * np.cos(turn))
