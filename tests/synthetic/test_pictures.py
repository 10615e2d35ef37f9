"""Figures, scenes and shots as pictures: boxes, cover, camera, light."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from x3d_det.synthetic.actions import Role
from x3d_det.synthetic.casting import camera_pan
from x3d_det.synthetic.figure import Shape, circle, figure_shapes, paint, random_appearance, shaded
from x3d_det.synthetic.scene import CANVAS_SCALE, Occluder, Scene
from x3d_det.synthetic.shot import Shot
from x3d_det.synthetic.skeleton import Proportions, joint_positions, pose, project

HEIGHT, WIDTH = 240, 320


def make_shot(*roles: Role, seed: int = 0, duration: float = 3.0, scene_seed: int = 0) -> Shot:
    return Shot(
        roles,
        look_rng=np.random.default_rng(seed),
        motion_rng=np.random.default_rng(seed + 1000),
        scene_rng=np.random.default_rng(scene_seed),
        height=HEIGHT,
        width=WIDTH,
        duration_seconds=duration,
        keyframes=[1.0, 2.0],
    )


def test_shapes_are_painted_where_they_are():
    picture = Image.new("L", (12, 8), 0)
    shapes = [
        Shape("polygon", (1, 1, 4, 1, 4, 3, 1, 3), (9, 9, 9)),
        circle(9, 4, 1, (9, 9, 9)),
    ]
    paint(ImageDraw.Draw(picture), shapes, number=5)
    found_HW = np.asarray(picture)
    assert set(np.unique(found_HW)) == {0, 5}
    # Pillow fills corners included: rows 1 to 3, columns 1 to 4; the circle 8 to 10, 3 to 5.
    assert (found_HW[1:4, 1:5] == 5).all()
    rows, columns = np.nonzero(found_HW[:, 6:])
    assert (rows.min(), rows.max(), columns.min() + 6, columns.max() + 6) == (3, 5, 8, 10)


def test_shading_stays_in_range():
    assert shaded((100, 200, 250), 0.5) == (50, 100, 125)
    assert shaded((100, 200, 250), 1.3) == (130, 255, 255)


def test_figure_is_as_high_as_asked_and_paints_its_clothes():
    joints_J3 = project(joint_positions(pose()[None], Proportions()), yaw=90, elevation=0)[0]
    points = [(200 + 300 * x, 380 - 300 * y) for x, y, _ in joints_J3.tolist()]
    look = random_appearance(np.random.default_rng(0))
    shapes = figure_shapes(points, joints_J3[:, 2].tolist(), look, height_px=300)
    mask = Image.new("L", (400, 400), 0)
    paint(ImageDraw.Draw(mask), shapes, number=1)
    rows = np.flatnonzero(np.asarray(mask).any(axis=1))
    # Soles to crown: 0.47 + 0.29 + 0.055 + 2 x 0.07 = 0.955 of 300, and the feet's thickness.
    assert 0.93 * 300 < rows[-1] - rows[0] < 1.08 * 300
    picture = Image.new("RGB", (400, 400), (1, 2, 3))
    paint(ImageDraw.Draw(picture), shapes)
    colours = {tuple(c) for c in np.asarray(picture).reshape(-1, 3).tolist()}
    assert {look.shirt, look.skin, look.trousers} <= colours


def test_props_are_drawn():
    joints_J3 = project(joint_positions(pose()[None], Proportions()), yaw=45, elevation=0)[0]
    points = [(200 + 300 * x, 380 - 300 * y) for x, y, _ in joints_J3.tolist()]
    near = joints_J3[:, 2].tolist()
    look = random_appearance(np.random.default_rng(0))
    bare = figure_shapes(points, near, look, height_px=300)
    for prop in ("box", "left_bag", "right_phone"):
        held = figure_shapes(points, near, look, height_px=300, props=(prop,))
        assert len(held) > len(bare), prop


def test_box_is_tight_round_what_the_picture_shows():
    """The oracle: pixels that change when the figure is taken away."""
    shot = make_shot(Role(body="crouch"), seed=3, scene_seed=2)
    shot.scene._occluders = []
    with_figure = next(shot.pictures([1.0])).astype(int)
    [person] = shot.boxes(1.0)
    shot.actors = []
    without = next(shot.pictures([1.0])).astype(int)
    changed_HW = np.abs(with_figure - without).max(axis=2) > 12
    rows, columns = np.flatnonzero(changed_HW.any(axis=1)), np.flatnonzero(changed_HW.any(axis=0))
    seen = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    found = np.array(person.box_norm) * (WIDTH, HEIGHT, WIDTH, HEIGHT)
    np.testing.assert_allclose(found, seen, atol=2.0)
    assert person.action_ids == (3,)


def test_boxes_lie_in_the_picture_and_are_not_empty():
    roles = [Role(body="run", gesture="wave"), Role(body="walk"), Role(body="lie")]
    for seed in range(4):
        for person in make_shot(*roles, seed=seed).boxes(2.0):
            x1, y1, x2, y2 = person.box_norm
            assert 0 <= x1 < x2 <= 1
            assert 0 <= y1 < y2 <= 1


def cover(shot: Shot, *, left: float, width: float) -> None:
    shot.scene._occluders = [
        Occluder(left_px=left, top_px=-50, width_px=width, height_px=400, colour=(1, 1, 1))
    ]


def test_a_hidden_figure_is_not_annotated_and_half_a_figure_has_half_a_box():
    shot = make_shot(Role(body="bend"), seed=5)
    shot.scene._occluders = []
    shot.scene._shake = []
    shot.scene._pan_px = 0.0
    [whole] = shot.boxes(1.0)
    x1, _, x2, _ = (side * WIDTH for side in whole.box_norm)
    cover(shot, left=x1 - 5, width=x2 - x1 + 10)
    assert shot.boxes(1.0) == []
    middle = 0.5 * (x1 + x2)
    cover(shot, left=x1 - 5, width=middle - x1 + 5)
    halves = shot.boxes(1.0)
    for half in halves:  # the half in sight may be too little of the figure
        assert half.box_norm[0] * WIDTH >= middle - 1
    cover(shot, left=x1 - 5, width=10)
    [edge] = shot.boxes(1.0)
    assert edge.box_norm[0] > whole.box_norm[0]


def test_a_shot_without_figures_has_pictures_and_no_boxes():
    shot = make_shot()
    assert shot.boxes(1.0) == []
    [picture] = shot.pictures([1.0])
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.dtype == np.uint8
    assert list(shot.pictures([])) == []


def test_the_same_streams_give_the_same_pictures():
    roles = (Role(body="stand", pair="hug"), Role(body="stand", pair="hug"), Role(body="sit"))
    one, other = make_shot(*roles, seed=1), make_shot(*roles, seed=1)
    for first, second in zip(one.pictures([0.5, 1.0]), other.pictures([0.5, 1.0]), strict=True):
        np.testing.assert_array_equal(first, second)
    assert one.boxes(1.0) == other.boxes(1.0)
    [changed] = make_shot(*roles, seed=1, scene_seed=9).pictures([1.0])
    assert np.abs(changed.astype(int) - second).mean() > 5


def test_pictures_do_not_depend_on_which_moments_are_asked_for():
    shot = make_shot(Role(body="run"), Role(body="jump"), seed=2)
    *_, last = shot.pictures([0.2, 0.7, 1.1])
    [alone] = shot.pictures([1.1])
    np.testing.assert_array_equal(last, alone)


def test_camera_pans_past_the_background():
    scene = Scene(
        np.random.default_rng(3),
        height=60,
        width=80,
        middle_seconds=1.0,
        duration_seconds=2.0,
        pan_px=20.0,
    )
    scene._shake, scene._things, scene._scroll_px = [], [], 0.0
    assert scene.camera_px(1.0) == (0.0, 0.0)
    assert scene.camera_px(1.5) == (10.0, 0.0)
    now = np.asarray(scene.open_canvas(1.0))
    later = np.asarray(scene.open_canvas(1.5))
    np.testing.assert_array_equal(now[:, 10 * CANVAS_SCALE :], later[:, : -10 * CANVAS_SCALE])


def test_occluders_pass_faster_than_figures():
    scene = Scene(
        np.random.default_rng(3),
        height=60,
        width=80,
        middle_seconds=1.0,
        duration_seconds=2.0,
        pan_px=20.0,
    )
    scene._shake = []
    scene._occluders = [Occluder(left_px=40, top_px=0, width_px=5, height_px=60, colour=(9, 9, 9))]
    now, later = (scene.occluder_shapes(second)[0].points[0] for second in (1.0, 1.5))
    assert now - later == pytest.approx(1.15 * 10 * CANVAS_SCALE)


def test_pan_of_standing_and_moving_leaders_is_alike():
    """A camera that told walkers from standers by itself would give the gait away."""
    pans: dict[str, list[float]] = {"stand": [], "walk": [], "run": []}
    for seed in range(40):
        for body, found in pans.items():
            actors = make_shot_actors(body, seed)
            found.append(abs(camera_pan(actors, np.random.default_rng(seed))))
    assert np.mean(pans["walk"]) < np.mean(pans["stand"]) < np.mean(pans["run"])


def make_shot_actors(body: str, seed: int):
    from x3d_det.synthetic.casting import cast_roles

    return cast_roles(
        [Role(body=body)],
        np.random.default_rng(seed),
        np.random.default_rng(seed + 1),
        height=HEIGHT,
        width=WIDTH,
        moments=[1.0],
    )


def test_light_drifts_and_keeps_black_black():
    scene = make_shot(scene_seed=4).scene
    tables = [np.array(scene._light.table(second)).reshape(3, 256) for second in (0.0, 1.5)]
    for table in tables:
        assert table.shape == (3, 256)
        assert (table[:, 0] == 0).all()
        assert table.min() >= 0
        assert table.max() <= 255
        assert (np.diff(table, axis=1) >= 0).all()
    assert (tables[0] != tables[1]).any()
