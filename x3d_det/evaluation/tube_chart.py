"""Video-mAP against the IoU threshold, as a PNG."""

import math
from collections.abc import Collection, Mapping

from x3d_det.io.png import png_of

_LINE = "#2f6db3"
_INK = "#22272e"
_FAINT = "#8a929c"


def draw_video_map(curve: Mapping[float, float], *, marked: Collection[float], name: str) -> bytes:
    """Return a PNG of one curve.

    Args:
        curve: IoU threshold -> video-mAP in [0, 1]; NaN draws nothing.
        marked: thresholds whose values are written at the curve.
        name: of the rules, for the title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), dpi=120, facecolor="white")
    axes = figure.add_axes((0.1, 0.13, 0.86, 0.74))
    points = [(iou, 100 * value) for iou, value in sorted(curve.items()) if not math.isnan(value)]
    axes.plot(
        [iou for iou, _ in points], [value for _, value in points], "o-", color=_LINE,
        markersize=3.5, linewidth=2.0, zorder=3,
    )  # fmt: skip
    for iou, value in points:
        if iou in marked:
            axes.plot([iou], [value], "o", color=_INK, markersize=7, zorder=4)
            axes.annotate(
                f"{value:.2f}", (iou, value), xytext=(6, 6), textcoords="offset points",
                fontsize=9, color=_INK, zorder=5,
            )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 105)
    axes.set_xlabel("IoU of tubes from which a tube is found", fontsize=9, color=_INK)
    axes.set_ylabel("video-mAP in %", fontsize=9, color=_INK)
    axes.tick_params(labelsize=8, colors=_FAINT)
    axes.grid(True, color="#e3e6ea", linewidth=0.8, zorder=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("bottom", "left"))
        spine.set_color("#c5cad1")
    figure.text(0.02, 0.93, f"video-mAP, rules {name}", fontsize=12, fontweight="bold", color=_INK)
    return png_of(figure)
