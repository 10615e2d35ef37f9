"""Accuracy against cost: curves of named models on logarithmic axes, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from x3d_det.io.png import write_png

_INK, _FAINT, _GRID = "#26262b", "#6d6d76", "#e3e3e8"
_COLOURS = ("#145cb9", "#ee6c32", "#009e73", "#b3589a", "#c78a00", "#5b6470", "#7aa6d6", "#8c5a3c")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")

_DPI = 110
# Where a name may stand from its point: above, below, left, right.
_NAME_SHIFTS_PX = tuple(np.array(shift) for shift in ((0, 14), (0, -14), (-20, 0), (20, 0)))
_NAME_WIDTH_PX, _NAME_HEIGHT_PX = 19, 13
_SAME_PX = 26


@dataclass(frozen=True, kw_only=True)
class CostCurve:
    """Models of one kind."""

    label: str
    points: tuple[tuple[str, float, float], ...]
    """Name of the model, cost (above 0), accuracy in per cent; from the cheapest on."""
    is_named: bool = True
    """Whether the names stand beside the points."""
    deviations: tuple[float, ...] | None = None
    """Standard deviation of each point's cost, drawn as a bar."""


@dataclass(frozen=True, kw_only=True)
class CostPanel:
    """One pair of axes; accuracy is its height."""

    title: str
    cost: str
    """What the horizontal axis shows, with its unit."""
    curves: tuple[CostCurve, ...]


def draw_cost_chart(
    panels: Sequence[CostPanel], output_png: str | Path, *, title: str, footnote: str = ""
) -> Path:
    """Draw the panels side by side, with a common scale of accuracy; return the picture's path.

    Args:
        panels: one or more, each with a point or more.
        output_png: picture to write; its folder is made where missing.
        title: above all.
        footnote: sources, below all; several lines are allowed.

    Raises:
        X3DDetError: the picture cannot be written.
    """
    num_notes = len(footnote.splitlines())
    height = 6.1 + 0.17 * num_notes
    figure = Figure(figsize=(7.4 * len(panels), height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    bottom = (0.68 + 0.17 * num_notes) / height
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(
        left=0.62 / (7.4 * len(panels)) + 0.005, right=0.985, bottom=bottom,
        top=1 - 0.95 / height, wspace=0.05,
    )  # fmt: skip
    for panel, place in zip(panels, axes, strict=True):
        _draw_panel(place, panel)
    figure.draw_without_rendering()  # settles the scales, which the places of the names want
    for panel, place in zip(panels, axes, strict=True):
        _name_points(place, panel)
    axes[0].set_ylabel("Kinetics-400 top-1, per cent", color=_INK, fontsize=10)
    figure.text(0.012, 1 - 0.36 / height, title, color=_INK, fontsize=14, fontweight="bold")
    figure.text(
        0.012, 0.10 / height, footnote, color=_FAINT, fontsize=8, va="bottom", linespacing=1.35
    )
    Path(output_png).parent.mkdir(parents=True, exist_ok=True)
    return write_png(figure, output_png)


def _draw_panel(axes: Axes, panel: CostPanel) -> None:
    axes.set_xscale("log")
    for number, curve in enumerate(panel.curves):
        colour = _colour(number)
        costs = [cost for _, cost, _ in curve.points]
        heights = [accuracy for _, _, accuracy in curve.points]
        axes.plot(
            costs, heights, color=colour, linewidth=1.8, marker=_MARKERS[number % len(_MARKERS)],
            markersize=6, label=curve.label,
        )  # fmt: skip
        if curve.deviations is not None:
            axes.errorbar(
                costs, heights, xerr=curve.deviations, fmt="none", ecolor=colour, elinewidth=1.2,
                capsize=3,
            )  # fmt: skip
    _style(axes, panel)


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _name_points(axes: Axes, panel: CostPanel) -> None:
    """Write the models' names beside their points; one name does for points that coincide.

    Names keep clear of each other and of all points. It wants final axes: places are in pixels.
    """
    points = {
        (number, name): axes.transData.transform((cost, accuracy))
        for number, curve in enumerate(panel.curves)
        for name, cost, accuracy in curve.points
    }
    taken: list[tuple[str, np.ndarray]] = []
    for (number, name), point in points.items():
        if not panel.curves[number].is_named or any(
            name == other and np.hypot(*(point - at)) < _SAME_PX for other, at in taken
        ):
            continue
        free = [
            shift
            for shift in _NAME_SHIFTS_PX
            if not any(_overlap(point + shift, at) for _, at in taken)
            and not any(_overlap(point + shift, at) for at in points.values())
        ]
        shift = free[0] if free else _NAME_SHIFTS_PX[0]
        taken.append((name, point + shift))
        x, y = axes.transAxes.inverted().transform(point + shift)
        axes.text(
            x, y, name, transform=axes.transAxes, ha="center", va="center", fontsize=9,
            color=_colour(number), fontweight="bold",
        )  # fmt: skip


def _overlap(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two names, or a name and a point, with these centres would touch."""
    across, up = np.abs(first - second)
    return bool(across < _NAME_WIDTH_PX and up < _NAME_HEIGHT_PX)


def _style(axes: Axes, panel: CostPanel) -> None:
    costs = [cost for curve in panel.curves for _, cost, _ in curve.points]
    low, high = min(costs) / 1.6, max(costs) * 1.6
    axes.set_xlim(low, high)
    subdivisions = (1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)
    ticks = LogLocator(subs=subdivisions).tick_values(low, high)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.5g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title(panel.title, loc="left", color=_INK, fontsize=11, pad=10)
    axes.set_xlabel(panel.cost, color=_INK, fontsize=10)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(y=0.1)
    axes.tick_params(colors=_INK, labelsize=9, length=0)
    axes.legend(frameon=False, fontsize=9, labelcolor=_INK, loc="lower right")
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color("#9a9aa2")
