"""The picture of a search: what is drawn where, and in which colour."""

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from x3d_det.visualization import expansion_chart
from x3d_det.visualization.expansion_chart import ExpansionPoint, draw_expansion

BLUE = (0x00, 0x72, 0xB2)  # X-Fast
ORANGE = (0xD5, 0x5E, 0x00)  # X-Spatial


def _point(axis, cost, score, state, label=None):
    return ExpansionPoint(axis=axis, label=label or axis, cost=cost, score=score, state=state)


def _draw(path, points, **options):
    draw_expansion(points, path, title="t", cost_label="c", score_label="s", **options)
    return np.round(image.imread(path)[..., :3] * 255).astype(int)


def _places(picture, colour):
    """Return (row, column) of the pixels of a colour, without the legend above the plot."""
    rows, columns = np.nonzero((picture == colour).all(axis=-1))
    shown = rows > 100
    return rows[shown], columns[shown]


def test_dearer_is_further_right_better_is_higher_and_failed_is_at_the_bottom(tmp_path):
    points = [
        _point("start", 2e7, 0.2, "chosen"),
        _point("fast", 4e7, 0.6, "chosen"),
        _point("spatial", 4e7, 0.3, "lost"),
        _point("depth", 4e7, None, "failed"),
        _point("spatial", 8e7, 0.5, "stopped"),
    ]
    picture = _draw(tmp_path / "all.png", points, budget=6e7, notes=["a note"])
    blue, orange = _places(picture, BLUE), _places(picture, ORANGE)
    assert np.median(blue[0]) < orange[0].min(), "the better one is higher"
    assert orange[1].max() > blue[1].max(), "the dearer one is further right"
    green = _places(picture, (0x00, 0x9E, 0x73))
    assert green[0].min() > orange[0].max(), "the failed one is below all"


def test_a_chosen_point_is_filled_and_a_lost_one_hollow(tmp_path):
    base = [_point("start", 2e7, 0.2, "chosen"), _point("fast", 4e7, 0.6, "chosen")]
    lost = [*base, _point("spatial", 8e7, 0.4, "lost")]
    chosen = [*base, _point("spatial", 8e7, 0.4, "chosen", label="")]
    few = len(_places(_draw(tmp_path / "lost.png", lost), ORANGE)[0])
    many = len(_places(_draw(tmp_path / "chosen.png", chosen), ORANGE)[0])
    assert 0 < few < many / 2


def test_names_keep_off_points_and_each_other():
    """A path that stays level: names right above the points would run into one another."""
    figure = Figure(figsize=(9, 6), dpi=100)
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.set_xscale("log")
    path = [_point("bottleneck", 1e6 * 1.2**k, 0.5, "chosen", "X-Bottleneck") for k in range(9)]
    axes.plot([point.cost for point in path], [50] * len(path))
    figure.draw_without_rendering()
    expansion_chart._name_path(axes, path, path)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == len(path)
    spots = axes.transData.transform([(point.cost, 50) for point in path])
    for number, box in enumerate(boxes):
        assert box.count_overlaps(boxes[:number]) == 0
        assert not any(box.contains(*spot) for spot in spots)
        assert axes.bbox.x0 <= box.x0 < box.x1 <= axes.bbox.x1


@pytest.mark.parametrize("costs", [(2e6, 2.6e6), (2e6, 4e6), (2e6, 8e7), (2e7, 4e10)])
def test_any_range_of_costs_has_ticks_to_read_it_by(costs):
    axes = Figure().add_subplot()
    axes.set_xscale("log")
    points = [_point("fast", cost, 0.5, "chosen") for cost in costs]
    expansion_chart._style(axes, points, "c", "s")
    assert 3 <= len(axes.get_xticks()) <= 14
