"""Which classes are taken for which, as a PNG: every cell named, or a map with its hot spots.

Shape suffixes in this file: K classes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from x3d_det.io.png import png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RIGHT = "#2f6db3"
_WRONG = "#d9741a"
_INK = "#22272e"
_FAINT = "#8a929c"
_GRID = "#e3e6ea"
_MOST_NAMED_CLASSES = 60
_NUM_HOT_SPOTS = 24
_SMALL_CELL_INCHES, _LARGE_CELL_INCHES = 0.3, 0.45
_INCHES_A_LETTER = 0.064
_MOST_LETTERS = 30
_DPI = 120
_MAP_PX = 1200
_LIST_INCHES, _BAR_INCHES, _ROW_INCHES = 6.6, 0.95, 0.215
_Row = tuple[str, str, str, float, str]  # number, two texts, share in [0, 1], what it stands for


def draw_confusion(
    confusion_KK: np.ndarray, class_names: Sequence[str], *, title: str, subtitle: str
) -> bytes:
    """Return a PNG: what is right in blue, what is wrong in orange, as shares of each true class.

    Up to 60 classes every cell bears its number of videos. More classes are a map, confused
    classes side by side, with the most frequent confusions listed beside it.

    Args:
        confusion_KK: counts of videos: row = true class, column = predicted class.
        class_names: K names.
        title: first line.
        subtitle: second line, as the accuracies.
    """
    few = len(class_names) <= _MOST_NAMED_CLASSES
    figure = (_draw_cells if few else _draw_map)(confusion_KK, class_names)
    height = figure.get_figheight()
    figure.text(
        0.25 / figure.get_figwidth(), 1 - 0.38 / height, title, fontsize=14, fontweight="bold",
        color=_INK,
    )  # fmt: skip
    figure.text(0.25 / figure.get_figwidth(), 1 - 0.64 / height, subtitle, fontsize=9.5, color=_INK)
    return png_of(figure)


def _draw_cells(confusion_KK: np.ndarray, class_names: Sequence[str]) -> "Figure":
    """Return a grid of numbers, names on both sides, the accuracy of each class on the right."""
    from matplotlib.figure import Figure

    num_classes = len(class_names)
    names = [_shortened(name) for name in class_names]
    letters = _INCHES_A_LETTER * max(map(len, names))  # inches of the longest name
    side = num_classes * (_SMALL_CELL_INCHES if num_classes > 8 else _LARGE_CELL_INCHES)
    left, above = 0.35 + letters, 1.0 + 0.75 * letters  # names above stand slantwise
    width = max(left + side + max(0.75 * letters, 0.8), 7.2)
    height = above + side + 0.55
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    axes = figure.add_axes((left / width, 0.55 / height, side / width, side / height))
    _show(axes, _colours(confusion_KK, gamma=0.5))
    for row, column in zip(*np.nonzero(confusion_KK), strict=True):
        share = confusion_KK[row, column] / confusion_KK[row].sum()
        axes.text(
            column, row, f"{confusion_KK[row, column]:,}", ha="center", va="center",
            fontsize=_number_size(confusion_KK.max()), color="white" if share > 0.45 else _INK,
        )  # fmt: skip
    axes.set_yticks(range(num_classes), names, fontsize=8, color=_INK)
    axes.xaxis.tick_top()
    axes.set_xticks(
        range(num_classes), names, fontsize=8, color=_INK, rotation=45, ha="left",
        rotation_mode="anchor",
    )  # fmt: skip
    axes.set_xticks(np.arange(num_classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(num_classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=_GRID, linewidth=0.6)
    axes.tick_params(which="both", length=0)
    _write_accuracies(axes, confusion_KK)
    figure.text(
        0.25 / width, 0.2 / height, "Row: true class, at its end how much of it is right. "
        "Column: predicted class. Numbers: videos.", fontsize=8, color=_FAINT,
    )  # fmt: skip
    return figure


def _write_accuracies(axes: "Axes", confusion_KK: np.ndarray) -> None:
    """Write behind each row the accuracy of the class."""
    for row, counts_K in enumerate(confusion_KK):
        total = counts_K.sum()
        axes.text(
            len(confusion_KK) - 0.3, row,
            f"{100 * counts_K[row] / total:.0f} %" if total else "no video",
            va="center", fontsize=8, color=_INK if total else _FAINT,
        )  # fmt: skip


def _draw_map(confusion_KK: np.ndarray, class_names: Sequence[str]) -> "Figure":
    """Return a map of whole pixels a cell, and lists of its hot spots and the hardest classes."""
    from matplotlib.figure import Figure

    num_classes = len(class_names)
    side = num_classes * max(_MAP_PX // num_classes, 2) / _DPI
    width, height = 0.3 + side + 0.3 + _LIST_INCHES, max(1.0 + side + 0.45, 11.0)
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    # edges on whole pixels, or some cells would be drawn wider than others
    low = round((height - 1.0 - side) * _DPI) / _DPI
    axes = figure.add_axes((0.3 / width, low / height, side / width, side / height))
    order_K = _side_by_side(confusion_KK)
    _show(axes, _colours(confusion_KK[np.ix_(order_K, order_K)], gamma=0.4))
    axes.set_xticks([])
    axes.set_yticks([])
    figure.text(
        0.3 / width, (low - 0.25) / height, "Row: true class. Column: predicted class. "
        "Classes that are confused stand next to each other.", fontsize=8, color=_FAINT,
    )  # fmt: skip
    spots = _hot_spots(confusion_KK)
    _ring(axes, spots, np.argsort(order_K))
    lists = figure.add_axes(((0.6 + side) / width, 0, _LIST_INCHES / width, 1 - 0.9 / height))
    lists.set_xlim(0, _LIST_INCHES)
    lists.set_ylim(height - 0.9, 0)
    lists.axis("off")
    names = [_shortened(name) for name in class_names]
    last = _list(
        lists, 0.1, "confused most often: true class, and what it is taken for", _WRONG,
        [
            (f"{number}", names[true], names[taken], share, count)
            for number, (true, taken, share, count) in enumerate(spots, start=1)
        ],
    )  # fmt: skip
    num_rows = int((height - 0.9 - 0.45 - last - 0.6) / _ROW_INCHES)
    _list(
        lists, last + 0.3, "hardest classes: what they are taken for, how much is right", _RIGHT,
        _hardest(confusion_KK, names)[:num_rows],
    )  # fmt: skip
    return figure


def _hot_spots(confusion_KK: np.ndarray) -> list[tuple[int, int, float, str]]:
    """Return (true, taken, share of the true class, "12 of 50") of the most frequent confusions."""
    wrong_KK = confusion_KK - np.diag(confusion_KK.diagonal())
    spots = []
    for place in np.argsort(-wrong_KK, axis=None, kind="stable")[:_NUM_HOT_SPOTS]:
        true, taken = divmod(int(place), len(wrong_KK))
        count, total = int(wrong_KK[true, taken]), int(confusion_KK[true].sum())
        if count:
            spots.append((true, taken, count / total, f"{count:,} of {total:,}"))
    return spots


def _hardest(confusion_KK: np.ndarray, names: Sequence[str]) -> list[_Row]:
    """Return the classes with videos and their accuracy, the lowest first."""
    right_K, totals_K = confusion_KK.diagonal(), confusion_KK.sum(axis=1)
    shares_K = right_K / np.maximum(totals_K, 1)
    wrong_KK = confusion_KK - np.diag(right_K)
    return [
        (
            "",
            names[index],
            names[wrong_KK[index].argmax()] if wrong_KK[index].any() else "",
            float(shares_K[index]),
            f"{right_K[index]:,} of {totals_K[index]:,}",
        )
        for index in np.argsort(shares_K, kind="stable")
        if totals_K[index]
    ]


def _ring(axes: "Axes", spots: Sequence[tuple[int, int, float, str]], place_K: np.ndarray) -> None:
    """Draw a numbered ring round each hot spot, the number on the side away from the diagonal."""
    placed = [
        (place_K[true], place_K[taken], number)
        for number, (true, taken, _, _) in enumerate(spots, start=1)
    ]
    for turn, (row, column, number) in enumerate(sorted(placed)):
        axes.plot(
            [column], [row], "o", markersize=7, markerfacecolor="none", markeredgecolor=_INK,
            markeredgewidth=0.8, zorder=4,
        )  # fmt: skip
        # neighbours along the diagonal at two distances, so that their numbers keep apart
        points = (9 if turn % 2 else 17) * (1 if column > row else -1)
        axes.annotate(
            str(number), (column, row), xytext=(points, points), textcoords="offset points",
            ha="center", va="center", fontsize=7.5, color=_INK, zorder=5,
        )  # fmt: skip


def _list(axes: "Axes", y: float, head: str, colour: str, rows: Sequence[_Row]) -> float:
    """Write rows with a bar for each share from `y` inches on; return where they end."""
    axes.text(0.28, y, head, fontsize=10, fontweight="bold", color=_INK, va="center")
    y += 0.3
    bar_left = _LIST_INCHES - _BAR_INCHES - 0.95
    for number, first, second, share, count in rows:
        for x, text, align in (
            (0.2, number, "right"),
            (0.28, first, "left"),
            (2.42, second, "left"),
            (_LIST_INCHES - 0.2, count, "right"),
        ):
            axes.text(x, y, text, fontsize=8, color=_INK, va="center", ha=align)
        axes.barh(y, _BAR_INCHES, height=0.12, left=bar_left, color=_GRID)
        axes.barh(y, _BAR_INCHES * share, height=0.12, left=bar_left, color=colour)
        y += _ROW_INCHES
    return y


def _side_by_side(confusion_KK: np.ndarray) -> np.ndarray:
    """Return an order of the classes in which those that are confused are neighbours."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    shares_KK = _shares(confusion_KK)
    distance_KK = 1 - np.maximum(shares_KK, shares_KK.T)
    np.fill_diagonal(distance_KK, 0)
    tree = linkage(squareform(distance_KK), method="average", optimal_ordering=True)
    return np.asarray(leaves_list(tree))


def _shares(confusion_KK: np.ndarray) -> np.ndarray:
    """Return each row over its sum; 0 where a class has no video."""
    return confusion_KK / np.maximum(confusion_KK.sum(axis=1, keepdims=True), 1)


def _colours(confusion_KK: np.ndarray, *, gamma: float) -> np.ndarray:
    """Return RGB (K, K, 3): white to blue on the diagonal, white to orange beside it."""
    from matplotlib.colors import to_rgb

    full_KK3 = np.broadcast_to(to_rgb(_WRONG), (*confusion_KK.shape, 3)).copy()
    np.einsum("iic->ic", full_KK3)[:] = to_rgb(_RIGHT)
    # a gamma below 1, or one video of fifty could not be seen
    strength_KK1 = _shares(confusion_KK)[..., None] ** gamma
    return 1 - strength_KK1 * (1 - full_KK3)


def _show(axes: "Axes", colours_KK3: np.ndarray) -> None:
    axes.imshow(colours_KK3, interpolation="nearest", aspect="auto")
    for spine in axes.spines.values():
        spine.set_color("#c5cad1")


def _number_size(largest: int) -> float:
    """Return the letters' size with which the largest number fits a cell."""
    return min(8.0, 30.0 / len(f"{largest:,}"))


def _shortened(name: str) -> str:
    return name if len(name) <= _MOST_LETTERS else name[: _MOST_LETTERS - 2].rstrip() + "..."
