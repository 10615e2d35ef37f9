"""A whole search for an own X3D: from its config to the models, the picture and the configs."""

import contextlib
import fcntl
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from x3d_det.config.expansion import ExpansionConfig
from x3d_det.config.load import dump_config
from x3d_det.errors import X3DDetError
from x3d_det.expansion import (
    AXES,
    Candidate,
    Cost,
    Failed,
    Outcome,
    Record,
    Scored,
    ScoreFunction,
    SearchResult,
    Step,
    Stopped,
    expand,
    search_markdown,
)
from x3d_det.expansion.outcomes import describe
from x3d_det.io.files import atomic_write
from x3d_det.runs.candidates import METRICS, CandidateScorer, SearchedExperiment
from x3d_det.runs.expansion_setup import (
    build_cost,
    build_limits,
    build_start,
    check_data,
    num_classes_of,
)
from x3d_det.runs.job_runners import build_runner
from x3d_det.visualization.expansion_chart import ExpansionPoint

_logger = logging.getLogger(__name__)

_STATES: dict[type, Literal["failed", "stopped"]] = {Failed: "failed", Stopped: "stopped"}
RECORD_NAME = "record.jsonl"


@dataclass(frozen=True)
class FinishedSearch:
    """What a search found and wrote."""

    result: SearchResult
    cost: Cost
    files: list[Path]


@dataclass(frozen=True)
class Saving:
    """What successive halving left out, over a whole search.

    Attributes:
        num_stopped: candidates that were stopped.
        epochs_trained, epochs_whole: of all candidates: trained, and without halving.
        seconds_trained, seconds_whole: of training; a stopped one's whole is taken to go on
            as fast as it began.
        changed_steps: numbers of the steps whose choice would have been another one; None
            where it was not looked at.
    """

    num_stopped: int
    epochs_trained: int
    epochs_whole: int
    seconds_trained: float
    seconds_whole: float
    changed_steps: tuple[int, ...] | None

    def text(self) -> str:
        """Return it as sentences."""
        saved = 1 - self.seconds_trained / self.seconds_whole if self.seconds_whole else 0.0
        text = (
            f"Halving stopped {self.num_stopped} candidates: {self.epochs_trained} of "
            f"{self.epochs_whole} epochs and {self.seconds_trained:,.0f} of about "
            f"{self.seconds_whole:,.0f} s of training, {saved:.0%} less."
        )
        if self.changed_steps is None:
            return text
        if not self.changed_steps:
            return f"{text} Trained to their end, none of them would have won."
        steps = ", ".join(map(str, self.changed_steps))
        return f"{text} Trained to their end, one would have won in step {steps}."


def run_expansion(config: ExpansionConfig, output_dir: Path, *, resume: bool) -> FinishedSearch:
    """Search, and leave record, trainings, configs, picture and table in `output_dir`.

    Args:
        config: of the search.
        output_dir: is made where it does not stand.
        resume: go on with the search there.

    Raises:
        X3DDetError: before anything trains: settings, data or a start that do not fit, a
            folder in use or with another search; later: all candidates of a step failed, or
            something stopped a training that is no candidate's fault.
    """
    experiment = SearchedExperiment(config.experiment, num_threads=config.num_threads)
    videos = check_data(experiment)
    limits = build_limits(config, experiment.base.clip, videos)
    cost = build_cost(config.cost, num_classes=num_classes_of(experiment.base))
    start = build_start(config.start)
    experiment.config_of(start, is_candidate=True)
    runner = build_runner(
        config.runner, seconds_limit=config.seconds_limit, log_folder=output_dir / "slurm"
    )
    scorer = CandidateScorer(
        experiment,
        output_dir / "candidates",
        runner=runner,
        seeds=config.seeds,
        halving=config.halving,
    )
    with alone_in(output_dir):
        result = expand(
            start,
            score=telling(scorer),
            cost=cost,
            budget=config.budget,
            step_factor=config.step_factor,
            limits=limits,
            axes=config.axes,
            record=open_record(output_dir, resume=resume),
            score_settings=score_settings(config, experiment),
            on_step=_log_step,
        )
        files = write_search(result, config, experiment, cost=cost, output_dir=output_dir)
    return FinishedSearch(result=result, cost=cost, files=files)


def score_settings(config: ExpansionConfig, experiment: SearchedExperiment) -> dict[str, Any]:
    """Return what scores depend on, besides the factors; the record is held to it."""
    halving = config.halving and config.halving.model_dump(mode="json")
    return {
        "experiment": experiment.settings(),
        "seeds": list(config.seeds),
        "seconds_limit": config.seconds_limit,
        "halving": halving,
    }


def open_record(output_dir: Path, *, resume: bool) -> Record:
    """Return the record of the search in a folder.

    Raises:
        X3DDetError: there is one, and it is not to be gone on with; or it is damaged.
    """
    path = output_dir / RECORD_NAME
    if path.exists() and not resume:
        raise X3DDetError(
            f"output folder {output_dir} holds a search already; go on with it by --resume, or "
            "give another --output-dir."
        )
    return Record(path)


@contextlib.contextmanager
def alone_in(output_dir: Path) -> Iterator[None]:
    """Keep other searches out of a folder, which is made where it does not stand.

    Raises:
        X3DDetError: another search is at work there.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    with open(output_dir / ".lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise X3DDetError(
                f"another search is at work in {output_dir}; wait for it, end it, or give "
                "another --output-dir."
            ) from None
        yield


def telling(score: ScoreFunction) -> ScoreFunction:
    """Return the score function, with a line in the log for each outcome."""

    def tell(candidates: Sequence[Candidate]) -> Iterator[Outcome]:
        for number, outcome in enumerate(score(candidates), start=1):
            _logger.info("%d of %d: %s", number, len(candidates), _told(outcome))
            yield outcome

    return tell


def _told(outcome: Outcome) -> str:
    name = f"step {outcome.candidate.step}, {describe(outcome.candidate)}"
    after = "" if outcome.seconds is None else f" after {outcome.seconds:.0f} s of training"
    if isinstance(outcome, Failed):
        return f"{name}: failed, {outcome.reason}"
    stopped = f", stopped {outcome.reason}" if isinstance(outcome, Stopped) else ""
    return f"{name}: {outcome.score:.4f}{after}{stopped}"


def _log_step(step: Step) -> None:
    for stuck in step.stuck:
        _logger.info("step %d, %s: no candidate: %s", step.number, AXES[stuck.axis], stuck.reason)
    if step.chosen is not None:
        plateau = ", no better than its parent" if step.is_plateau else ""
        chosen = step.chosen
        _logger.info(
            "step %d: %s chosen at %.4f%s",
            step.number,
            describe(chosen.candidate),
            chosen.score,
            plateau,
        )


def write_search(
    result: SearchResult,
    config: ExpansionConfig,
    experiment: SearchedExperiment,
    *,
    cost: Cost,
    output_dir: Path,
) -> list[Path]:
    """Write all that a finished search leaves besides its record; return the files.

    Args:
        result: what it found.
        config: of the search.
        experiment: that it trained by.
        cost: that it was held to.
        output_dir: of the search.
    """
    from x3d_det.visualization.expansion_chart import draw_expansion

    title = f"X3D expanded on {experiment.base.dataset.name}"
    saving = saving_of(result)
    notes = [] if saving is None else [saving.text()]
    files = [output_dir / RECORD_NAME]
    files.append(_write(output_dir / "config.yaml", dump_config(config)))
    for scored in result.path:
        files.append(_write_config(scored, experiment, cost, output_dir))
    text = "\n".join([search_markdown(result, cost=cost, title=title), *notes])
    files.append(_write(output_dir / "expansion.md", text.rstrip("\n") + "\n"))
    files.append(
        draw_expansion(
            chart_points(result),
            output_dir / "expansion.png",
            title=title,
            cost_label=cost_label(cost),
            score_label=f"{METRICS[experiment.kind]}, per cent",
            budget=config.budget,
            notes=notes,
        )
    )
    summary = search_summary(result, cost=cost, saving=saving)
    files.append(_write(output_dir / "expansion.json", json.dumps(summary, indent=1) + "\n"))
    return files


def chart_points(result: SearchResult) -> list[ExpansionPoint]:
    """Return every candidate as a point, the models of the path in its order."""
    chosen = {one.candidate for one in result.path}
    return [
        ExpansionPoint(
            axis=one.candidate.axis,
            label=AXES.get(one.candidate.axis, "start"),
            cost=one.candidate.cost,
            score=None if isinstance(one, Failed) else one.score,
            state=("chosen" if one.candidate in chosen else _STATES.get(type(one), "lost")),
            is_contracted=one.candidate.is_contracted,
        )
        for step in result.steps
        for one in step.outcomes
    ]


def cost_label(cost: Cost) -> str:
    """Return what an axis of costs shows."""
    ratio = "" if cost.aspect_ratio == 1 else f", width {cost.aspect_ratio:g} x height"
    device = f", {cost.settings['device']}" if cost.is_measured else ""
    return f"{cost.unit[0].upper()}{cost.unit[1:]} a clip{ratio}{device}"


def search_summary(result: SearchResult, *, cost: Cost, saving: Saving | None) -> dict[str, Any]:
    """Return the found models as plain values; the record has all candidates.

    Args:
        result: of the search.
        cost: that it was held to.
        saving: of halving; None: there was none.
    """
    return {
        "stopped": result.stopped,
        "cost": cost.settings,
        "path": [
            {
                "step": one.candidate.step,
                "axis": one.candidate.axis,
                "factors": one.candidate.factors.to_json(),
                "cost": one.candidate.cost,
                **asdict(cost.counts(one.candidate.factors)),
                "score": one.score,
                "config": config_name(one.candidate),
            }
            for one in result.path
        ],
        "num_candidates": sum(len(step.outcomes) for step in result.steps),
        "seconds_of_training": sum(
            one.seconds or 0.0 for step in result.steps for one in step.outcomes
        ),
        "halving": saving and asdict(saving),
    }


def saving_of(result: SearchResult) -> Saving | None:
    """Return what halving left out; None where no candidate was stopped."""
    outcomes = [one for step in result.steps for one in step.outcomes]
    stopped = [one for one in outcomes if isinstance(one, Stopped)]
    if not stopped:
        return None
    trained = [one for one in outcomes if not isinstance(one, Failed)]
    epochs = [(one.details["epochs"], _whole_epochs(one)) for one in trained]
    seconds = [one.seconds or 0.0 for one in trained]
    whole = [s * all_of_it / done for s, (done, all_of_it) in zip(seconds, epochs, strict=True)]
    name = "score_of_a_whole_training"
    changed = None
    if all(name in one.details for one in stopped):
        changed = tuple(
            step.number
            for step in result.steps
            if step.chosen is not None
            and any(
                isinstance(one, Stopped) and (one.details[name] or 0.0) > step.chosen.score
                for one in step.outcomes
            )
        )
    return Saving(
        num_stopped=len(stopped),
        epochs_trained=sum(done for done, _ in epochs),
        epochs_whole=sum(all_of_it for _, all_of_it in epochs),
        seconds_trained=sum(seconds),
        seconds_whole=sum(whole),
        changed_steps=changed,
    )


def _whole_epochs(outcome: Scored | Stopped) -> int:
    return int(outcome.details.get("epochs_of_a_whole_training", outcome.details["epochs"]))


def config_name(candidate: Candidate) -> str:
    """Return the name of the config of a step's model."""
    return f"expanded_{candidate.step:02}.yaml"


def _write_config(
    scored: Scored, experiment: SearchedExperiment, cost: Cost, output_dir: Path
) -> Path:
    candidate = scored.candidate
    count = cost.counts(candidate.factors)
    text = (
        f"# Step {candidate.step} of a search, {describe(candidate)}:\n"
        f"# {count.multiply_adds:,} multiply-adds and {count.parameters:,} parameters as a "
        f"classifier of whole clips;\n# {METRICS[experiment.kind]} {scored.score:.4f} after the "
        "search's own training.\n"
    )
    config = experiment.config_of(candidate.factors, is_candidate=False)
    return _write(output_dir / config_name(candidate), text + dump_config(config))


def _write(path: Path, text: str) -> Path:
    with atomic_write(path, "w") as file:
        file.write(text)
    return path
