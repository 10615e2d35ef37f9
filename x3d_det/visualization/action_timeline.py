"""Who did what and when, as one picture: a row for each person, a colour for each action."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from x3d_det.io.png import write_png

_INK, _FAINT, _GRID = "#22272e", "#8a929c", "#e3e6ea"
_PRESENT = "#d3d7de"
_OTHER = "#8f959e"
# Okabe and Ito's hues, then others between them.
_COLORS = (
    "#56b8f0",
    "#ee6c32",
    "#009e73",
    "#b3589a",
    "#c78a00",
    "#145cb9",
    "#8fd19e",
    "#f3a6c8",
    "#7a5bd0",
    "#b5c334",
    "#8c510a",
    "#2bb7b3",
)
_WIDTH_INCHES = 11.0
_INCHES_A_LANE, _INCHES_BETWEEN_ROWS = 0.17, 0.16
_LEGEND_COLUMNS = 4
_MAX_ROWS = 40
# Keyframe seconds are sums of an interval; neighbours touch within this.
_EPSILON_SECONDS = 1e-6


@dataclass(frozen=True, kw_only=True)
class PersonRow:
    """One person over time.

    Args:
        name: as written before the row.
        seconds: of the keyframes with the person, rising.
        actions: for each of them the names of the actions shown, the surest first.
    """

    name: str
    seconds: tuple[float, ...]
    actions: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Span:
    """An unbroken stretch of one action in one lane of a row."""

    action: str
    lane: int
    start_seconds: float
    end_seconds: float


def plot_action_timeline(
    path: str | Path,
    rows: Sequence[PersonRow],
    *,
    title: str,
    start_seconds: float,
    end_seconds: float,
    interval_seconds: float,
) -> Path:
    """Draw the persons' actions over time and return the picture's path.

    A grey line says where a person is seen. Of more than 40 persons those seen longest are
    drawn, of more than 12 actions the most frequent have a colour; the rest is said in words.

    Args:
        path: PNG to write; its folder exists.
        rows: persons, in the order in which they are drawn, from above.
        title: what was looked at.
        start_seconds, end_seconds: of the time axis.
        interval_seconds: from one keyframe to the next; each is drawn this wide.

    Raises:
        X3DDetError: the picture cannot be written.
    """
    shown = _longest_seen(rows)
    colors = action_colors(shown)
    spans = [spans_of(row, interval_seconds=interval_seconds) for row in shown]
    lanes = [1 + max((span.lane for span in own), default=0) for own in spans]
    figure, panel = _page(lanes, num_colors=len(colors))
    y = 0.0
    ticks = []
    for row, own, num_lanes in zip(shown, spans, lanes, strict=True):
        height = num_lanes * _INCHES_A_LANE
        _draw_row(panel, row, own, y, colors, interval_seconds)
        ticks.append(y + height / 2)
        y += height + _INCHES_BETWEEN_ROWS
    panel.set_xlim(start_seconds, max(end_seconds, start_seconds + interval_seconds))
    panel.set_ylim(max(y, _INCHES_A_LANE + _INCHES_BETWEEN_ROWS), -_INCHES_BETWEEN_ROWS)
    panel.set_yticks(ticks, [row.name for row in shown], fontsize=9, color=_INK)
    _style(panel, is_long=end_seconds >= 120)
    _heading(figure, title, rows, shown, colors)
    if not shown:
        panel.text(
            0.5, 0.5, "nobody", transform=panel.transAxes, ha="center", va="center", color=_FAINT
        )
    return write_png(figure, path)


def action_colors(rows: Sequence[PersonRow]) -> dict[str, str]:
    """Return the colour of each action that has its own: the most frequent, ties by name."""
    counts = Counter(name for row in rows for actions in row.actions for name in actions)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    return dict(zip(ranked, _COLORS, strict=False))


def spans_of(row: PersonRow, *, interval_seconds: float) -> list[Span]:
    """Return the stretches of a row's actions, each in a lane where it overlaps no other.

    An action keeps its lane while it goes on; the lowest free one is taken when it begins.
    """
    half = interval_seconds / 2
    finished: list[Span] = []
    running: dict[str, Span] = {}
    for second, actions in zip(row.seconds, row.actions, strict=True):
        for action, span in list(running.items()):
            touches = second - half <= span.end_seconds + _EPSILON_SECONDS
            if action not in actions or not touches:
                finished.append(running.pop(action))
        for action in actions:
            if action in running:
                span = running[action]
                running[action] = Span(action, span.lane, span.start_seconds, second + half)
                continue
            taken = {span.lane for span in running.values()}
            lane = next(lane for lane in range(len(taken) + 1) if lane not in taken)
            running[action] = Span(action, lane, second - half, second + half)
    return sorted([*finished, *running.values()], key=lambda span: (span.start_seconds, span.lane))


def _longest_seen(rows: Sequence[PersonRow]) -> list[PersonRow]:
    longest = sorted(range(len(rows)), key=lambda index: (-len(rows[index].seconds), index))
    kept = set(longest[:_MAX_ROWS])
    return [row for index, row in enumerate(rows) if index in kept]


def _page(lanes: Sequence[int], *, num_colors: int) -> tuple[Figure, Axes]:
    rows = max(sum(lanes) * _INCHES_A_LANE + len(lanes) * _INCHES_BETWEEN_ROWS, 0.5)
    legend = 0.25 * -(-(num_colors + 1) // _LEGEND_COLUMNS) + 0.1
    top, bottom = 0.7, 0.55 + legend
    height = rows + _INCHES_BETWEEN_ROWS + top + bottom
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=120, facecolor="white")
    FigureCanvasAgg(figure)
    left = 1.15 / _WIDTH_INCHES
    panel = figure.add_axes(
        (left, bottom / height, 0.97 - left, (rows + _INCHES_BETWEEN_ROWS) / height)
    )
    return figure, panel


def _draw_row(
    panel: Axes,
    row: PersonRow,
    spans: Sequence[Span],
    y: float,
    colors: dict[str, str],
    interval_seconds: float,
) -> None:
    whole = PersonRow(name=row.name, seconds=row.seconds, actions=(("",),) * len(row.seconds))
    for seen in spans_of(whole, interval_seconds=interval_seconds):
        length = seen.end_seconds - seen.start_seconds
        panel.broken_barh([(seen.start_seconds, length)], (y - 0.07, 0.05), color=_PRESENT)
    for span in spans:
        panel.broken_barh(
            [(span.start_seconds, span.end_seconds - span.start_seconds)],
            (y + span.lane * _INCHES_A_LANE, 0.85 * _INCHES_A_LANE),
            facecolor=colors.get(span.action, _OTHER),
            edgecolor="white",
            linewidth=0.6,
        )


def _style(panel: Axes, *, is_long: bool) -> None:
    panel.xaxis.set_major_locator(MaxNLocator(12, steps=[1, 2, 3, 6, 10] if is_long else None))
    if is_long:
        panel.xaxis.set_major_formatter(FuncFormatter(lambda second, _: _clock(second)))
    panel.set_xlabel("minutes:seconds" if is_long else "seconds", fontsize=9, color=_INK)
    panel.grid(axis="x", color=_GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(length=0, labelsize=9, colors=_INK)
    for spine in panel.spines.values():
        spine.set_visible(False)


def _heading(
    figure: Figure,
    title: str,
    rows: Sequence[PersonRow],
    shown: Sequence[PersonRow],
    colors: dict[str, str],
) -> None:
    height = figure.get_size_inches()[1]
    figure.text(0.015, 1 - 0.2 / height, title, fontsize=12, va="top", color=_INK, weight="bold")
    note = "a grey line: the person is seen; a bar: the action's score is above the threshold"
    if len(shown) < len(rows):
        note += f"; the {len(shown)} of {len(rows)} persons seen longest"
    figure.text(0.015, 1 - 0.45 / height, note, fontsize=8.5, va="top", color=_FAINT)
    others = {name for row in shown for actions in row.actions for name in actions} - set(colors)
    patches = [Patch(color=color, label=name) for name, color in colors.items()]
    if others:
        patches.append(Patch(color=_OTHER, label=f"{len(others)} rarer actions"))
    if patches:
        figure.legend(
            handles=patches,
            loc="lower left",
            bbox_to_anchor=(0.01, 0.0),
            ncols=_LEGEND_COLUMNS,
            fontsize=8.5,
            frameon=False,
            handlelength=1.2,
            handleheight=0.9,
        )


def _clock(second: float) -> str:
    whole = round(second)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
