"""Precision and recall of person boxes, as a PNG."""

import math
from collections.abc import Mapping, Sequence

from x3d_det.io.png import png_of
from x3d_det.words import score_text

_COLOURS = ("#2f6db3", "#e08a2b", "#3f9b63")
_INK = "#22272e"
_FAINT = "#8a929c"


def draw_precision_recall(
    curves: Mapping[float, Sequence[float]],
    *,
    average_precision: Mapping[float, float],
    marked: tuple[float, float, float],
    recall_ceiling: float,
) -> bytes:
    """Return a PNG of one curve an IoU, the score threshold marked on the first.

    Args:
        curves: IoU -> precision at equally spaced recalls from 0 to 1; NaN draws nothing.
        average_precision: IoU -> AP, at least for the curves.
        marked: score threshold, and the recall and precision it gives at the first IoU.
        recall_ceiling: recall of all boxes at the first IoU; a dashed line.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 5.4), dpi=120, facecolor="white")
    axes = figure.add_axes((0.1, 0.11, 0.86, 0.77))
    for colour, (iou, precision) in zip(_COLOURS, curves.items(), strict=False):
        # COCO writes precision 0 where a recall is never reached: the curve ends there.
        points = [
            (place / (len(precision) - 1), value)
            for place, value in enumerate(precision)
            if value > 0
        ]
        axes.plot(
            [recall for recall, _ in points], [value for _, value in points], color=colour,
            linewidth=2.0, zorder=3,
            label=f"IoU {iou:g}: AP {score_text(average_precision[iou])}",
        )  # fmt: skip
    _mark(axes, marked, recall_ceiling)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall: share of the annotated persons found", fontsize=9, color=_INK)
    axes.set_ylabel("precision: share of the boxes that are right", fontsize=9, color=_INK)
    axes.tick_params(labelsize=8, colors=_INK)
    axes.grid(True, color="#e3e6ea", linewidth=0.8, zorder=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("bottom", "left"))
        spine.set_color("#c5cad1")
    axes.legend(loc="lower left", fontsize=9, frameon=False, labelcolor=_INK)
    title = f"person boxes: AP@50 {score_text(average_precision[next(iter(curves))])}"
    figure.text(0.02, 0.94, title, fontsize=12, fontweight="bold", color=_INK)
    return png_of(figure)


def _mark(axes, marked, recall_ceiling) -> None:  # type: ignore[no-untyped-def]
    """Mark the threshold's point and the highest recall, where they are defined."""
    threshold, recall, precision = marked
    if not math.isnan(recall) and not math.isnan(precision):
        axes.plot([recall], [precision], "o", color=_INK, markersize=7, zorder=5)
        axes.annotate(
            f"score {threshold:g}\nrecall {recall:.3f}\nprecision {precision:.3f}",
            (recall, precision), xytext=(-10 if recall > 0.3 else 10, -10),
            textcoords="offset points", ha="right" if recall > 0.3 else "left",
            va="top" if precision > 0.3 else "bottom", fontsize=8.5, color=_INK, zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85},
        )  # fmt: skip
    if not math.isnan(recall_ceiling):
        axes.axvline(
            recall_ceiling, color=_FAINT, linewidth=1.0, linestyle=(0, (4, 3)), zorder=2,
            label=f"all boxes, IoU 0.5: recall {recall_ceiling:.3f}",
        )  # fmt: skip
