"""A search as a Markdown table: every candidate of every step, and why an axis had none."""

import os

from x3d_det.expansion.axes import AXES
from x3d_det.expansion.cost import Cost
from x3d_det.expansion.outcomes import Failed, Outcome, Step, Stopped
from x3d_det.expansion.search import SearchResult
from x3d_det.io.files import atomic_write
from x3d_det.words import short_number

HEADER = "| Step | Axis | T x stride | Crop | Depth | Width | Bottleneck | {} | Times | Score | |"
RULE = "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"


def write_search_table(
    path: str | os.PathLike[str], result: SearchResult, *, cost: Cost, title: str
) -> None:
    """Write `search_markdown` to a file.

    Raises:
        X3DDetError: it cannot be written.
    """
    with atomic_write(path, "w") as file:
        file.write(search_markdown(result, cost=cost, title=title))


def search_markdown(result: SearchResult, *, cost: Cost, title: str) -> str:
    """Return the search as Markdown: the path, then all candidates, then why it stopped.

    Args:
        result: the search.
        cost: that it was held to, for its name.
        title: heading of the text.
    """
    path = " -> ".join(AXES.get(one.candidate.axis, "start") for one in result.path)
    lines = [f"# {title}", "", f"Path: {path}.", "", HEADER.format(_titled(cost)), RULE]
    for step in result.steps:
        lines += [_row(outcome, step) for outcome in step.outcomes]
        lines += [
            f"| {step.number} | {AXES[one.axis]} |" + " |" * 8 + f" none: {one.reason} |"
            for one in step.stuck
        ]
    lines += ["", result.stopped]
    return "\n".join(lines) + "\n"


def _row(outcome: Outcome, step: Step) -> str:
    candidate = outcome.candidate
    factors = candidate.factors
    ratio = candidate.cost / step.parent.cost if step.parent else 1.0
    cells = [
        str(step.number),
        AXES.get(candidate.axis, "start"),
        f"{factors.num_frames} x {factors.sampling_stride}",
        str(factors.crop_px),
        f"{factors.depth:.4g}",
        f"{factors.width:.4g}",
        f"{factors.bottleneck:.4g}",
        short_number(candidate.cost),
        f"{ratio:.3f}",
        "" if isinstance(outcome, Failed) else f"{outcome.score:.4f}",
        ", ".join(_remarks(outcome, step)),
    ]
    return f"| {' | '.join(cells)} |"


def _remarks(outcome: Outcome, step: Step) -> list[str]:
    if isinstance(outcome, Failed):
        reason = outcome.reason.replace("|", "\\|").replace("\n", " ")
        return [f"failed: {reason}"]
    remarks = [f"stopped {outcome.reason}"] if isinstance(outcome, Stopped) else []
    if outcome.candidate.is_contracted:
        remarks.append("contracted")
    if step.chosen is not None and outcome.candidate == step.chosen.candidate:
        remarks.append("**chosen**")
        remarks += [f"as good as {', '.join(AXES[axis] for axis in step.tied)}"] * bool(step.tied)
        remarks += ["no better than its parent"] * step.is_plateau
    return remarks


def _titled(cost: Cost) -> str:
    return f"{cost.unit[0].upper()}{cost.unit[1:]}"
