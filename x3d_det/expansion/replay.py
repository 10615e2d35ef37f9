"""The paper's own search, told again without training: its order and budgets.

With the order that the paper found, `expand` lands on X2D, XS, S, M, L and XL. Every
value of that ladder follows from the rules of `levels` and `grown`; nothing in the search
knows of it. Two values hang on the grid of 1/20 that width and bottleneck grow on: on a
grid of 1/100 the model nearest to twice the cost has bottleneck 2.28 and width 1.46
instead of the paper's 2.25 and 1.45 (costs 1.999 and 2.045 times the parent's, instead of
1.984 and 1.951). Two rules are our reading, as the paper prints no intermediate stride:
that a single frame stands for one second, and the share of a Temporal step that goes to
the frame rate.
"""

from collections.abc import Iterable, Sequence

from x3d_det.errors import ConfigError, did_you_mean
from x3d_det.expansion.axes import AXES
from x3d_det.expansion.cost import counted_cost, network_cost
from x3d_det.expansion.factors import X2D
from x3d_det.expansion.growth import Candidate
from x3d_det.expansion.outcomes import Outcome, Scored
from x3d_det.expansion.record import Record
from x3d_det.expansion.search import SearchResult, expand

PAPER_ORDER = (
    "bottleneck",
    "fast",
    "spatial",
    "depth",
    "temporal",
    "fast",
    "temporal",
    "spatial",
    "spatial",
    "depth",
    "width",
)
"""The axis that each of the paper's 11 steps chose."""

PAPER_BUDGETS_G = {"xs": 0.6, "s": 2.0, "m": 5.0, "l": 20.0, "xl": 40.0}
"""Multiply-adds in 1e9 that the published models are named for."""

PAPER_BUDGET_SLACK = 1.01
"""X3D-XS, published under 0.6 G, has 0.605 G: the paper's budgets are read to one in a hundred."""


def replay(member: str, *, record: Record | None = None) -> SearchResult:
    """Return the search that led to a published model, with the paper's choices as scores.

    Args:
        member: one of `PAPER_BUDGETS_G`.
        record: of other replays, to go on from.

    Raises:
        ConfigError: no such member.
    """
    if member not in PAPER_BUDGETS_G:
        raise ConfigError(
            f"{member!r} has no published budget; there are {', '.join(PAPER_BUDGETS_G)}"
            f"{did_you_mean(member, PAPER_BUDGETS_G)}"
        )
    return expand(
        X2D,
        score=score_by_paper_order,
        cost=counted_cost("multiply_adds"),
        budget=PAPER_BUDGETS_G[member] * 1e9 * PAPER_BUDGET_SLACK,
        record=record,
        score_settings={"name": "the paper's order"},
    )


def score_by_paper_order(candidates: Sequence[Candidate]) -> Iterable[Outcome]:
    """Give the axis that the paper chose a score of its step's number, the others half."""
    for candidate in candidates:
        is_paper = candidate.axis == ("start", *PAPER_ORDER)[candidate.step]
        score = candidate.step if is_paper else candidate.step / 2
        yield Scored(candidate=candidate, score=score)


def ladder_lines() -> list[str]:
    """Return the paper's ladder as a table for people: each step's model, and what it costs.

    A published model stands at its step; one that is its step's model brought back to the
    budget (S) has a line of its own, and the chain goes on from the model above it.
    """
    record = Record()
    found = {member: replay(member, record=record).final for member in PAPER_BUDGETS_G}
    chain = replay("xl", record=record).path
    names = {one.candidate: f"X3D-{member.upper()}" for member, one in found.items()}
    names[chain[0].candidate] = "X2D"
    rows = [*chain, *(one for one in found.values() if one.candidate.is_contracted)]
    rows.sort(key=lambda one: (one.candidate.step, one.candidate.is_contracted))
    lines = [
        f"{'step':>4}  {'axis':<24}{'T x stride':>10}{'crop':>6}{'bottleneck':>12}{'depth':>7}"
        f"{'width':>7}{'multiply-adds':>16}{'parameters':>12}  model"
    ]
    for one in rows:
        candidate = one.candidate
        factors, count = candidate.factors, network_cost(candidate.factors)
        axis = AXES.get(candidate.axis, "start") + ", contracted" * candidate.is_contracted
        clip = f"{factors.num_frames} x {factors.sampling_stride}"
        lines.append(
            f"{candidate.step:>4}  {axis:<24}{clip:>10}{factors.crop_px:>6}"
            f"{factors.bottleneck:>12g}{factors.depth:>7g}{factors.width:>7g}"
            f"{count.multiply_adds:>16,}{count.parameters:>12,}  "
            f"{names.get(candidate, '')}"
        )
    return lines
