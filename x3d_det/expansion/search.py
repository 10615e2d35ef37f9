"""Progressive expansion: one axis at a time up to a budget, the last step contracted to it."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from x3d_det.errors import ConfigError, X3DDetError
from x3d_det.expansion.axes import AXES, Limits, check_axes, upper_bound
from x3d_det.expansion.cost import Cost
from x3d_det.expansion.factors import Factors
from x3d_det.expansion.growth import Candidate, Stuck, contracted, grown
from x3d_det.expansion.outcomes import (
    Failed,
    Scored,
    ScoreFunction,
    Step,
    collect,
    describe,
    ranked,
)
from x3d_det.expansion.record import Plan, Record


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search found.

    Attributes:
        steps: the start, the growths, and the contraction where there was one.
        path: the model of each step on the way, the found one last.
        stopped: why the search ended, as a sentence.
    """

    steps: tuple[Step, ...]
    path: tuple[Scored, ...]
    stopped: str

    @property
    def final(self) -> Scored:
        """The model found for the budget."""
        return self.path[-1]


def expand(
    start: Factors,
    *,
    score: ScoreFunction,
    cost: Cost,
    budget: float,
    step_factor: float = 2.0,
    smallest_last_step: float | None = None,
    limits: Limits | None = None,
    axes: Sequence[str] = tuple(AXES),
    record: Record | None = None,
    score_settings: Mapping[str, Any] | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> SearchResult:
    """Return the family of models from `start` to the budget.

    A step builds one candidate an axis, about `step_factor` times as dear; all are scored
    and the best goes on. Of equal scores the cheaper, then the axis that `axes` names first
    is chosen. Where no candidate is better than its parent the best one goes on all the
    same, as the paper has it, and the step is marked as a plateau. A candidate above the
    budget ends the search: it is contracted along its axis to the largest model within the
    budget, which is scored too. Where its axis has no such model, or that one fails, the
    next best of the step is taken; after the last one, the search ends at the parent.

    Args:
        start: the first model, as `X2D`; is scored too.
        score: see `ScoreFunction`; higher is better.
        cost: what is held to the budget.
        budget: in its unit; no model of the path exceeds it.
        step_factor: above 1; the paper's is 2.
        smallest_last_step: a step is begun while the budget leaves at least this factor,
            by default the root of `step_factor`; at 1 every rest is used up. With it X3D-M,
            at 4.7 of 5 G, is done, while 1.2 of 2 G leads on to X3D-S.
        limits: how far each factor may grow.
        axes: to choose from.
        record: of this search, or of one with a smaller or larger budget: candidates in it
            are not scored again. By default one in memory.
        score_settings: plain values that scores depend on (data, recipe, seed); the record
            is held to them.
        on_step: called with each finished step.

    Raises:
        ConfigError: before anything is scored: a budget below the start or above all that
            the limits allow, unknown or no axes, a step factor not above 1.
        DataError: the record is of a search with other settings.
        X3DDetError: all candidates of a step failed; names each with its reason.

    Source: X3D, arXiv:2004.04730, Sec. 3.2.
    """
    limits = limits or Limits()
    axes = check_axes(axes)
    least = math.sqrt(step_factor) if smallest_last_step is None else smallest_last_step
    _check(start, cost, budget, step_factor=step_factor, least=least, limits=limits, axes=axes)
    record = Record() if record is None else record
    record.hold_to(
        {
            "start": start.to_json(),
            "cost": cost.settings,
            "step_factor": step_factor,
            "limits": dataclasses.asdict(limits),
            "axes": list(axes),
            "score": dict(score_settings or {}),
        }
    )
    search = _Search(score, cost, step_factor, limits, axes, record, on_step)
    search.begin(start)
    while True:
        parent = search.path[-1]
        rest = budget / parent.candidate.cost
        if rest <= 1 or rest < least:
            return search.result(
                f"The budget leaves a factor of {rest:.3g} above {describe(parent.candidate)}, "
                f"less than the smallest step of {least:.3g}."
            )
        step = search.grow(parent)
        if step is None:
            return search.result("No axis can grow any further.")
        assert step.chosen is not None
        if step.chosen.candidate.cost > budget:
            return search.result(search.contract(step, budget))
        search.path.append(step.chosen)


class _Search:
    """A search on its way."""

    def __init__(
        self,
        score: ScoreFunction,
        cost: Cost,
        step_factor: float,
        limits: Limits,
        axes: tuple[str, ...],
        record: Record,
        on_step: Callable[[Step], None] | None,
    ) -> None:
        self.score = score
        self.cost = cost
        self.step_factor = step_factor
        self.limits = limits
        self.axes = axes
        self.record = record
        self.on_step = on_step
        self.steps: list[Step] = []
        self.path: list[Scored] = []

    def begin(self, start: Factors) -> None:
        """Score the start."""

        def make() -> Plan:
            return Plan(
                candidates=(Candidate(step=0, axis="start", factors=start, cost=self.cost(start)),)
            )

        key, plan = self._plan(make, kind="start", parent=start)
        step = self._finish(Step(number=0, kind="start", parent=None, outcomes=()), key, plan)
        if step.chosen is None:
            raise X3DDetError(f"the first model could not be scored: {_reasons(step)}.")
        self.path.append(step.chosen)

    def grow(self, parent: Scored) -> Step | None:
        """Score one candidate an axis; None where no axis has one."""
        target = parent.candidate.cost * self.step_factor

        def make() -> Plan:
            offers = [
                grown(
                    parent.candidate,
                    axis,
                    target_cost=target,
                    cost=self.cost,
                    limits=self.limits,
                )
                for axis in self.axes
            ]
            return Plan(
                candidates=tuple(one for one in offers if isinstance(one, Candidate)),
                stuck=tuple(one for one in offers if isinstance(one, Stuck)),
            )

        key, plan = self._plan(make, kind="growth", parent=parent.candidate.factors)
        blank = Step(
            number=len(self.path),
            kind="growth",
            parent=parent.candidate,
            outcomes=(),
            stuck=plan.stuck,
        )
        if not plan.candidates:
            self._announce(blank)
            return None
        step = self._finish(blank, key, plan)
        if step.chosen is None:
            raise X3DDetError(
                f"step {step.number}: all {len(step.outcomes)} candidates failed: {_reasons(step)}."
            )
        return step

    def contract(self, step: Step, budget: float) -> str:
        """Bring the best candidate that can be so within the budget; return why it ended."""
        parent = self.path[-1]
        for best in ranked(step.outcomes, self.axes):
            candidate = best.candidate
            if candidate.cost <= budget:
                self.path.append(best)
                return f"{describe(candidate)} is the best of its step within the budget."
            contraction = self._contract_one(step.number, parent, candidate, budget)
            if contraction is not None and contraction.chosen is not None:
                self.path.append(contraction.chosen)
                return f"{AXES[candidate.axis]} of the last step was contracted to the budget."
        return "No candidate of the last step could be brought within the budget."

    def result(self, stopped: str) -> SearchResult:
        """Return what was found."""
        return SearchResult(steps=tuple(self.steps), path=tuple(self.path), stopped=stopped)

    def _contract_one(
        self, number: int, parent: Scored, candidate: Candidate, budget: float
    ) -> Step | None:
        def make() -> Plan:
            offer = contracted(
                parent.candidate, candidate, budget=budget, cost=self.cost, limits=self.limits
            )
            if isinstance(offer, Candidate):
                return Plan(candidates=(offer,))
            return Plan(candidates=(), stuck=(offer,))

        key, plan = self._plan(
            make,
            kind="contraction",
            parent=parent.candidate.factors,
            axis=candidate.axis,
            budget=budget,
        )
        blank = Step(
            number=number,
            kind="contraction",
            parent=parent.candidate,
            outcomes=(),
            stuck=plan.stuck,
        )
        if not plan.candidates:
            self._announce(blank)
            return None
        return self._finish(blank, key, plan)

    def _plan(
        self, make: Callable[[], Plan], *, kind: str, parent: Factors, **about: Any
    ) -> tuple[str, Plan]:
        """Return key and plan on record, or make it and put it there."""
        named = {"step_kind": kind, "parent": parent.to_json(), **about}
        key = json.dumps(named, sort_keys=True)
        plan = self.record.plan(key)
        if plan is None:
            plan = make()
            counts = {
                one.axis: dataclasses.asdict(self.cost.counts(one.factors))
                for one in plan.candidates
            }
            self.record.note_plan(key, plan, about={"step": len(self.path), "counts": counts})
        return key, plan

    def _finish(self, blank: Step, key: str, plan: Plan) -> Step:
        """Have what is not on record scored, choose, and tell."""
        unscored: dict[Factors, Candidate] = {}
        for one in plan.candidates:
            if self.record.outcome_of(one) is None:
                unscored.setdefault(one.factors, one)
        if unscored:
            collect(self.score, tuple(unscored.values()), self.record.note_outcome)
        found = [self.record.outcome_of(one) for one in plan.candidates]
        outcomes = tuple(outcome for outcome in found if outcome is not None)
        order = ranked(outcomes, self.axes)
        best = order[0] if order else None
        parent = self.path[-1] if self.path else None
        step = dataclasses.replace(
            blank,
            outcomes=outcomes,
            chosen=best,
            tied=tuple(o.candidate.axis for o in order[1:] if best and o.score == best.score),
            is_plateau=bool(best and parent and best.score <= parent.score),
        )
        self.record.note_choice(key, _choice(step))
        self._announce(step)
        return step

    def _announce(self, step: Step) -> None:
        self.steps.append(step)
        if self.on_step is not None:
            self.on_step(step)


def _choice(step: Step) -> dict[str, Any]:
    chosen = step.chosen
    return {
        "step": step.number,
        "step_kind": step.kind,
        "axis": chosen.candidate.axis if chosen else None,
        "factors": chosen.candidate.factors.to_json() if chosen else None,
        "score": chosen.score if chosen else None,
        "tied": list(step.tied),
        "is_plateau": step.is_plateau,
    }


def _reasons(step: Step) -> str:
    return "; ".join(
        f"{describe(outcome.candidate)}: {outcome.reason}"
        for outcome in step.outcomes
        if isinstance(outcome, Failed)
    )


def _check(
    start: Factors,
    cost: Cost,
    budget: float,
    *,
    step_factor: float,
    least: float,
    limits: Limits,
    axes: tuple[str, ...],
) -> None:
    if not 1 < step_factor < math.inf:
        raise ConfigError(f"step_factor is {step_factor}; a step must make a model dearer.")
    if not 1 <= least <= step_factor:
        raise ConfigError(
            f"smallest_last_step is {least}; it must be from 1 to step_factor = {step_factor}."
        )
    seconds = start.num_frames * limits.stride(start) / limits.fps
    if seconds > limits.longest_seconds:
        raise ConfigError(
            f"the start's clip ({start.text()}) lasts {seconds:g} s, more than "
            f"limits.longest_seconds = {limits.longest_seconds:g}."
        )
    for name in ("crop_px", "depth", "width", "bottleneck"):
        value, largest = getattr(start, name), getattr(limits, f"largest_{name}")
        if value > largest:
            raise ConfigError(
                f"the start's {name} is {value:g}, more than limits.largest_{name} = {largest:g}; "
                "start smaller, or widen the limit."
            )
    if not budget >= cost(start):
        raise ConfigError(
            f"budget is {budget:g} {cost.unit}, but the start ({start.text()}) costs "
            f"{cost(start):g} already; raise the budget or start smaller."
        )
    if cost.is_measured:
        return
    top = upper_bound(start, axes, limits)
    if not budget <= cost(top):
        raise ConfigError(
            f"budget is {budget:g} {cost.unit}, but the limits allow no more than "
            f"{cost(top):g} ({top.text()}); lower the budget or widen the limits."
        )
