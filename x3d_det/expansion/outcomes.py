"""What became of a candidate, and what a step made of all of them."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from x3d_det.errors import X3DDetError
from x3d_det.expansion.axes import AXES
from x3d_det.expansion.growth import Candidate, Stuck


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A candidate with its score.

    Attributes:
        candidate: as it was given to the score function.
        score: higher is better; one that is not finite is taken as a failure.
        seconds: that the scoring took, where known.
        details: plain values worth keeping in the record, as the checkpoint's path.
    """

    candidate: Candidate
    score: float
    seconds: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A candidate that could not be scored: diverged, out of memory. It is never chosen.

    Attributes:
        candidate: as it was given to the score function.
        reason: a part of a sentence.
        seconds: that went by, where known.
        details: as in `Scored`.
    """

    candidate: Candidate
    reason: str
    seconds: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """A candidate that was given up early because others of its step did better by then.

    It is never chosen: its score is of less work than theirs, and may even be the higher.

    Attributes:
        candidate: as it was given to the score function.
        score: when it was stopped.
        reason: a part of a sentence, as `after epoch 2 of 8`.
        seconds: that went by, where known.
        details: as in `Scored`.
    """

    candidate: Candidate
    score: float
    reason: str
    seconds: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


Outcome = Scored | Failed | Stopped
ScoreFunction = Callable[[Sequence[Candidate]], Iterable[Outcome]]
"""Gets the unscored candidates of a step at once, gives an outcome for each, in any order.

It may be a generator: each outcome is put on record the moment it comes, so that those
of a step need not be done over when the search is killed. One after another, N processes
at a time or as jobs of a cluster are all the same to the search."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a search.

    Attributes:
        number: 0 for the start; a contraction has the number of the step it undoes in part.
        kind: the start, a growth along every axis, or a contraction of the last growth.
        parent: where the step began; None for the start.
        outcomes: of all candidates, in the order of the axes.
        stuck: axes without a candidate, and why.
        chosen: the best candidate; None where a contraction's one failed.
        tied: axes whose score was as good as the chosen one's.
        is_plateau: no candidate was better than the parent.
    """

    number: int
    kind: Literal["start", "growth", "contraction"]
    parent: Candidate | None
    outcomes: tuple[Outcome, ...]
    stuck: tuple[Stuck, ...] = ()
    chosen: Scored | None = None
    tied: tuple[str, ...] = ()
    is_plateau: bool = False


def usable(outcome: Outcome) -> Outcome:
    """Return the outcome; a score that is not finite becomes a failure."""
    if isinstance(outcome, Scored) and not math.isfinite(outcome.score):
        kept = {
            item.name: getattr(outcome, item.name)
            for item in dataclasses.fields(outcome)
            if item.name != "score"
        }
        return Failed(reason=f"its score is {outcome.score}", **kept)
    return outcome


def ranked(outcomes: Iterable[Outcome], axes: Sequence[str]) -> list[Scored]:
    """Return the scored candidates, best first; ties: the cheaper, then the axis named first."""
    order = {axis: place for place, axis in enumerate(axes)}
    scored = [outcome for outcome in outcomes if isinstance(outcome, Scored)]
    return sorted(
        scored,
        key=lambda one: (-one.score, one.candidate.cost, order.get(one.candidate.axis, 0)),
    )


def collect(
    score: ScoreFunction, candidates: Sequence[Candidate], note: Callable[[Outcome], None]
) -> None:
    """Have candidates scored; `note` is called with each outcome as it comes.

    Raises:
        X3DDetError: the function gave an outcome for something else, two for one
            candidate, or none.
    """
    missing = list(candidates)
    for outcome in score(tuple(candidates)):
        if outcome.candidate not in missing:
            raise X3DDetError(
                f"the score function gave an outcome for {describe(outcome.candidate)}, which "
                "it was not asked for, or gave it twice; give one for each candidate."
            )
        missing.remove(outcome.candidate)
        note(usable(outcome))
    if missing:
        raise X3DDetError(
            f"the score function gave no outcome for {describe(missing[0])}"
            f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}; give `Scored` or "
            "`Failed` for each candidate."
        )


def describe(candidate: Candidate) -> str:
    """Return `X-Fast (8 x 6, 160 px, ...)`."""
    return f"{AXES.get(candidate.axis, 'the start')} ({candidate.factors.text()})"
