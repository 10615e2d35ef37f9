"""A profile as JSON, as Markdown and as a picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from x3d_det.io.files import atomic_write
from x3d_det.profiling.accuracies import PublishedAccuracy, curves_of
from x3d_det.profiling.measure import Speed
from x3d_det.profiling.run import Profile, ProfileRow
from x3d_det.visualization.cost_chart import CostCurve, CostPanel, draw_cost_chart

FORMAT = "x3d_det profile 1"


def write_profile(
    profile: Profile, folder: Path, *, accuracies: Sequence[PublishedAccuracy]
) -> list[Path]:
    """Write `profile.json`, `profile.md` and `accuracy_cost.png`; return their paths.

    Args:
        profile: to be written.
        folder: exists.
        accuracies: for the picture.
    """
    paths = [folder / name for name in ("profile.json", "profile.md", "accuracy_cost.png")]
    with atomic_write(paths[0], "w") as file:
        json.dump(profile_json(profile), file, indent=1)
        file.write("\n")
    with atomic_write(paths[1], "w") as file:
        file.write(profile_markdown(profile))
    draw_profile(profile, paths[2], accuracies=accuracies)
    return paths


def profile_json(profile: Profile) -> dict[str, Any]:
    """Return all that was measured, as JSON has it."""
    return {
        "format": FORMAT,
        "environment": profile.environment,
        "rows": [
            asdict(row.case) | {"num_frames": row.case.num_frames} | _without_case(row)
            for row in profile.rows
        ],
        "failures": list(profile.failures),
    }


def _without_case(row: ProfileRow) -> dict[str, Any]:
    return {key: value for key, value in asdict(row).items() if key != "case"}


def profile_markdown(profile: Profile) -> str:
    """Return a table for each kind and device, and how to read it."""
    lines = ["# What X3D costs", ""]
    lines += [", ".join(f"{name} {value}" for name, value in profile.environment.items()) + ".", ""]
    for kind, device in dict.fromkeys((row.case.kind, row.case.device) for row in profile.rows):
        rows = [row for row in profile.rows if (row.case.kind, row.case.device) == (kind, device)]
        lines += [f"## {kind.capitalize()}s on {device}", "", *_table(rows), ""]
    lines += _legend(profile)
    return "\n".join(lines)


def _table(rows: Sequence[ProfileRow]) -> list[str]:
    boxes = rows[0].case.num_boxes
    head = "clip" if rows[0].case.kind == "classifier" else f"clip, {boxes} boxes"
    lines = [
        f"| model | {head} | precision | code | clips/s, batch 1 | clips/s, best batch | batch "
        "| MiB, batch 1 | MiB, best batch | GMACs | parameters M | difference |",
        "|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        case = row.case
        cells = (
            case.model.upper(),
            f"{case.num_frames} x {case.height_px} x {case.width_px}",
            case.precision,
            row.implementation,
            _speed(row.speed),
            _speed(row.best_speed),
            str(row.best_speed.batch_size),
            f"{row.peak_mb - row.before_mb:,.0f}",
            f"{row.best_peak_mb - row.before_mb:,.0f}",
            f"{row.cost.multiply_adds / 1e9:.4g}",
            f"{row.cost.parameters / 1e6:.3f}",
            f"{row.difference:.0e}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _speed(speed: Speed) -> str:
    value = speed.clips_per_second
    decimals = 1 if value >= 100 else 2 if value >= 1 else 3
    return f"{value:.{decimals}f} ± {speed.deviation:.{decimals}f}"


def _legend(profile: Profile) -> list[str]:
    """Return how to read the tables, and what went wrong."""
    before = max((row.before_mb for row in profile.rows), default=0.0)
    lines = [
        "Clips a second are mean and standard deviation of rounds in which the codes took turns; "
        "decoding and person detection are not part of them. MiB is the most that was held, by the "
        f"process above the {before:,.0f} that its modules take, or by a GPU's tensors. GMACs are "
        "multiply-adds of one clip, a multiplication with its addition as one; papers print them "
        "as FLOPs. The difference is the output's relative RMS to that of our model as trained, in "
        "float32.",
        "",
    ]
    if profile.rows:
        others = [row for row in profile.rows if not _counters_agree(row)]
        if others:
            lines += [
                f"torch counts otherwise: {row.case.title}, {row.implementation}: "
                f"{row.cost.multiply_adds_by_torch:,} multiply-adds, not "
                f"{row.cost.multiply_adds:,}."
                for row in others
            ] + [""]
        else:
            lines += ["torch's own counter gives the same multiply-adds in every row.", ""]
    if profile.failures:
        lines += ["Not measured:", "", *(f"- {failure}" for failure in profile.failures), ""]
    return lines


def _counters_agree(row: ProfileRow) -> bool:
    return row.cost.multiply_adds == row.cost.multiply_adds_by_torch


def draw_profile(
    profile: Profile, output_png: Path, *, accuracies: Sequence[PublishedAccuracy]
) -> Path:
    """Draw published accuracy against the multiply-adds of a test, and against measured speed.

    Args:
        profile: gives the speeds of classifiers at their training crop, batch 1.
        output_png: picture to write.
        accuracies: published; the best of each model, whatever its protocol, stands for the
            model where its speed is shown.
    """
    published = CostPanel(
        title="published: all views of a video",
        cost="multiply-adds of one video's test, in GMACs",
        curves=tuple(
            CostCurve(
                label=f"{publisher}, {protocol}",
                points=tuple(
                    (a.model.upper(), a.multiply_adds / 1e9, a.top1) for a in curve
                ),
            )
            for (publisher, protocol), curve in curves_of(accuracies).items()
        ),
    )  # fmt: skip
    panels = [published, *_speed_panels(profile, accuracies)]
    threads = profile.environment["threads"]
    footnote = (
        "Published: 10 x 3 views are squares of 182 px (XS, S), 256 px (M) and 356 px (L, XL); "
        "10 x 1 and 1 x 1 views are the training crop.\n"
        "Measured: one clip at the training crop, batch 1, "
        "mean and standard deviation, at the model's highest published accuracy of any protocol. "
        f"{profile.environment['processor']}, {threads} thread{'s' * (threads != 1)}, torch "
        f"{profile.environment['torch']}."
    )
    return draw_cost_chart(
        panels, output_png, title="X3D on Kinetics-400: accuracy and cost", footnote=footnote
    )


def _speed_panels(profile: Profile, accuracies: Sequence[PublishedAccuracy]) -> list[CostPanel]:
    """Return a panel for each device that ran a classifier of known accuracy."""
    best: dict[str, float] = {}
    for accuracy in accuracies:
        best[accuracy.model] = max(accuracy.top1, best.get(accuracy.model, 0.0))
    panels = []
    for device in dict.fromkeys(row.case.device for row in profile.rows):
        curves: dict[str, list[ProfileRow]] = {}
        for row in profile.rows:
            case = row.case
            if case.kind == "classifier" and case.device == device and case.model in best:
                curves.setdefault(f"{row.implementation}, {case.precision}", []).append(row)
        if curves:
            panels.append(
                CostPanel(
                    title=f"measured here: one clip on {device}",
                    cost="milliseconds a clip",
                    curves=tuple(
                        _speed_curve(label, rows, best, is_named=number == 0)
                        for number, (label, rows) in enumerate(curves.items())
                    ),
                )
            )
    return panels


def _speed_curve(
    label: str, rows: Sequence[ProfileRow], best: dict[str, float], *, is_named: bool
) -> CostCurve:
    points = []
    for row in rows:
        milliseconds = 1e3 / row.speed.clips_per_second
        relative = row.speed.deviation / row.speed.clips_per_second
        points.append((milliseconds, row.case.model, milliseconds * relative))
    return CostCurve(
        label=label,
        points=tuple((model.upper(), cost, best[model]) for cost, model, _ in points),
        is_named=is_named,
        deviations=tuple(deviation for *_, deviation in points),
    )
