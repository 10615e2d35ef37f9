"""Candidates: their configs, their jobs and how those end, who runs them, successive halving."""

import fcntl
import json
import signal
import sys
from collections import Counter
from pathlib import Path

import fake_trainer
import pytest
from expansion_files import START_COST

from x3d_det.builders.common import build_spec
from x3d_det.config.expansion import HalvingConfig, RunnerConfig, SearchedExperimentConfig
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.config.load import load_config
from x3d_det.errors import ConfigError, X3DDetError
from x3d_det.expansion import Candidate, Factors, Failed, Scored, Stopped, counted_cost
from x3d_det.runs import candidate_job, job_runners
from x3d_det.runs.candidate_job import TrainingJob, known_result
from x3d_det.runs.candidates import CandidateScorer, SearchedExperiment, overrides_of
from x3d_det.runs.job_runners import build_runner, run_job

FACTORS = Factors(
    num_frames=5, sampling_stride=3, crop_px=96, depth=1.5, width=1.25, bottleneck=2.2
)


def experiment_of(kind: str = "kinetics", **settings) -> SearchedExperiment:
    values = {
        "kind": kind,
        "config": f"x3d_xs_{kind}_mini.yaml",
        "candidate_settings": {"train": {"epochs": fake_trainer.EPOCHS}},
        **settings,
    }
    return SearchedExperiment(SearchedExperimentConfig(**values))


def candidate(axis: str = "start", step: int = 0, **factors) -> Candidate:
    values = {"num_frames": 1, "sampling_stride": 1, "crop_px": 64, "depth": 1.0, "width": 1.0}
    made = Factors(**{**values, "bottleneck": 1.0, **factors})
    return Candidate(step=step, axis=axis, factors=made, cost=counted_cost(num_classes=3)(made))


# Final scores by `fake_trainer`: 0.2, 0.1, 0.02 and 0 of 1.
STEP = (
    candidate("spatial", 1, crop_px=128),
    candidate("bottleneck", 1, bottleneck=2.0),
    candidate("depth", 1, depth=2.0),
    candidate("width", 1, width=2.0),
)


@pytest.fixture(autouse=True)
def _fake_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(fake_trainer.__file__).parent))
    monkeypatch.delenv("FAKE_FAULTS", raising=False)


def scorer_of(folder: Path, *, workers: int = 1, **options) -> CandidateScorer:
    runner = options.pop("runner", None) or RunnerConfig(workers=workers)
    limit = options.pop("seconds_limit", 0.0)
    return CandidateScorer(
        experiment_of(),
        folder,
        runner=build_runner(runner, seconds_limit=limit, log_folder=folder / "slurm"),
        trainer=fake_trainer.TRAINER,
        **options,
    )


def by_axis(outcomes) -> dict:
    return {one.candidate.axis: one for one in outcomes}


def test_the_start_of_the_tests_costs_what_they_say():
    assert candidate().cost == START_COST


def test_a_candidates_config_has_its_factors_and_sizes_in_proportion():
    config = experiment_of().config_of(FACTORS, is_candidate=True)
    spec = build_spec(config.model)
    assert (spec.depth_factor, spec.width_factor, spec.bottleneck_factor) == (1.5, 1.25, 2.2)
    assert (config.clip.num_frames, config.clip.sampling_stride) == (5, 3)
    assert config.clip.train_crop == 96
    assert config.clip.train_short_side == (96, 117)  # 112 and 136 of a crop of 112: 116.6
    assert (config.train.epochs, config.num_threads) == (4, 1)
    final = experiment_of().config_of(FACTORS, is_candidate=False)
    assert final.train.epochs > fake_trainer.EPOCHS
    assert final.num_threads is None


def test_all_sizes_of_an_evaluation_grow():
    settings = {"evaluation": {"short_sides": [112, 224]}}
    ava = experiment_of("ava", settings=settings).config_of(FACTORS, is_candidate=False)
    assert (ava.clip.eval_short_side, ava.evaluation.short_sides) == (96, (96, 192))
    settings = {"evaluation": {"num_crops": 3, "test_crop": 128}}
    whole = experiment_of(settings=settings).config_of(FACTORS, is_candidate=False)
    assert whole.evaluation.test_crop == 110  # 109.7


def test_settings_as_overrides():
    nested = {"train": {"epochs": 3, "learning_rate": 1e-5}, "dataset": {"root": "a b", "x": None}}
    texts = overrides_of({**nested, "clip": {"train_short_side": [1, 2]}})
    assert texts == [
        "train.epochs=3",
        "train.learning_rate=1.0e-05",
        "dataset.root=a b",
        "dataset.x=null",
        "clip.train_short_side=[1, 2]",
    ]
    config = load_config("x3d_xs_kinetics_mini", texts[:3], KineticsConfig)
    assert (config.train.learning_rate, str(config.dataset.root)) == (1e-5, "a b")


def test_a_mistake_in_the_experiment_is_named():
    with pytest.raises(
        ConfigError, match=r"experiment.config = x3d_xs_.*train.epoch is no setting"
    ):
        experiment_of(settings={"train": {"epoch": 3}})


@pytest.mark.parametrize("place", ["settings", "candidate_settings"])
def test_weights_of_one_network_are_refused(place):
    with pytest.raises(ConfigError, match=r"pretrained = x3d_s.pt, but .*pretrained=null"):
        experiment_of(**{place: {"pretrained": "x3d_s.pt", "train": {"epochs": 4}}})


def test_a_result_known_of_another_network_is_not_expected_of_the_found_ones():
    experiment = experiment_of(settings={"expected": {"top1": 0.7, "tolerance": 0.01}})
    assert experiment.base.expected is not None
    assert experiment.config_of(FACTORS, is_candidate=False).expected is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("crash", "it crashed: ZeroDivisionError: by a candidate"),
        ("memory", "out of memory: RuntimeError: DefaultCPUAllocator"),
        ("diverge", "it diverged: 20 steps in a row"),
        ("kill", "its process was killed by SIGKILL, as where memory runs out"),
    ],
)
def test_a_candidate_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch, fault, reason):
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"bottleneck": fault}))
    found = by_axis(scorer_of(tmp_path)(STEP[:2]))
    assert isinstance(found["bottleneck"], Failed)
    assert reason in found["bottleneck"].reason
    assert found["spatial"].score == pytest.approx(0.2)
    again = by_axis(scorer_of(tmp_path)(STEP[:2]))
    assert again == found
    assert len(fake_trainer.calls(tmp_path)) == 2, "a failed one is not trained again"


def test_a_training_over_its_time_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"start": "hang"}))
    (found,) = scorer_of(tmp_path, seconds_limit=1.0)([candidate()])
    assert isinstance(found, Failed)
    assert "took more than seconds_limit = 1" in found.reason


def test_what_no_candidate_is_to_blame_for_ends_the_search(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"start": "data"}))
    with pytest.raises(X3DDetError, match=r"the start .*videos/x.mp4 is damaged. Its log is"):
        list(scorer_of(tmp_path)([candidate()]))
    monkeypatch.delenv("FAKE_FAULTS")
    (found,) = scorer_of(tmp_path)([candidate()])
    assert isinstance(found, Scored)
    assert len(fake_trainer.calls(tmp_path)) == 2


def test_a_process_that_ends_without_a_word_is_no_candidates_failure(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"start": "exit"}))
    with pytest.raises(X3DDetError, match=r"its process ended with code 3. Its log is .*log.txt"):
        list(scorer_of(tmp_path)([candidate()]))


def test_a_job_trains_where_the_search_was_started(tmp_path, monkeypatch):
    """A task of a Ray cluster runs in a folder of Ray's; the data may be named relative to ours."""
    folder = tmp_path / "trainings"
    (job,) = [scorer_of(folder)._job(candidate(), 0, None)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"start": "where"}))
    assert run_job(job).status == "done"
    assert Path((Path(job.folder) / "where").read_text()) == Path(job.working_dir) != tmp_path


@pytest.mark.slow
def test_a_job_that_slurm_interrupts_is_queued_again(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"start": "interrupted"}))
    runner = RunnerConfig(kind="slurm", submitit_cluster="local", memory_gb=1.0, minutes=2)
    (found,) = scorer_of(tmp_path, runner=runner)([candidate()])
    assert isinstance(found, Scored), found
    assert len(fake_trainer.calls(tmp_path)) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_process_that_was_asked_to_end_did_not_fail(tmp_path, number):
    job = scorer_of(tmp_path)._job(candidate(), 0, None)
    assert job_runners._ended_silently(job, -number).status == "stopped"


def test_a_folder_in_use_is_waited_for_and_then_named(tmp_path, monkeypatch):
    monkeypatch.setattr(candidate_job, "_LOCK_SECONDS", 0.3)
    with open(tmp_path / "job.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(X3DDetError, match="another process has been training in"),
            candidate_job._alone(tmp_path),
        ):
            pass
    with candidate_job._alone(tmp_path):
        pass


def test_the_mean_over_seeds_and_the_seed_that_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"bottleneck_1x1_64_d1_w1_b2_seed4": "crash"}))
    found = by_axis(scorer_of(tmp_path, workers=2, seeds=(0, 4))(STEP[:2]))
    assert found["spatial"].score == pytest.approx(0.2 + 0.02)  # 0.01 a seed's number
    assert found["spatial"].details["scores"] == pytest.approx([0.2, 0.24])
    assert "ZeroDivisionError" in found["bottleneck"].reason


def test_several_workers_give_the_same(tmp_path):
    one, three = (list(scorer_of(tmp_path / str(n), workers=n)(STEP)) for n in (1, 3))
    assert by_axis(one) == by_axis(three)
    assert sorted(fake_trainer.calls(tmp_path / "1")) == sorted(fake_trainer.calls(tmp_path / "3"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", "debug", "ray"])
def test_clusters_give_the_same(tmp_path, monkeypatch, kind):
    package = pytest.importorskip("ray" if kind == "ray" else "submitit")
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"bottleneck": "kill"}))
    here = by_axis(scorer_of(tmp_path / "here")(STEP))
    runner = (
        RunnerConfig(kind="ray")
        if kind == "ray"
        else RunnerConfig(kind="slurm", submitit_cluster=kind, memory_gb=1.0, minutes=2)
    )
    try:
        there = by_axis(scorer_of(tmp_path / "there", runner=runner)(STEP))
    finally:
        if kind == "ray":
            package.shutdown()
    assert {axis: one for axis, one in there.items() if axis != "bottleneck"} == {
        axis: one for axis, one in here.items() if axis != "bottleneck"
    }
    assert "SIGKILL" in there["bottleneck"].reason  # its reason names its own log file
    assert len(fake_trainer.calls(tmp_path / "there")) == len(STEP)


@pytest.mark.parametrize(("kind", "name"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_package_is_named_before_anything_trains(tmp_path, monkeypatch, kind, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"pip install 'x3d_det\[{kind}\]'"):
        scorer_of(tmp_path, runner=RunnerConfig(kind=kind))


def test_no_slurm_in_reach(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="submitit finds no Slurm here"):
        scorer_of(tmp_path, runner=RunnerConfig(kind="slurm"))


def test_each_of_several_gpus_gets_its_trainings(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(job_runners, "_num_gpus", lambda: 2)
    given = [place["CUDA_VISIBLE_DEVICES"] for place in job_runners._places(3)]
    assert given == ["0", "1", "0"]
    monkeypatch.setattr(job_runners, "_num_gpus", lambda: 0)
    assert job_runners._places(3) == [{}, {}, {}]


def test_a_result_of_other_settings_or_a_damaged_one_is_refused(tmp_path):
    def job(identity: str) -> TrainingJob:
        return TrainingJob(
            folder=str(tmp_path),
            trainer=fake_trainer.TRAINER,
            config={
                "clip": {"train_crop": 64},
                "model": {"bottleneck_factor": 1.0, "depth_factor": 1.0},
                "seed": 0,
            },
            identity=identity,
        )

    assert run_job(job("a")).status == "done"
    with pytest.raises(X3DDetError, match=r"result.json is of a training with other settings"):
        run_job(job("b"))
    job("a").result_file.write_text("{")
    with pytest.raises(X3DDetError, match=r"result.json is no result of a training"):
        known_result(job("a"))


HALVING = HalvingConfig(rungs=(1, 2), keep=0.5)


def test_halving_by_hand(tmp_path):
    """Four candidates for one epoch, two for two, one to the end: 1 + 1 + 2 + 4 of 16 epochs."""
    found = by_axis(scorer_of(tmp_path, halving=HALVING)(STEP))
    assert isinstance(found["spatial"], Scored)
    assert found["spatial"].score == pytest.approx(0.2)
    assert isinstance(found["bottleneck"], Stopped)
    assert found["bottleneck"].reason == "after epoch 2 of 4"
    assert found["bottleneck"].score == pytest.approx(0.1 * 2 / 4)
    assert {found[axis].reason for axis in ("depth", "width")} == {"after epoch 1 of 4"}
    epochs = {axis: one.details["epochs"] for axis, one in found.items()}
    assert epochs == {"spatial": 4, "bottleneck": 2, "depth": 1, "width": 1}
    assert Counter(call.split()[1] for call in fake_trainer.calls(tmp_path)) == {
        "1": 4,
        "2": 2,
        "4": 1,
    }


def test_halving_settles_a_step_as_a_whole(tmp_path):
    """A search that was killed while it took the outcomes asks for the rest alone."""
    found = by_axis(scorer_of(tmp_path, halving=HALVING)(STEP))
    num_calls = len(fake_trainer.calls(tmp_path))
    rest = by_axis(scorer_of(tmp_path, halving=HALVING)(STEP[1:3]))
    assert rest == {axis: found[axis] for axis in ("bottleneck", "depth")}
    assert len(fake_trainer.calls(tmp_path)) == num_calls


def test_a_step_is_halved_anew_under_other_settings(tmp_path):
    list(scorer_of(tmp_path, halving=HALVING)(STEP))
    other = HalvingConfig(rungs=(1,), keep=0.75)
    found = by_axis(scorer_of(tmp_path, halving=other)(STEP))
    assert [axis for axis, one in found.items() if isinstance(one, Stopped)] == ["width"]
    assert found == by_axis(scorer_of(tmp_path / "fresh", halving=other)(STEP))


@pytest.mark.parametrize("text", ["{", "[1]", '{"a": {"kind": "Won"}}'])
def test_a_damaged_file_of_a_halving_is_named(tmp_path, text):
    (tmp_path / "halving_step01.json").write_text(text)
    with pytest.raises(X3DDetError, match=r"halving_step01.json is no file of a halving"):
        list(scorer_of(tmp_path, halving=HALVING)(STEP))


def test_halving_goes_on_without_the_failed_one_and_checks_the_winner(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"spatial": "crash"}))
    halving = HalvingConfig(rungs=(1,), keep=0.5, check_winner=True)
    found = by_axis(scorer_of(tmp_path, halving=halving)(STEP))
    assert isinstance(found["spatial"], Failed)
    assert isinstance(found["bottleneck"], Scored)
    assert isinstance(found["depth"], Scored)  # half of three, rounded up
    assert found["width"].details["score_of_a_whole_training"] == pytest.approx(0.0)


def test_rungs_lie_before_the_last_epoch(tmp_path):
    with pytest.raises(
        ConfigError, match=r"halving.rungs = \[1, 4\]: candidates train for 4 epochs"
    ):
        scorer_of(tmp_path, halving=HalvingConfig(rungs=(1, 4)))
