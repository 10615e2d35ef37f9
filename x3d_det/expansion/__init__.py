"""The search that made X3D: progressive expansion, forward and backward."""

from x3d_det.expansion.axes import AXES, Limits, levels
from x3d_det.expansion.cost import COUNTS, Cost, counted_cost, measured_cost, network_cost
from x3d_det.expansion.factors import X2D, Factors
from x3d_det.expansion.growth import Candidate, Stuck, contracted, grown
from x3d_det.expansion.outcomes import Failed, Outcome, Scored, ScoreFunction, Step, Stopped
from x3d_det.expansion.record import Record
from x3d_det.expansion.replay import PAPER_BUDGETS_G, PAPER_ORDER, ladder_lines, replay
from x3d_det.expansion.search import SearchResult, expand
from x3d_det.expansion.table import search_markdown, write_search_table

__all__ = [
    "AXES",
    "COUNTS",
    "PAPER_BUDGETS_G",
    "PAPER_ORDER",
    "X2D",
    "Candidate",
    "Cost",
    "Factors",
    "Failed",
    "Limits",
    "Outcome",
    "Record",
    "ScoreFunction",
    "Scored",
    "SearchResult",
    "Step",
    "Stopped",
    "Stuck",
    "contracted",
    "counted_cost",
    "expand",
    "grown",
    "ladder_lines",
    "levels",
    "measured_cost",
    "network_cost",
    "replay",
    "search_markdown",
    "write_search_table",
]
