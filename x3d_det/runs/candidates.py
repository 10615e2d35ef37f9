"""Candidates of a search -> trainings, each a job of its own -> their scores.

A candidate's score is the mean over the seeds. With successive halving all candidates of a
step train up to a rung; the better ones go on from their checkpoints, the others stay there.
"""

import hashlib
import json
import math
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from x3d_det.builders.common import CHANGEABLE_KEYS
from x3d_det.config.expansion import HalvingConfig, SearchedExperimentConfig
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.config.load import load_config
from x3d_det.config.schema import ExperimentConfig
from x3d_det.errors import ConfigError, X3DDetError
from x3d_det.expansion import Candidate, Factors, Failed, Outcome, Scored, Stopped
from x3d_det.expansion.outcomes import describe
from x3d_det.io.files import atomic_write
from x3d_det.runs.candidate_job import JobResult, TrainingJob
from x3d_det.runs.job_runners import Runner

TRAINERS = {
    "kinetics": "x3d_det.runs.candidate_training:train_kinetics_candidate",
    "ava": "x3d_det.runs.candidate_training:train_ava_candidate",
}
_OUTCOMES: dict[str, Any] = {one.__name__: one for one in (Scored, Failed, Stopped)}
METRICS = {"kinetics": "top-1 accuracy", "ava": "frame-mAP"}
"""What the score of each kind of experiment is called."""


class SearchedExperiment:
    """The experiment of a search, with the network and the clips of any factors put in.

    Args:
        settings: the experiment by its file, and what differs.
        num_threads: of each training.

    Raises:
        ConfigError: the experiment's config is wrong, or begins with weights of one network.
    """

    def __init__(self, settings: SearchedExperimentConfig, *, num_threads: int = 1) -> None:
        self.kind = settings.kind
        self.schema: Any = KineticsConfig if settings.kind == "kinetics" else ExperimentConfig
        self._file = settings.config
        self._settings = overrides_of(settings.settings)
        self._candidate_settings = [
            *overrides_of(settings.candidate_settings),
            f"num_threads={num_threads}",
        ]
        self.base: Any = self._load(self._settings)
        searching = self._load([*self._settings, *self._candidate_settings])
        for weights in (self.base.pretrained, searching.pretrained):
            if weights is not None:
                raise ConfigError(
                    f"experiment.config = {self._file}: pretrained = {weights}, but weights are of "
                    "one network, and each candidate is another one, trained from random weights; "
                    "take it out, or set experiment.settings.pretrained=null."
                )

    def config_of(self, factors: Factors, *, is_candidate: bool) -> Any:
        """Return the experiment with a network and its clips.

        Args:
            factors: of the network and the clips.
            is_candidate: with the settings that hold while searching alone.

        Raises:
            ConfigError: they do not go together.
        """
        own = overrides_of(self._values_of(factors))
        searching = self._candidate_settings if is_candidate else []
        return self._load([*self._settings, *searching, *own])

    def settings(self) -> dict[str, Any]:
        """Return the candidates' settings as plain values, without those that change nothing."""
        values = self._load([*self._settings, *self._candidate_settings]).model_dump(mode="json")
        return without_changeable(values)

    def _values_of(self, factors: Factors) -> dict[str, Any]:
        """Return the settings that change with the factors; sizes keep their shares of the crop."""
        base = self.base
        values: dict[str, Any] = factors.config_values()
        values["model"]["name"] = "x2d"  # the member that all of them are expansions of
        if base.expected is not None:
            values["expected"] = None  # a result known of the base's own network
        share = factors.crop_px / base.clip.train_crop

        def scaled(size: int) -> int:
            return max(factors.crop_px, round(size * share))

        values["clip"]["train_short_side"] = [scaled(side) for side in base.clip.train_short_side]
        evaluation: dict[str, Any] = {}
        if isinstance(base, ExperimentConfig):
            values["clip"]["eval_short_side"] = scaled(base.clip.eval_short_side)
            if base.evaluation.short_sides is not None:
                evaluation["short_sides"] = [scaled(s) for s in base.evaluation.short_sides]
        else:
            for name in ("short_side", "crop", "test_crop"):
                size = getattr(base.evaluation, name)
                if size is not None:
                    evaluation[name] = scaled(size)
        return {**values, "evaluation": evaluation}

    def _load(self, overrides: Sequence[str]) -> Any:
        try:
            return load_config(self._file, overrides, self.schema)
        except ConfigError as error:
            raise ConfigError(f"experiment.config = {self._file}: {error}") from None


def overrides_of(values: Mapping[str, Any], before: str = "") -> list[str]:
    """Return nested settings as the texts that `load_config` takes: `train.epochs=3`."""
    found = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += overrides_of(value, f"{before}{name}.")
        else:
            text = yaml.safe_dump(value, default_flow_style=True, width=math.inf)
            found.append(f"{before}{name}={text.removesuffix('...' + chr(10)).strip()}")
    return found


def without_changeable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return an experiment's settings without those that no result depends on."""
    copy: dict[str, Any] = json.loads(json.dumps(config))
    for key in CHANGEABLE_KEYS:
        *sections, name = key.split(".")[1:]
        target = copy
        for section in sections:
            target = target[section]
        target.pop(name, None)
    return copy


@dataclass(frozen=True)
class _Trained:
    """What the seeds of a candidate gave."""

    results: tuple[JobResult, ...]

    @property
    def failure(self) -> str | None:
        reasons = [result.reason for result in self.results if result.status == "failed"]
        return reasons[0] if reasons else None

    @property
    def score(self) -> float:
        return statistics.fmean(float(result.score or 0.0) for result in self.results)

    @property
    def seconds(self) -> float:
        return sum(result.seconds for result in self.results)


class CandidateScorer:
    """Scores candidates by training them; see `expansion.ScoreFunction`.

    Args:
        experiment: what they are trained by.
        folder: a folder a training is made in it; results there are taken as they are.
        runner: who trains.
        seeds: one training of each candidate with each.
        halving: early stopping; None: none.
        trainer: of the jobs; by default the experiment's.

    Raises:
        ConfigError: a rung of the halving is not before the last epoch.
    """

    def __init__(
        self,
        experiment: SearchedExperiment,
        folder: Path,
        *,
        runner: Runner,
        seeds: Sequence[int] = (0,),
        halving: HalvingConfig | None = None,
        trainer: str | None = None,
    ) -> None:
        self._experiment = experiment
        self._folder = folder.resolve()
        self._runner = runner
        self._seeds = tuple(seeds)
        self._halving = halving
        self._trainer = trainer or TRAINERS[experiment.kind]
        self._epochs: int = experiment.settings()["train"]["epochs"]
        if halving is not None and halving.rungs[-1] >= self._epochs:
            raise ConfigError(
                f"halving.rungs = {list(halving.rungs)}: candidates train for {self._epochs} "
                "epochs, and a rung lies before the last; lower the rungs or train longer."
            )

    def __call__(self, candidates: Sequence[Candidate]) -> Iterator[Outcome]:
        """Yield the outcome of each candidate, as soon as it is settled.

        Raises:
            X3DDetError: data, settings or disk stop a training; what is done is kept.
        """
        if self._halving is None:
            for candidate, trained in self._train(candidates, stop_after_epoch=None):
                yield _settled(candidate, trained)
        else:
            yield from self._halved(candidates, self._halving)

    def folder_of(self, candidate: Candidate, seed: int) -> Path:
        """Return where a candidate is trained with a seed."""
        factors = candidate.factors
        name = (
            f"{candidate.name}_{factors.num_frames}x{factors.sampling_stride}_{factors.crop_px}"
            f"_d{factors.depth:.4g}_w{factors.width:.4g}_b{factors.bottleneck:.4g}"
        )
        return self._folder / (name if len(self._seeds) == 1 else f"{name}_seed{seed}")

    def _train(
        self, candidates: Sequence[Candidate], *, stop_after_epoch: int | None
    ) -> Iterator[tuple[Candidate, _Trained]]:
        """Yield each candidate with the results of all its seeds."""
        asked = {
            job.folder: (job, candidate, seed)
            for candidate in candidates
            for seed in self._seeds
            for job in [self._job(candidate, seed, stop_after_epoch)]
        }
        found: dict[Candidate, dict[int, JobResult]] = {candidate: {} for candidate in candidates}
        for job, result in self._runner([job for job, _, _ in asked.values()]):
            _, candidate, seed = asked[job.folder]
            if result.status in ("stopped", "error"):
                raise X3DDetError(_why_not(candidate, job, result))
            found[candidate][seed] = result
            if len(found[candidate]) == len(self._seeds):
                results = tuple(found[candidate][seed] for seed in self._seeds)
                yield candidate, _Trained(results)

    def _job(self, candidate: Candidate, seed: int, stop_after_epoch: int | None) -> TrainingJob:
        config = self._experiment.config_of(candidate.factors, is_candidate=True)
        values = {**config.model_dump(mode="json", exclude_none=True), "seed": seed}
        text = json.dumps([self._trainer, without_changeable(values)], sort_keys=True)
        return TrainingJob(
            folder=str(self.folder_of(candidate, seed)),
            trainer=self._trainer,
            config=values,
            identity=hashlib.sha256(text.encode()).hexdigest(),
            stop_after_epoch=stop_after_epoch,
            working_dir=os.getcwd(),  # tasks of a Ray cluster run elsewhere
        )

    def _halved(self, candidates: Sequence[Candidate], halving: HalvingConfig) -> Iterator[Outcome]:
        """Settle all candidates together: which one is stopped depends on the others.

        So nothing is given before all is settled and on file; a search that was killed while
        it took the outcomes then gets the rest of these. What was settled under other settings
        of halving or training is settled anew.
        """
        file = self._folder / f"halving_step{candidates[0].step:02}.json"
        fates = _fates_on_file(file)
        keys = {one: self._halving_key(one, halving) for one in candidates}
        if not fates.keys() >= {*keys.values()}:
            outcomes = self._halve(candidates, halving)
            fates = {**fates, **{key: _fate(outcomes[one]) for one, key in keys.items()}}
            self._folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(file, "w") as target:
                json.dump(fates, target, indent=1)
        for one, key in keys.items():
            yield _outcome_of(fates[key], one)

    def _halving_key(self, candidate: Candidate, halving: HalvingConfig) -> str:
        """Return a candidate's name with a hash of all that its fate in a halving depends on."""
        trainings = [self._job(candidate, seed, None).identity for seed in self._seeds]
        text = json.dumps([halving.model_dump(mode="json"), trainings])
        name = self.folder_of(candidate, self._seeds[0]).name
        return f"{name} {hashlib.sha256(text.encode()).hexdigest()}"

    def _halve(
        self, candidates: Sequence[Candidate], halving: HalvingConfig
    ) -> dict[Candidate, Outcome]:
        alive = list(candidates)
        outcomes: dict[Candidate, Outcome] = {}
        for rung in halving.rungs:
            if len(alive) == 1:
                break
            trained = dict(self._train(alive, stop_after_epoch=rung))
            for one, result in trained.items():
                if result.failure is not None or not math.isfinite(result.score):
                    outcomes[one] = _settled(one, result)
            order = sorted(
                (one for one in alive if one not in outcomes),
                key=lambda one: (-trained[one].score, one.cost, alive.index(one)),
            )
            num_kept = math.ceil(len(order) * halving.keep)
            for one in order[num_kept:]:
                outcomes[one] = self._stopped(one, trained[one], rung)
            alive = [one for one in alive if one in order[:num_kept]]
        outcomes.update(
            (one, _settled(one, t)) for one, t in self._train(alive, stop_after_epoch=None)
        )
        if halving.check_winner:
            lost = [one for one, outcome in outcomes.items() if isinstance(outcome, Stopped)]
            for one, result in self._train(lost, stop_after_epoch=None):
                outcomes[one] = _with_full_score(outcomes[one], result)
        return outcomes

    def _stopped(self, candidate: Candidate, trained: _Trained, rung: int) -> Stopped:
        return Stopped(
            candidate=candidate,
            score=trained.score,
            reason=f"after epoch {rung} of {self._epochs}",
            seconds=trained.seconds,
            details={**_details(trained), "epochs_of_a_whole_training": self._epochs},
        )


def _settled(candidate: Candidate, trained: _Trained) -> Outcome:
    if trained.failure is not None:
        return Failed(candidate=candidate, reason=trained.failure, seconds=trained.seconds)
    return Scored(
        candidate=candidate,
        score=trained.score,
        seconds=trained.seconds,
        details=_details(trained),
    )


def _details(trained: _Trained) -> dict[str, Any]:
    details: dict[str, Any] = {"epochs": trained.results[0].epochs}
    if len(trained.results) == 1:
        metrics = trained.results[0].metrics.items()
        return {**details, "metrics": {k: v if math.isfinite(v) else None for k, v in metrics}}
    return {**details, "scores": [result.score for result in trained.results]}


def _with_full_score(outcome: Outcome, trained: _Trained) -> Outcome:
    assert isinstance(outcome, Stopped)
    is_known = trained.failure is None and math.isfinite(trained.score)
    full = trained.score if is_known else None
    return Stopped(
        candidate=outcome.candidate,
        score=outcome.score,
        reason=outcome.reason,
        seconds=outcome.seconds,
        details={**outcome.details, "score_of_a_whole_training": full},
    )


def _fates_on_file(file: Path) -> dict[str, dict[str, Any]]:
    try:
        fates = json.loads(file.read_text(encoding="utf-8"))
        if all(fate["kind"] in _OUTCOMES for fate in fates.values()):
            return dict(fates)
        raise ValueError("an unknown kind of outcome")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise X3DDetError(
            f"{file} is no file of a halving ({error!r}); remove it, and the step is settled "
            "again from the trainings on file."
        ) from error


def _fate(outcome: Outcome) -> dict[str, Any]:
    values = {name: value for name, value in asdict(outcome).items() if name != "candidate"}
    return {"kind": type(outcome).__name__, **values}


def _outcome_of(fate: Mapping[str, Any], candidate: Candidate) -> Outcome:
    values = {name: value for name, value in fate.items() if name != "kind"}
    outcome: Outcome = _OUTCOMES[fate["kind"]](candidate=candidate, **values)
    return outcome


def _why_not(candidate: Candidate, job: TrainingJob, result: JobResult) -> str:
    if result.status == "stopped":
        return (
            f"the training of {describe(candidate)} was stopped {result.reason}; the same command "
            "with --resume goes on where it was."
        )
    return (
        f"the training of {describe(candidate)}: {result.reason} Its log is {job.log_file}; mend "
        "this, and the same command with --resume goes on."
    )
