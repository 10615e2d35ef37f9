"""A search as a picture: accuracy against cost, every candidate a point, the chosen path a line."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from x3d_det.io.png import write_png
from x3d_det.words import short_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# One colour and marker an axis, apart for all kinds of sight (Okabe and Ito's eight).
_STYLES = {
    "start": ("#26262b", "o"),
    "fast": ("#0072b2", "^"),
    "temporal": ("#56b4e9", "v"),
    "spatial": ("#d55e00", "s"),
    "depth": ("#009e73", "D"),
    "width": ("#cc79a7", "P"),
    "bottleneck": ("#e69f00", "X"),
}
_INK, _FAINT, _GRID, _PATH = "#26262b", "#6d6d76", "#e3e3e8", "#9a9aa2"
_DPI = 110
_WIDTH, _HEIGHT = 9.6, 6.2
_LINE_INCHES = 0.17
_LETTERS_A_LINE = 135
_MARKER_PX = 9  # half of a point's square that names keep off
# Where a name may stand beside its point, the first one best: offset in points, alignment.
_NAME_PLACES: tuple[tuple[tuple[int, int], Literal["right", "left", "center"]], ...] = (
    ((-7, 9), "right"), ((0, 12), "center"), ((7, 9), "left"), ((7, -15), "left"),
    ((0, -19), "center"), ((-7, -15), "right"), ((0, 28), "center"), ((0, -35), "center"),
    ((-9, 28), "right"), ((9, -35), "left"), ((0, 46), "center"), ((0, -53), "center"),
)  # fmt: skip
_NAME_PRICE, _POINT_PRICE, _LINE_PRICE = 50, 20, 8  # of what a name covers, in places
_TICKS: tuple[tuple[float, ...], ...] = (
    (1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0),
    tuple(i / 5 for i in range(5, 50)),
)  # fmt: skip
_FEWEST_TICKS = 3


@dataclass(frozen=True, kw_only=True)
class ExpansionPoint:
    """A candidate of a search.

    Attributes:
        axis: that made it, by the name that settings have: `fast`, or `start`.
        label: name of the axis for people: `X-Fast`.
        cost: above 0.
        score: in [0, 1]; None where it failed.
        state: what became of it. The chosen ones, in the order given, are the path.
        is_contracted: whether it is a step's candidate brought back within the budget.
    """

    axis: str
    label: str
    cost: float
    score: float | None
    state: Literal["chosen", "lost", "stopped", "failed"]
    is_contracted: bool = False


def draw_expansion(
    points: Sequence[ExpansionPoint],
    output_png: str | Path,
    *,
    title: str,
    cost_label: str,
    score_label: str,
    budget: float | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Draw a search in the form of the paper's figure 2; return the picture's path.

    Filled points were chosen, the others lost; hollow ones with a dot were stopped early.
    Failed candidates have no score: they stand as crosses on the lower edge.

    Args:
        points: of the search, at least one of them chosen.
        output_png: picture to write.
        title: above all.
        cost_label: of the horizontal axis, which is logarithmic.
        score_label: of the vertical axis, in per cent.
        budget: in the unit of the costs; drawn as a dashed line.
        notes: lines below the picture.

    Raises:
        X3DDetError: the picture cannot be written.

    Source: X3D, arXiv:2004.04730, Fig. 2.
    """
    from matplotlib.figure import Figure

    lines = _note_lines(points, notes)
    height = _HEIGHT + _LINE_INCHES * len(lines)
    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
    bottom = 0.72 + _LINE_INCHES * len(lines)
    axes = figure.add_axes((0.075, bottom / height, 0.905, (height - bottom - 0.92) / height))
    axes.set_xscale("log")
    path = [point for point in points if point.state == "chosen"]
    axes.plot(*zip(*map(_place, path), strict=True), color=_PATH, linewidth=2.2, zorder=2)
    _draw_points(axes, points)
    _style(axes, points, cost_label, score_label)
    if budget is not None:
        _draw_budget(axes, budget)
    figure.draw_without_rendering()  # settles the scales: places of names are in pixels
    _name_path(axes, path, points)
    figure.text(0.012, 1 - 0.34 / height, title, color=_INK, fontsize=14, fontweight="bold")
    figure.text(
        0.012,
        0.1 / height,
        "\n".join(lines),
        color=_FAINT,
        fontsize=8,
        va="bottom",
        linespacing=1.35,
    )
    return write_png(figure, output_png)


def _draw_budget(axes: "Axes", budget: float) -> None:
    low, high = axes.get_xlim()
    if not low < budget < high:
        return
    axes.axvline(budget, color=_FAINT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        "budget", (budget, 0.02), xycoords=("data", "axes fraction"), xytext=(-4, 0), ha="right",
        textcoords="offset points", fontsize=9, color=_FAINT,
    )  # fmt: skip


def _draw_points(axes: "Axes", points: Sequence[ExpansionPoint]) -> None:
    from matplotlib.transforms import blended_transform_factory

    on_edge = blended_transform_factory(axes.transData, axes.transAxes)
    for point in points:
        colour, marker = _STYLES[point.axis]
        if point.score is None:
            axes.plot(
                point.cost, 0.015, marker="x", color=colour, markersize=9, markeredgewidth=2.2,
                transform=on_edge, linestyle="none", zorder=4,
            )  # fmt: skip
            continue
        place = _place(point)
        is_chosen = point.state == "chosen"
        axes.plot(
            *place, marker=marker, color=colour, markersize=10 if is_chosen else 7.5, zorder=4,
            markerfacecolor=colour if is_chosen else "white", markeredgewidth=1.5,
            linestyle="none",
        )  # fmt: skip
        if point.state == "stopped":
            axes.plot(*place, marker=".", color=colour, markersize=4, zorder=5)


def _style(
    axes: "Axes", points: Sequence[ExpansionPoint], cost_label: str, score_label: str
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    costs = [point.cost for point in points]
    low, high = min(costs) / 1.5, max(costs) * 1.25
    axes.set_xlim(low, high)
    for subdivisions in _TICKS[0 if high / low >= 1000 else 1 :]:
        ticks = LogLocator(subs=subdivisions, numticks=99).tick_values(low, high)
        shown = [tick for tick in ticks if low <= tick <= high]
        if len(shown) >= _FEWEST_TICKS:
            break
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axes.margins(y=0.1)
    axes.set_xlabel(cost_label, color=_INK, fontsize=10)
    axes.set_ylabel(score_label, color=_INK, fontsize=10)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, labelsize=9, length=0)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(_PATH)
    labels = {point.axis: point.label for point in points}
    handles = [
        Line2D(
            [], [], color=colour, marker=marker, linestyle="none", markersize=7,
            label=labels[axis],
        )
        for axis, (colour, marker) in _STYLES.items()
        if axis in labels
    ]  # fmt: skip
    axes.legend(  # above the plot, where it covers no point
        handles=handles, frameon=False, fontsize=9, labelcolor=_INK, loc="lower left",
        bbox_to_anchor=(-0.015, 1.0), ncols=len(handles), columnspacing=1.4, handletextpad=0.2,
    )  # fmt: skip


def _place(point: ExpansionPoint) -> tuple[float, float]:
    return point.cost, 100 * (point.score or 0.0)


def _name_path(
    axes: "Axes", path: Sequence[ExpansionPoint], points: Sequence[ExpansionPoint]
) -> None:
    """Write the axes' names at the path, as clear of points, path and each other as they can be.

    It wants final axes.
    """
    from matplotlib.path import Path as Line
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    spots = axes.transData.transform([_place(one) for one in points if one.score is not None])
    squares = [
        Bbox.from_extents(x - _MARKER_PX, y - _MARKER_PX, x + _MARKER_PX, y + _MARKER_PX)
        for x, y in spots
    ]
    line = Line(axes.transData.transform([_place(one) for one in path]))
    names: list[Bbox] = []

    def price(number: int, box: Bbox) -> float:
        is_outside = not (axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1)
        is_outside |= not (axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1)
        return (
            number
            + _NAME_PRICE * (is_outside + box.count_overlaps(names))
            + _POINT_PRICE * box.count_overlaps(squares)
            + _LINE_PRICE * line.intersects_bbox(box, filled=False)
        )

    for point in path:
        text = axes.annotate(
            point.label + ", contracted" * point.is_contracted, _place(point), xytext=(0, 0),
            textcoords="offset points", fontsize=9, fontweight="bold", zorder=5,
            color=_STYLES[point.axis][0],
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip
        found = []
        for number, (offset, alignment) in enumerate(_NAME_PLACES):
            text.set_position(offset)
            text.set_horizontalalignment(alignment)
            box = text.get_window_extent()
            found.append((price(number, box), number, box))
        _, best, box = min(found, key=lambda one: one[:2])
        offset, alignment = _NAME_PLACES[best]
        text.set_position(offset)
        text.set_horizontalalignment(alignment)
        names.append(box)


def _note_lines(points: Sequence[ExpansionPoint], notes: Sequence[str]) -> list[str]:
    states = {point.state for point in points}
    text = "Filled: chosen. Hollow: lost."
    if "stopped" in states:
        text += " With a dot: stopped early, where it stood then."
    if "failed" in states:
        text += " Crosses below: failed."
    return [line for part in (text, *notes) for line in textwrap.wrap(part, _LETTERS_A_LINE)]
