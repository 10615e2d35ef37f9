"""One factor changed so that the cost comes as near as possible to a target; and back."""

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from x3d_det.expansion.axes import Limits, contraction_levels, levels, why_no_level
from x3d_det.expansion.cost import Cost
from x3d_det.expansion.factors import Factors


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model that a step offers.

    Attributes:
        step: its number; 0 for the first model.
        axis: that was changed; "start" for the first model.
        factors: exact, after rounding.
        cost: in the search's unit.
        parent: the model that it was grown from; None for the first.
        is_contracted: whether it is a step's candidate brought back within the budget.
    """

    step: int
    axis: str
    factors: Factors
    cost: float
    parent: Factors | None = None
    is_contracted: bool = False

    @property
    def name(self) -> str:
        """`step07_temporal`, or `step07_temporal_contracted`; unique within a search."""
        return f"step{self.step:02}_{self.axis}" + "_contracted" * self.is_contracted


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """An axis that offers no candidate.

    Attributes:
        axis: which.
        reason: a part of a sentence, with the values.
    """

    axis: str
    reason: str


def grown(
    parent: Candidate, axis: str, *, target_cost: float, cost: Cost, limits: Limits
) -> Candidate | Stuck:
    """Return the parent with one factor grown to the cost nearest to the target.

    Near is meant as a ratio: half the target is as far from it as its double; of two as
    near, the cheaper. An axis whose nearest value misses the target by more than half the
    step (for a doubling: below 1.41 or above 2.83 times the parent) is stuck, for its
    candidate would win or lose by its cost.

    Args:
        parent: what grows.
        axis: one of `AXES`; its possible values are those of `levels`.
        target_cost: above the parent's.
        cost: must not fall along the axis; where a measured one does here and there, the
            candidate may not be the nearest one.
        limits: how far the factor may go.
    """
    offered = levels(parent.factors, axis, limits)
    if not offered:
        return Stuck(axis=axis, reason=why_no_level(parent.factors, axis, limits))
    place = bisect_left(offered, target_cost, key=cost)
    around = [
        _child(parent, axis, factors, cost) for factors in offered[max(place - 1, 0) : place + 1]
    ]
    nearest = min(around, key=lambda candidate: abs(math.log(candidate.cost / target_cost)))
    ratio = nearest.cost / parent.cost
    if nearest.cost <= parent.cost:
        return Stuck(axis=axis, reason=f"growing it does not raise the {cost.name}")
    half_step = math.sqrt(target_cost / parent.cost)
    if not target_cost / half_step <= nearest.cost <= target_cost * half_step:
        return Stuck(
            axis=axis,
            reason=(
                f"the nearest possible change ({nearest.factors.text()}) costs {ratio:.2f} times "
                f"the present model, too far from {target_cost / parent.cost:.2f} times"
            ),
        )
    return nearest


def contracted(
    parent: Candidate, candidate: Candidate, *, budget: float, cost: Cost, limits: Limits
) -> Candidate | Stuck:
    """Return the largest smaller growth along the candidate's axis that is within the budget.

    Args:
        parent: the model before the step.
        candidate: what the step made of it; above the budget.
        budget: in the unit of the cost; never exceeded.
        cost: as in `grown`.
        limits: as in `grown`.

    Source: X3D, arXiv:2004.04730, Sec. 3.2, "Backward contraction".
    """
    axis = candidate.axis
    offered = contraction_levels(parent.factors, candidate.factors, axis, limits)
    place = bisect_right(offered, budget, key=cost)
    for factors in reversed(offered[:place]):
        if parent.cost < cost(factors) <= budget:
            return _child(parent, axis, factors, cost, is_contracted=True)
    return Stuck(axis=axis, reason=f"no smaller growth of it costs at most {budget:g} {cost.unit}")


def _child(
    parent: Candidate, axis: str, factors: Factors, cost: Cost, *, is_contracted: bool = False
) -> Candidate:
    return Candidate(
        step=parent.step + 1,
        axis=axis,
        factors=factors,
        cost=cost(factors),
        parent=parent.factors,
        is_contracted=is_contracted,
    )
