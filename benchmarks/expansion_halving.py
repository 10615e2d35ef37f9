"""What successive halving would have saved in finished searches, and whom it would have chosen.

    python benchmarks/expansion_halving.py outputs/expansion_benchmark/seed_*/search --rung 4

A candidate that is stopped at a rung was trained up to there as all are, so the scores at the
rung stand in the journals of whole trainings (which must have evaluated there:
`train.evaluate_every_epochs`). For each step: the candidates that the rung would have stopped,
their epochs and seconds left out, and whether the chosen one was among them.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from x3d_det.cli import EXIT_OK, make_parser, run_tool
from x3d_det.errors import DataError
from x3d_det.expansion import Candidate, Record, Scored

SCORES = {"top1", "mAP"}


@dataclass(frozen=True)
class Training:
    """A whole training of a candidate, and where it stood at the rung."""

    candidate: Candidate
    score: float
    rung_score: float
    seconds: tuple[float, ...]
    """Of each epoch."""


@dataclass
class Total:
    """Of one search."""

    steps: int = 0
    changed: int = 0
    epochs: int = 0
    whole_epochs: int = 0
    seconds: float = 0.0
    whole_seconds: float = 0.0

    def add(self, step: Sequence[Training], *, rung: int, keep: float) -> None:
        """Count a step."""
        order = sorted(step, key=lambda one: (-one.rung_score, one.candidate.cost))
        kept = order[: math.ceil(keep * len(order))]
        self.steps += 1
        self.changed += winner(kept) is not winner(step)
        for one in step:
            trained = one.seconds if one in kept else one.seconds[:rung]
            self.epochs += len(trained)
            self.seconds += sum(trained)
            self.whole_epochs += len(one.seconds)
            self.whole_seconds += sum(one.seconds)

    def text(self) -> str:
        """Return it as a sentence."""
        return (
            f"{self.epochs} of {self.whole_epochs} epochs, {self.seconds:,.0f} of "
            f"{self.whole_seconds:,.0f} s of training "
            f"({1 - self.seconds / self.whole_seconds:.0%} less); another choice in "
            f"{self.changed} of {self.steps} steps"
        )


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser("benchmarks/expansion_halving.py", __doc__)
    parser.add_argument("searches", type=Path, nargs="+", help="output folders of expand_x3d.py")
    parser.add_argument("--rung", type=int, required=True, help="epoch after which is compared")
    parser.add_argument("--keep", type=float, default=0.5, help="share that goes on")
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    for folder in args.searches:
        total = Total()
        for step in steps_of(folder, args.rung):
            total.add(step, rung=args.rung, keep=args.keep)
        print(f"{folder}: {total.text()}")
    return EXIT_OK


def steps_of(folder: Path, rung: int) -> list[list[Training]]:
    """Return the trainings of each step that had a choice."""
    if not (folder / "record.jsonl").is_file():
        raise DataError(f"{folder} has no record.jsonl; give the output folder of a search.")
    record = Record(folder / "record.jsonl")
    steps: dict[int, list[Training]] = {}
    for outcome in record.outcomes.values():
        if isinstance(outcome, Scored) and not outcome.candidate.is_contracted:
            one = training(folder, outcome, rung)
            steps.setdefault(outcome.candidate.step, []).append(one)
    choices = [step for step in steps.values() if len(step) > 1]
    if not choices:
        raise DataError(f"{folder}: no step yet in which two candidates were scored.")
    return choices


def training(folder: Path, outcome: Scored, rung: int) -> Training:
    """Return a candidate's training from its journal."""
    files = list((folder / "candidates").glob(f"{outcome.candidate.name}_[0-9]*/epochs.jsonl"))
    if len(files) != 1:
        raise DataError(f"{folder}: {len(files)} trainings of {outcome.candidate.name}, not 1.")
    epochs = [json.loads(line) for line in files[0].read_text().splitlines()]
    if not 1 <= rung <= len(epochs):
        raise DataError(f"{files[0]}: {len(epochs)} epochs; --rung {rung} is none of them.")
    found = [epochs[rung - 1]["metrics"][name] for name in SCORES & {*epochs[rung - 1]["metrics"]}]
    if not found:
        raise DataError(f"{files[0]}: epoch {rung} was not scored; choose another --rung.")
    return Training(
        outcome.candidate, outcome.score, found[0], tuple(epoch["seconds"] for epoch in epochs)
    )


def winner(step: Sequence[Training]) -> Training:
    return max(step, key=lambda one: (one.score, -one.candidate.cost))


if __name__ == "__main__":
    sys.exit(main())
