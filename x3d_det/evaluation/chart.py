"""Bars of the AP of each action, as a PNG."""

import math
from collections.abc import Sequence

from x3d_det.io.png import png_of

_GROUP_COLOURS = {
    "PERSON_MOVEMENT": "#2f6db3",
    "OBJECT_MANIPULATION": "#e08a2b",
    "PERSON_INTERACTION": "#3f9b63",
}
_OTHER_COLOURS = ("#7a6bb0", "#b35a7c", "#6d8b94", "#a08c4a")
_NO_GROUP_COLOUR = "#5f7d9c"
_INK = "#22272e"
_FAINT = "#8a929c"


def draw_class_bars(
    bars: Sequence[tuple[str, str, float, int]], *, title: str, mean_ap: float
) -> bytes:
    """Return a PNG of horizontal bars, one an action.

    Args:
        bars: (name, group or "", AP in [0, 1], number of annotations), drawn from the
            top in this order; may be empty.
        title: first line.
        mean_ap: drawn as a dashed line; NaN is not.
    """
    from matplotlib.figure import Figure

    height = 1.5 + 0.21 * max(len(bars), 4)
    figure = Figure(figsize=(9.0, height), dpi=120, facecolor="white")
    axes = figure.add_axes((0.36, 0.62 / height, 0.58, (height - 1.3) / height))
    colours = _colours([group for _, group, _, _ in bars])
    places = range(len(bars))
    values = [ap for _, _, ap, _ in bars]
    axes.barh(places, values, height=0.72, color=[colours[bar[1]] for bar in bars], zorder=2)
    for place, (_, _, ap, _) in enumerate(bars):
        axes.text(
            ap + 0.008, place, f"{ap:.3f}", va="center", fontsize=7.5, color=_INK, zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    axes.set_yticks(
        list(places), [f"{_shortened(name)}  ({number:,})" for name, _, _, number in bars],
        fontsize=8, color=_INK,
    )  # fmt: skip
    axes.set_ylim(max(len(bars), 4) - 0.4, -0.6)
    axes.set_xlim(0, max(0.1, min(1.08, 1.12 * max(values, default=1.0))))
    axes.set_xlabel("average precision", fontsize=8.5, color=_INK)
    axes.tick_params(axis="x", labelsize=8, colors=_INK)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.grid(True, color="#e3e6ea", linewidth=0.8, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#c5cad1")
    if not math.isnan(mean_ap):
        axes.axvline(mean_ap, color=_INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=3)
    if not bars:
        axes.text(
            0.5, 0.5, "no action has annotations", transform=axes.transAxes, ha="center",
            va="center", fontsize=11, color=_FAINT,
        )  # fmt: skip
    figure.text(0.02, 1 - 0.3 / height, title, fontsize=12, fontweight="bold", color=_INK)
    _legend(figure, [group for group in colours if group], colours, 1 - 0.53 / height)
    return png_of(figure)


def _legend(figure, groups, colours, y) -> None:  # type: ignore[no-untyped-def]
    """Write the groups' names in their colours on one line, then what the numbers are."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colours[group], linewidth=6, label=group.lower().replace("_", " "))
        for group in groups
    ]
    handles.append(Line2D([], [], color=_INK, linewidth=1, linestyle=(0, (4, 3)), label="mean"))
    handles.append(Line2D([], [], linestyle="none", label="(in brackets: annotations)"))
    figure.legend(
        handles=handles, loc="center left", bbox_to_anchor=(0.012, y), ncols=len(handles),
        fontsize=8, frameon=False, handlelength=1.2, columnspacing=1.4, labelcolor=_INK,
    )  # fmt: skip


def _colours(groups: Sequence[str]) -> dict[str, str]:
    """Return a colour for each group that occurs, AVA's three first."""
    occurring = dict.fromkeys(groups)
    colours = {name: colour for name, colour in _GROUP_COLOURS.items() if name in occurring}
    strangers = [name for name in occurring if name and name not in colours]
    for number, name in enumerate(strangers):
        colours[name] = _OTHER_COLOURS[number % len(_OTHER_COLOURS)]
    if "" in occurring:
        colours[""] = _NO_GROUP_COLOUR
    return colours


def _shortened(name: str) -> str:
    return name if len(name) <= 44 else name[:42].rstrip() + "..."
