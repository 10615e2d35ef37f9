"""The picture of a search: what is drawn where, and in which colour."""

import numpy as np
import pytest
from matplotlib import image

from x3d_det.visualization.expansion_chart import ExpansionPoint, draw_expansion, short_number

BLUE = (0x00, 0x72, 0xB2)  # X-Fast
ORANGE = (0xD5, 0x5E, 0x00)  # X-Spatial


def _point(axis, cost, score, state, label=None):
    return ExpansionPoint(axis=axis, label=label or axis, cost=cost, score=score, state=state)


def _draw(path, points, **options):
    draw_expansion(points, path, title="t", cost_label="c", score_label="s", **options)
    return np.round(image.imread(path)[..., :3] * 255).astype(int)


def _places(picture, colour):
    """Return (row, column) of the pixels of a colour, without the legend at the upper left."""
    rows, columns = np.nonzero((picture == colour).all(axis=-1))
    shown = ~((columns < 260) & (rows < 200))
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


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.066e7, "20.66 M"), (1.5e9, "1.5 G"), (2000, "2 k"), (0.02, "0.02"), (5.0e13, "50 T")],
)
def test_costs_in_short(value, text):
    assert short_number(value) == text
