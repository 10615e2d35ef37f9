"""The curves of a training run as one picture: loss, learning rate, metrics."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from x3d_det.errors import DataError
from x3d_det.io.png import write_png

_INK, _GRID, _FAINT = "#26262b", "#e3e3e8", "#a9cfe9"
_COLORS = ("#145cb9", "#ee6c32", "#009e73", "#b3589a", "#c78a00")
_MAX_EPOCH_LINES = 40


def plot_curves(journal_path: str | Path, output_png: str | Path) -> Path:
    """Draw a run's curves from its journal and return the picture's path.

    Shown are the loss of each step with its running mean, the steps that were
    skipped, the learning rate, and the metrics of each evaluation with the best value.

    Args:
        journal_path: `journal.jsonl`, a line a step with `step`, `loss` and
            `learning_rate`. The metrics come from `epochs.jsonl` beside it.
        output_png: picture to write; its folder is made where missing.

    Raises:
        DataError: no journal, or no step in it.
        X3DDetError: the picture cannot be written.
    """
    journal_path = Path(journal_path)
    steps = [entry for entry in _read_lines(journal_path) if "step" in entry]
    if not steps:
        raise DataError(f"{journal_path}: no training step in it, so there is nothing to draw.")
    epochs_path = journal_path.with_name("epochs.jsonl")
    epochs = _read_lines(epochs_path) if epochs_path.is_file() else []
    metrics = _metrics(epochs)
    units = sorted({_is_share(values) for values in metrics.values()}, reverse=True)

    num_panels = 2 + len(units)
    figure = Figure(figsize=(9, 2.7 * num_panels), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(num_panels, 1, sharex=True, squeeze=False)[:, 0]
    _draw_loss(panels[0], steps)
    _draw_rate(panels[1], steps)
    for panel, is_share in zip(panels[2:], units, strict=True):
        _draw_metrics(
            panel, {n: v for n, v in metrics.items() if _is_share(v) == is_share}, is_share
        )
    ends = [entry["step"] for entry in epochs if "step" in entry]
    for panel in panels:
        _style(panel, ends if len(ends) <= _MAX_EPOCH_LINES else [])
    panels[-1].set_xlabel("step")
    return _save(figure, Path(output_png))


def running_mean(values: Sequence[float], window: int) -> np.ndarray:
    """Return, for each value, the mean of the finite ones among it and those before it.

    Args:
        values: any, not-finite ones among them.
        window: how many values are looked at, 1 or more; fewer at the beginning.
    """
    array = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(array)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, array, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    ends = np.arange(1, len(array) + 1)
    starts = np.maximum(ends - window, 0)
    num = counts[ends] - counts[starts]
    return np.divide(
        sums[ends] - sums[starts], num, out=np.full(len(array), math.nan), where=num > 0
    )


def _read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a journal; a last one that is being written is left out."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            entry = json.loads(line)
        except ValueError:
            raise DataError(f"{path}:{number}: is no line of JSON; is this a journal?") from None
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def _metrics(epochs: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Return each metric's (step, value) points."""
    metrics: dict[str, list[tuple[int, float]]] = {}
    for entry in epochs:
        for name, value in (entry.get("metrics") or {}).items():
            if isinstance(value, (int, float)) and math.isfinite(value):
                metrics.setdefault(name, []).append((int(entry["step"]), float(value)))
    return metrics


def _is_share(points: Sequence[tuple[int, float]]) -> bool:
    return all(0 <= value <= 1 for _, value in points)


def _draw_loss(panel: Axes, steps: Sequence[Mapping[str, Any]]) -> None:
    x = [entry["step"] for entry in steps]
    loss = [_number(entry.get("loss")) for entry in steps]
    window = max(1, len(loss) // 40)
    panel.plot(x, loss, color=_FAINT, linewidth=1, label="each step")
    if window > 1:
        mean = running_mean(loss, window)
        panel.plot(x, mean, color=_COLORS[0], linewidth=2, label=f"mean of {window} steps")
    skipped = [entry["step"] for entry in steps if entry.get("skipped")]
    if skipped:
        bottom = [0.02] * len(skipped)
        panel.plot(
            skipped,
            bottom,
            "x",
            color=_COLORS[1],
            transform=panel.get_xaxis_transform(),
            label=f"skipped ({len(skipped)})",
            clip_on=False,
        )
    finite = [value for value in loss if math.isfinite(value)]
    if finite and min(finite) > 0 and max(finite) > 30 * float(np.median(finite)):
        panel.set_yscale("log")
    panel.set_title("training loss")
    if panel.get_legend_handles_labels()[0]:
        panel.legend(frameon=False, fontsize=9, labelcolor=_INK, loc="upper right")


def _draw_rate(panel: Axes, steps: Sequence[Mapping[str, Any]]) -> None:
    rate = [_number(entry.get("learning_rate", entry.get("lr"))) for entry in steps]
    panel.plot([entry["step"] for entry in steps], rate, color=_COLORS[2], linewidth=2)
    panel.set_title("learning rate")
    panel.set_ylim(bottom=0)
    panel.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3))


def _draw_metrics(
    panel: Axes, metrics: Mapping[str, Sequence[tuple[int, float]]], is_share: bool
) -> None:
    for number, (name, points) in enumerate(metrics.items()):
        x, y = zip(*points, strict=True)
        best = max(range(len(y)), key=lambda place: y[place])
        color, form = _COLORS[number % len(_COLORS)], ".4f" if is_share else ".4g"
        panel.plot(
            x,
            y,
            color=color,
            linewidth=2,
            marker="o",
            markersize=4,
            label=f"{name} (last {y[-1]:{form}}, highest {y[best]:{form}} at step {x[best]})",
        )
        panel.plot(x[best], y[best], "o", color=color, markersize=9, fillstyle="none")
    panel.set_title("evaluation")
    if is_share:
        highest = max(value for points in metrics.values() for _, value in points)
        panel.set_ylim(0, min(1.05, max(0.1, 1.15 * highest)))
    panel.legend(frameon=False, fontsize=9, labelcolor=_INK, loc="lower right")


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _style(panel: Axes, epoch_ends: Sequence[int]) -> None:
    for step in epoch_ends:
        panel.axvline(step, color=_GRID, linewidth=0.8, zorder=0)
    panel.grid(axis="y", color=_GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    panel.margins(x=0.01)
    panel.tick_params(colors=_INK, labelsize=9, length=0)
    panel.title.set(color=_INK, fontsize=11, fontweight="bold", ha="left", x=0.0)
    for name, spine in panel.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color("#9a9aa2")


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_png(figure, path)
