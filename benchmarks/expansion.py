"""Is the search worth its trainings? Its model against two that are had without it.

    python benchmarks/expansion.py --config expand_kinetics_mini.yaml --seeds 0 1 2 --workers 2

For each seed: the search; the start scaled along each single axis to the same cost (to the nearest
below and above it, where whole strides or pixels do not come close), the best of them; and random
walks of expansions to the budget, the best of them.
A walk trains a model a step as the search trains six, so there are as many walks as use up the
search's number of trainings; only ends are compared, so only these are trained here (--walks N
for another number, say as many as the search had trainings). The best of each is chosen by the
validation score of that seed's trainings, which flatters what had more to choose from; so the
chosen ones are trained again with the final seeds, the same for all, and these scores are compared.
Stopped or killed, the same command goes on; no finished training is done again. Seeds that an
earlier report of the same settings has (--add-to FILE) stay in the new one.
"""

import argparse
import json
import math
import random
import statistics
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from x3d_det.cli import EXIT_OK, UsageError, log_to_stderr, make_parser, run_tool
from x3d_det.config.expansion import ExpansionConfig
from x3d_det.config.load import load_config
from x3d_det.errors import DataError
from x3d_det.expansion import (
    Candidate,
    Cost,
    Factors,
    Failed,
    Limits,
    Outcome,
    Scored,
    SearchResult,
    Stopped,
    expand,
)
from x3d_det.expansion.axes import levels
from x3d_det.io.files import atomic_write
from x3d_det.runs.candidates import CandidateScorer, SearchedExperiment
from x3d_det.runs.expansion import run_expansion, telling
from x3d_det.runs.expansion_setup import (
    build_cost,
    build_limits,
    build_start,
    check_data,
    num_classes_of,
)
from x3d_det.runs.job_runners import build_runner
from x3d_det.words import short_number

CONTENDERS = ("search", "single axis", "random walk")
MOST_WALKS_A_MODEL = 50


@dataclass(frozen=True)
class Contest:
    """What all contenders of the benchmark share."""

    config: ExpansionConfig
    experiment: SearchedExperiment
    cost: Cost
    limits: Limits
    folder: Path

    def score(
        self, candidates: Sequence[Candidate], folder: Path, seeds: Sequence[int]
    ) -> dict[Candidate, Outcome]:
        """Return the outcome of a whole training of each candidate."""
        runner = build_runner(
            self.config.runner,
            seconds_limit=self.config.seconds_limit,
            log_folder=self.folder / "slurm",
        )
        scorer = CandidateScorer(self.experiment, folder, runner=runner, seeds=seeds)
        return {outcome.candidate: outcome for outcome in telling(scorer)(candidates)}


@dataclass(frozen=True)
class Choice:
    """What a contender chose by the trainings of one seed."""

    seed: int
    contender: str
    chosen: Scored
    trainings: int


def main(argv: Sequence[str] | None = None) -> int:
    parser = make_parser("benchmarks/expansion.py", __doc__)
    parser.add_argument("--config", required=True, help="of a search")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--final-seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--walks", type=int, help="random walks a seed")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    parser.add_argument("--output-dir", type=Path, default=Path("outputs/expansion_benchmark"))
    parser.add_argument("--add-to", type=Path, help="report of other seeds, measured before")
    return run_tool(parser, _run, argv)


def _run(args: argparse.Namespace) -> int:
    if set(args.seeds) & set(args.final_seeds):
        raise UsageError("--final-seeds must differ from --seeds: the choice was made on those")
    log_to_stderr()
    overrides = [*args.overrides, f"runner.workers={args.workers}"]
    contest = open_contest(load_config(args.config, overrides, ExpansionConfig), args.output_dir)
    before = rows_before(args.add_to, contest.config, args.seeds) if args.add_to else []
    choices = [
        choice for seed in args.seeds for choice in choices_of_seed(contest, seed, args.walks)
    ]
    rows = [*before, *judged(contest, choices, args.final_seeds)]
    report = {"config": contest.config.model_dump(mode="json"), "rows": rows, **spread(rows)}
    with atomic_write(args.output_dir / "expansion_benchmark.json", "w") as file:
        json.dump(report, file, indent=1)
    print("\n".join(table(rows)))
    return EXIT_OK


def rows_before(file: Path, config: ExpansionConfig, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows of an earlier report.

    Raises:
        DataError: it is no report, of other settings, or has one of the seeds.
    """
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        settings, rows = report["config"], report["rows"]
        known = {row["seed"] for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is no report of this benchmark: {error!r}.") from error
    if {**settings, "runner": None} != {**config.model_dump(mode="json"), "runner": None}:
        raise DataError(f"{file} is of a search with other settings; leave out --add-to.")
    if known & set(seeds):
        raise DataError(f"{file} has seeds {sorted(known)} already; give others in --seeds.")
    return list(rows)


def open_contest(config: ExpansionConfig, folder: Path) -> Contest:
    """Return what the contenders share; the checks of a search come first."""
    experiment = SearchedExperiment(config.experiment, num_threads=config.num_threads)
    videos = check_data(experiment)
    return Contest(
        config=config,
        experiment=experiment,
        cost=build_cost(config.cost, num_classes=num_classes_of(experiment.base)),
        limits=build_limits(config, experiment.base.clip, videos),
        folder=folder,
    )


def choices_of_seed(contest: Contest, seed: int, walks: int | None) -> list[Choice]:
    """Return what each contender chooses on a seed."""
    folder = contest.folder / f"seed_{seed}"
    config = contest.config.model_copy(update={"seeds": (seed,)})
    result = run_expansion(config, folder / "search", resume=True).result
    num_trainings = sum(len(step.outcomes) for step in result.steps)
    scaled = scaled_models(contest, result.final.candidate.cost)
    walks = walks or max(1, num_trainings // (len(result.steps) - 1))
    walked = walked_models(contest, walks, seed)
    # In one call, so that no worker idles between the two.
    others = contest.score([*scaled, *walked], folder / "others", [seed])
    return [
        Choice(seed, "search", result.final, num_trainings),
        Choice(seed, "single axis", best_of([others[one] for one in scaled]), len(scaled)),
        Choice(seed, "random walk", best_of([others[one] for one in walked]), len(walked)),
    ]


def judged(
    contest: Contest, choices: Sequence[Choice], final_seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Return a row for each choice, with its scores from the final seeds; a model that was
    chosen more than once is trained once."""
    models: dict[Factors, Candidate] = {}
    for choice in choices:  # the first stays, so that more seeds later train none again
        models.setdefault(choice.chosen.candidate.factors, choice.chosen.candidate)
    again = contest.score(list(models.values()), contest.folder / "final", final_seeds)
    scores = {model.factors: final_scores(one) for model, one in again.items()}
    return [
        {
            "seed": choice.seed,
            "contender": choice.contender,
            "trainings": choice.trainings,
            "factors": choice.chosen.candidate.factors.text(),
            "cost": choice.chosen.candidate.cost,
            "chosen_at": choice.chosen.score,
            "scores": scores[choice.chosen.candidate.factors],
            "mean": statistics.fmean(scores[choice.chosen.candidate.factors]),
        }
        for choice in choices
    ]


def scaled_models(contest: Contest, target: float) -> list[Candidate]:
    """Return the start scaled along each single axis to a cost: the nearest model and, where
    that is more than a tenth off, its neighbour on the other side, too."""
    start = build_start(contest.config.start)
    found = []
    for axis in contest.config.axes:
        offered = levels(start, axis, contest.limits)
        if not offered:
            continue
        place = bisect_left(offered, target, key=contest.cost)
        around = sorted(
            (
                Candidate(step=1, axis=axis, factors=factors, cost=contest.cost(factors))
                for factors in offered[max(place - 1, 0) : place + 1]
            ),
            key=lambda one: abs(math.log(one.cost / target)),
        )
        is_near = abs(around[0].cost / target - 1) <= 0.1
        found += around[:1] if is_near else around
    return found


def walked_models(contest: Contest, num_models: int, seed: int) -> list[Candidate]:
    """Return different models at the ends of random walks to the budget."""
    source = random.Random(seed)
    found: dict[Factors, Candidate] = {}
    for _ in range(MOST_WALKS_A_MODEL * num_models):
        if len(found) == num_models:
            break
        end = random_walk(contest, source).final.candidate
        found.setdefault(end.factors, end)
    return list(found.values())


def random_walk(contest: Contest, source: random.Random) -> SearchResult:
    """Return a search whose scores are dice: same steps, same contraction, any axis."""

    def throw(candidates: Sequence[Candidate]) -> Iterator[Outcome]:
        for candidate in candidates:
            yield Scored(candidate=candidate, score=source.random())

    return expand(
        build_start(contest.config.start),
        score=throw,
        cost=contest.cost,
        budget=contest.config.budget,
        step_factor=contest.config.step_factor,
        limits=contest.limits,
        axes=contest.config.axes,
    )


def best_of(outcomes: Sequence[Outcome]) -> Scored:
    """Return the best of trained models."""
    scored = [one for one in outcomes if isinstance(one, Scored)]
    return max(scored, key=lambda one: (one.score, -one.candidate.cost))


def final_scores(outcome: Outcome) -> list[float]:
    """Return the score of each final seed."""
    if isinstance(outcome, Failed | Stopped):
        raise SystemExit(f"the chosen model failed with the final seeds: {outcome.reason}")
    return list(outcome.details.get("scores", [outcome.score]))


def spread(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation of each contender over all final trainings."""
    found = {}
    for name in CONTENDERS:
        scores = [score for row in rows if row["contender"] == name for score in row["scores"]]
        deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
        found[name] = {"mean": statistics.fmean(scores), "deviation": deviation, "n": len(scores)}
    return {"contenders": found}


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the rows and the means as Markdown."""
    lines = [
        "| Seed | Contender | Trainings | Model | Cost | Chosen at | Trained again |",
        "| ---: | --- | ---: | --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['seed']} | {row['contender']} | {row['trainings']} | {row['factors']} | "
        f"{short_number(row['cost'])} | {row['chosen_at']:.4f} | {row['mean']:.4f} |"
        for row in rows
    ]
    for name, one in spread(rows)["contenders"].items():
        lines.append(
            f"| all | {name} | | | | | {one['mean']:.4f} ± {one['deviation']:.4f} (n={one['n']}) |"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
