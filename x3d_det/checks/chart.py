"""The statistics of a data set as one picture: small panels left, all classes right."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from x3d_det.checks.statistics import NUM_BINS, SplitStatistics
from x3d_det.io.label_map import LabelMap
from x3d_det.io.png import png_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"train": "#2f6db3", "val": "#e08a2b"}
_OTHER_COLOUR = "#5f7d9c"
_INK = "#22272e"
_FAINT = "#8a929c"
_GRID = "#e3e6ea"
_WIDTH = 13.0
_TOP, _BOTTOM = 1.15, 0.55  # inches above and below the panels
_LEAST_HEIGHT = 11.0
_MOST_INCHES_A_PANEL = 3.0
_INCHES_A_CLASS, _MOST_INCHES_A_CLASS = 0.24, 0.42


def draw_statistics(
    splits: Sequence[SplitStatistics], *, label_map: LabelMap | None, title: str
) -> bytes:
    """Return a PNG of the splits' numbers side by side.

    Args:
        splits: usually train and val; may hold no rows.
        label_map: gives the classes their names; ids without one stand as numbers.
        title: name of the data set.
    """
    from matplotlib.figure import Figure

    classes = _classes(splits, label_map)
    height = max(_LEAST_HEIGHT, _TOP + _BOTTOM + _INCHES_A_CLASS * len(classes))
    figure = Figure(figsize=(_WIDTH, height), dpi=110, facecolor="white")
    panels = _panels(figure, height)
    _steps(panels[0], splits, "persons a keyframe", "keyframes", _persons)
    _steps(panels[1], splits, "labels a box", "boxes", _labels)
    _bins(panels[2], splits, "height of the boxes, share of the frame's", "boxes", _heights)
    _scores(panels[3], splits)
    _keyframes_a_video(panels[4], splits)
    left = 7.0 / _WIDTH
    inches = min(height - _TOP - _BOTTOM, _MOST_INCHES_A_CLASS * max(len(classes), 3))
    low = 1 - (_TOP + inches) / height
    bars = figure.add_axes((left, low, 1 - left - 0.02, inches / height))
    _class_bars(bars, splits, classes)
    _heading(figure, splits, title, height)
    return png_of(figure)


def _panels(figure: "Figure", height: float) -> "list[Axes]":
    """Return five panels below each other, from the top, as high as there is room."""
    room = min((height - _TOP - _BOTTOM) / 5, _MOST_INCHES_A_PANEL)
    panels = []
    for place in range(5):
        low = height - _TOP - (place + 1) * room + 0.72
        panels.append(figure.add_axes((0.062, low / height, 0.29, (room - 0.72) / height)))
    return panels


def _heading(
    figure: "Figure", splits: Sequence[SplitStatistics], title: str, height: float
) -> None:
    figure.text(
        0.02, 1 - 0.36 / height, title, fontsize=15, fontweight="bold", color=_INK
    )  # fmt: skip
    for place, split in enumerate(splits):
        text = (
            f"{split.name}   {split.num_videos:,} videos   {split.num_keyframes:,} keyframes with "
            f"persons, {split.num_empty_keyframes:,} empty, {split.num_excluded_keyframes:,} "
            f"excluded   {split.num_boxes:,} boxes   {split.num_rows:,} labels"
        )
        y = 1 - (0.62 + 0.22 * place) / height
        figure.text(0.02, y, "■", fontsize=10, color=_colour(split))
        figure.text(0.036, y, text, fontsize=9.5, color=_INK)


def _persons(split: SplitStatistics) -> Mapping[int, int]:
    return split.persons_per_keyframe


def _labels(split: SplitStatistics) -> Mapping[int, int]:
    return split.labels_per_box


def _heights(split: SplitStatistics) -> Sequence[int]:
    return split.height_histogram


def _steps(
    axes: "Axes", splits: Sequence[SplitStatistics], title: str, unit: str, values: Any
) -> None:
    """Draw how often each small whole number occurs, bars of the splits side by side."""
    longest = max((max(values(split), default=0) for split in splits), default=0)
    last = min(max(longest, 1), 12)
    first = min((min(values(split), default=1) for split in splits), default=1)
    places = np.arange(first, last + 1)
    width = 0.8 / max(len(splits), 1)
    for number, split in enumerate(splits):
        histogram = values(split)
        heights = [histogram.get(int(place), 0) for place in places]
        heights[-1] += sum(count for value, count in histogram.items() if value > last)
        offset = (number - (len(splits) - 1) / 2) * width
        axes.bar(places + offset, heights, width=width, color=_colour(split), zorder=2)
    names = [f"{place}" for place in places]
    if longest > last:
        names[-1] = f"{last}+"
    axes.set_xticks(places, names)
    _style(axes, title, unit)


def _bins(
    axes: "Axes", splits: Sequence[SplitStatistics], title: str, unit: str, values: Any
) -> None:
    """Draw histograms over [0, 1] as shapes laid over each other."""
    edges = np.linspace(0, 1, NUM_BINS + 1)
    for split in splits:
        counts = values(split)
        axes.stairs(counts, edges, fill=True, color=_colour(split), alpha=0.22, zorder=2)
        axes.stairs(counts, edges, color=_colour(split), linewidth=1.6, zorder=3)
    axes.set_xlim(0, 1)
    _style(axes, title, unit)


def _scores(axes: "Axes", splits: Sequence[SplitStatistics]) -> None:
    """Draw the person scores and the threshold."""
    with_boxes = [split for split in splits if split.detected is not None]

    def counts(split: SplitStatistics) -> Sequence[int]:
        assert split.detected is not None
        return split.detected.score_histogram

    _bins(axes, with_boxes, "scores of the predicted person boxes", "boxes", counts)
    if not with_boxes:
        axes.text(
            0.5, 0.5, "no predicted boxes", transform=axes.transAxes, ha="center", color=_FAINT
        )
        return
    if max(max(counts(split)) for split in with_boxes) > 0:
        axes.set_yscale("symlog", linthresh=10)
    assert with_boxes[0].detected is not None
    threshold = with_boxes[0].detected.score_threshold
    axes.axvline(threshold, color=_INK, linewidth=1.0, linestyle=(0, (4, 3)), zorder=4)
    axes.text(
        threshold - 0.01, 0.94, f"threshold {threshold:g}", transform=axes.get_xaxis_transform(),
        ha="right", va="top", fontsize=8, color=_INK, zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
    )  # fmt: skip


def _keyframes_a_video(axes: "Axes", splits: Sequence[SplitStatistics]) -> None:
    """Draw each video's number of keyframes, the longest first."""
    for split in splits:
        counts = sorted((number for _, _, number in split.seconds_per_video.values()), reverse=True)
        if counts:
            edges = np.linspace(0, 100, len(counts) + 1)
            axes.stairs(counts, edges, color=_colour(split), linewidth=1.8, zorder=3)
            axes.stairs(counts, edges, fill=True, color=_colour(split), alpha=0.15, zorder=2)
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    _style(axes, "keyframes a video, the fullest first", "keyframes")
    axes.set_xlabel("% of the videos", fontsize=8.5, color=_INK)


def _class_bars(
    axes: "Axes", splits: Sequence[SplitStatistics], classes: Sequence[tuple[int, str]]
) -> None:
    """Draw the labels of each class on a log scale, the most frequent at the top."""
    width = 0.78 / max(len(splits), 1)
    most = 1
    for number, split in enumerate(splits):
        counts = [split.labels_per_class.get(action_id, 0) for action_id, _ in classes]
        most = max(most, *counts) if counts else most
        places = np.arange(len(classes)) + (number - (len(splits) - 1) / 2) * width
        axes.barh(places, counts, height=width, color=_colour(split), zorder=2)
        for place, count in zip(places, counts, strict=True):
            text = f" {count:,}" if count else " none"
            axes.text(
                max(count, 0.8), place, text, va="center", fontsize=6.5,
                color=_INK if count else "#c0392b", zorder=4,
            )  # fmt: skip
    axes.set_xlim(0.8, most * 4)  # first: a log scale warns about limits that include 0
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: _count(value))
    axes.set_yticks(
        range(len(classes)), [f"{_shortened(name)}  {number}" for number, name in classes],
        fontsize=8, color=_INK,
    )  # fmt: skip
    axes.set_ylim(max(len(classes), 1) - 0.4, -0.6)
    _style(axes, "labels a class", "", grid="x")
    axes.tick_params(axis="y", length=0)
    if not classes:
        axes.text(0.5, 0.5, "no labels", transform=axes.transAxes, ha="center", color=_FAINT)


def _classes(
    splits: Sequence[SplitStatistics], label_map: LabelMap | None
) -> list[tuple[int, str]]:
    """Return (action id, name) of all classes, the most frequent first."""
    names = {} if label_map is None else dict(label_map.names)
    totals = dict.fromkeys(names, 0)
    for split in splits:
        for action_id, count in split.labels_per_class.items():
            totals[action_id] = totals.get(action_id, 0) + count
    ids = sorted(totals, key=lambda action_id: (-totals[action_id], action_id))
    return [(action_id, names.get(action_id, "(not in the label map)")) for action_id in ids]


def _style(axes: "Axes", title: str, unit: str, *, grid: str = "y") -> None:
    axes.set_title(title, fontsize=10, color=_INK, loc="left", fontweight="bold", pad=5)
    axes.set_ylabel(unit, fontsize=8.5, color=_INK)
    axes.tick_params(labelsize=8, colors=_INK)
    axes.grid(True, axis="x" if grid == "x" else "y", color=_GRID, linewidth=0.8, zorder=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#c5cad1")
    if axes.get_yscale() == "linear" and grid == "y":
        axes.yaxis.set_major_formatter(lambda value, _: _count(value))


def _count(value: float) -> str:
    if not math.isfinite(value) or value != int(value):
        return ""
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{int(value):,}"


def _colour(split: SplitStatistics) -> str:
    return _COLOURS.get(split.name, _OTHER_COLOUR)


def _shortened(name: str) -> str:
    return name if len(name) <= 40 else name[:38].rstrip() + "..."
