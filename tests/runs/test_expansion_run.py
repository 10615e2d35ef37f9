"""Whole searches: what they leave, killed and gone on with, and what they refuse at the start."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_trainer
import pytest
from class_folders import make_class_folders
from expansion_files import START, write_search
from matplotlib import image

from x3d_det.builders.common import build_spec
from x3d_det.config.expansion import ExpansionConfig
from x3d_det.config.kinetics import KineticsConfig
from x3d_det.config.load import load_config
from x3d_det.config.schema import ExperimentConfig
from x3d_det.errors import ConfigError, DataError, X3DDetError
from x3d_det.expansion import Candidate, Factors, Scored, SearchResult, Step, Stopped, counted_cost
from x3d_det.runs import candidates
from x3d_det.runs.candidates import SearchedExperiment
from x3d_det.runs.expansion import run_expansion, saving_of
from x3d_det.runs.expansion_setup import build_cost

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_class_folders(tmp_path_factory.mktemp("clips") / "set")


@pytest.fixture(autouse=True)
def _fake_trainings(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    if "real" not in request.node.name:
        monkeypatch.setitem(candidates.TRAINERS, "kinetics", fake_trainer.TRAINER)


def search_of(folder: Path, dataset: Path, **changes) -> ExpansionConfig:
    folder.mkdir(exist_ok=True)
    return load_config(
        write_search(folder / "search.yaml", dataset, **changes), (), ExpansionConfig
    )


def outcomes_of(output: Path) -> list[dict]:
    lines = map(json.loads, (output / "record.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == "outcome"]


def test_a_whole_search_and_what_it_leaves(tmp_path, dataset):
    config = search_of(tmp_path, dataset)
    found = run_expansion(config, tmp_path / "out", resume=False)
    assert [one.candidate.axis for one in found.result.path] == [
        "start",
        "bottleneck",
        "bottleneck",
    ]
    assert len(outcomes_of(tmp_path / "out")) == 7  # the start, and three axes in two steps
    assert [file.name for file in found.files] == [
        "record.jsonl",
        "config.yaml",
        "expanded_00.yaml",
        "expanded_01.yaml",
        "expanded_02.yaml",
        "expansion.md",
        "expansion.png",
        "expansion.json",
    ]
    for scored, file in zip(found.result.path, found.files[2:5], strict=True):
        made = load_config(file, (), KineticsConfig)
        factors = scored.candidate.factors
        spec = build_spec(made.model)
        assert (spec.width_factor, spec.depth_factor) == (factors.width, factors.depth)
        assert spec.bottleneck_factor == factors.bottleneck
        assert spec.stage_channels == factors.spec().stage_channels
        assert (made.clip.num_frames, made.clip.train_crop) == (factors.num_frames, factors.crop_px)
        assert made.train.epochs > fake_trainer.EPOCHS, "the search's short training is left out"
        assert made.dataset.root == dataset
    assert load_config(found.files[1], (), ExpansionConfig) == config
    summary = json.loads((tmp_path / "out" / "expansion.json").read_text())
    assert summary["path"][-1]["config"] == "expanded_02.yaml"
    assert summary["path"][-1]["multiply_adds"] == found.result.final.candidate.cost
    assert summary["num_candidates"] == 7
    assert "| 2 | X-Bottleneck |" in (tmp_path / "out" / "expansion.md").read_text()
    height, width, _ = image.imread(tmp_path / "out" / "expansion.png").shape
    assert width > height > 500


def test_a_search_with_halving_reports_its_saving(tmp_path, dataset):
    halving = {"rungs": [1], "keep": 0.5, "check_winner": True}
    config = search_of(tmp_path, dataset, halving=halving, axes=["spatial", "bottleneck"])
    found = run_expansion(config, tmp_path / "out", resume=False)
    saving = saving_of(found.result)
    assert saving is not None
    # the start 4, then twice one of two: 4 + 1 each; whole they are 4 each
    assert (saving.epochs_trained, saving.epochs_whole) == (4 + 2 * 5, 5 * 4)
    assert (saving.num_stopped, saving.changed_steps) == (2, ())
    text = (tmp_path / "out" / "expansion.md").read_text()
    assert "14 of 20 epochs and 140 of about 200 s of training, 30% less" in text
    assert "none of them would have won" in text


def test_a_step_that_halving_got_wrong_is_named():
    made = Factors(**{"num_frames": 1, "sampling_stride": 1, **START, "bottleneck": 1.0})
    one = Candidate(step=3, axis="fast", factors=made, cost=1.0)
    details = {"epochs": 1, "epochs_of_a_whole_training": 4, "score_of_a_whole_training": 0.9}
    chosen = Scored(candidate=one, score=0.8, seconds=8.0, details={"epochs": 4})
    lost = Stopped(candidate=one, score=0.1, reason="", seconds=2.0, details=details)
    step = Step(number=3, kind="growth", parent=None, outcomes=(chosen, lost), chosen=chosen)
    saving = saving_of(SearchResult(steps=(step,), path=(chosen,), stopped=""))
    assert saving is not None
    assert (saving.changed_steps, saving.seconds_whole) == ((3,), 16.0)
    assert "one would have won in step 3" in saving.text()


def _start_search(tmp_path: Path, config: Path, *, resume: bool) -> subprocess.Popen:
    """Start the search of a config in a process of its own, with the fake trainer."""
    code = (
        "import sys; from pathlib import Path\n"
        "from x3d_det.runs import candidates; import fake_trainer\n"
        "candidates.TRAINERS['kinetics'] = fake_trainer.TRAINER\n"
        "from x3d_det.config.load import load_config\n"
        "from x3d_det.config.expansion import ExpansionConfig\n"
        "from x3d_det.runs.expansion import run_expansion\n"
        f"run_expansion(load_config({str(config)!r}, (), ExpansionConfig), "
        f"Path({str(tmp_path / 'out')!r}), resume={resume})\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ})


@pytest.mark.slow
def test_a_search_killed_within_a_step_goes_on_and_trains_nothing_twice(
    tmp_path, dataset, monkeypatch
):
    config = search_of(tmp_path, dataset)
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"step01_depth": "hang"}))
    running = _start_search(tmp_path, tmp_path / "search.yaml", resume=False)
    hung = tmp_path / "out" / "candidates"
    end = time.monotonic() + 120
    while not list(hung.glob("step01_depth*/hung")) and time.monotonic() < end:
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    monkeypatch.delenv("FAKE_FAULTS")
    assert len(outcomes_of(tmp_path / "out")) == 2  # the start and one of three
    found = run_expansion(config, tmp_path / "out", resume=True)
    calls = fake_trainer.calls(hung)
    twice = {call for call in calls if calls.count(call) > 1}
    assert {call.split("_")[1] for call in twice} == {"depth"}, "the one that was killed alone"
    whole = run_expansion(config, tmp_path / "whole", resume=False)
    assert found.result == whole.result
    for name in ("expansion.md", "expansion.json", "expanded_02.yaml"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_search_is_gone_on_with_on_purpose_alone_and_under_its_settings(tmp_path, dataset):
    config = search_of(tmp_path, dataset, budget=1.0e7)
    run_expansion(config, tmp_path / "out", resume=False)
    with pytest.raises(X3DDetError, match="holds a search already; go on with it by --resume"):
        run_expansion(config, tmp_path / "out", resume=False)
    num_calls = len(fake_trainer.calls(tmp_path / "out" / "candidates"))
    larger = search_of(tmp_path, dataset, budget=3.0e7)
    found = run_expansion(larger, tmp_path / "out", resume=True)
    assert found.result.final.candidate.step == 2
    calls = fake_trainer.calls(tmp_path / "out" / "candidates")
    assert num_calls < len(calls) == len(set(calls)), "a larger budget goes on from the smaller"
    other = search_of(tmp_path, dataset, seeds=[1])
    with pytest.raises(DataError, match=r"score.seeds = \[0\] \(now \[1\]\)"):
        run_expansion(other, tmp_path / "out", resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": 1.0e6}, r"budget is 1e\+06 multiply-adds, but the start .* 6.45005e\+06"),
        ({"budget": 1.0e15}, r"budget is 1e\+15 .* the limits allow no more than"),
        (
            {"axes": ["spatal"]},
            r"'spatal' is no axis; there are fast, .*bottleneck; did you mean spatial\?$",
        ),
        ({"start": {**START, "crop_px": 136}}, "the start's crop_px is 136, more than .* = 128"),
        (
            {"start": {**START, "num_frames": 20, "sampling_stride": 3}},
            r"the start's clip .* lasts 2 s, more than limits.longest_seconds = 0.5",
        ),
        (
            {"halving": {"rungs": [4]}},
            r"halving.rungs = \[4\]: candidates train for 4 epochs",
        ),
    ],
)
def test_bad_input_is_named_before_anything_trains(tmp_path, dataset, changes, message):
    config = search_of(tmp_path, dataset, **changes)
    with pytest.raises(ConfigError, match=message):
        run_expansion(config, tmp_path / "out", resume=False)
    assert not list((tmp_path / "out").glob("candidates/*"))


@pytest.mark.parametrize(
    ("val", "message"),
    [("train", "has no validation: dataset.val.list = train is"), ("none", "none")],
)
def test_data_without_validation_is_refused(tmp_path, dataset, val, message):
    config = search_of(tmp_path, dataset)
    settings = {**config.experiment.settings}
    settings["dataset"] = {**settings["dataset"], "val": {"list": val}}
    experiment = config.experiment.model_copy(update={"settings": settings})
    config = config.model_copy(update={"experiment": experiment})
    with pytest.raises(DataError, match=message):
        run_expansion(config, tmp_path / "out", resume=False)


def test_validation_that_is_a_copy_of_the_training_list_is_refused(tmp_path, dataset):
    config = search_of(tmp_path, dataset)
    (dataset / "copy").symlink_to(dataset / "train", target_is_directory=True)
    settings = {**config.experiment.settings}
    settings["dataset"] = {**settings["dataset"], "val": {"list": "copy"}}
    experiment = config.experiment.model_copy(update={"settings": settings})
    config = config.model_copy(update={"experiment": experiment})
    with pytest.raises(DataError, match=r"val.list = copy holds nothing but videos that it trains"):
        run_expansion(config, tmp_path / "out", resume=False)


def test_limits_come_from_the_videos(tmp_path, dataset):
    config = search_of(tmp_path, dataset, limits={"one_frame_seconds": 0.3}, budget=1e15)
    # 9, 12 and 15 frames at 30 a second; 48 pixels high: too small for the start
    with pytest.raises(ConfigError, match=r"crop_px is 64, more than limits.largest_crop_px = \d+"):
        run_expansion(config, tmp_path / "out", resume=False)


def test_settings_that_contradict_each_other(tmp_path, dataset):
    with pytest.raises(ConfigError, match=r"search.yaml:\d+: axes = \['fast', 'fast'\]"):
        search_of(tmp_path, dataset, axes=["fast", "fast"])
    with pytest.raises(ConfigError, match=r"halving.rungs = \[2, 1\]; name ascending"):
        search_of(tmp_path, dataset, halving={"rungs": [2, 1]})


def test_latency_is_measured_and_grows_with_the_model():
    settings = ExpansionConfig.model_fields["cost"].default
    settings = settings.model_copy(update={"name": "latency", "seconds": 0.05})
    cost = build_cost(settings, num_classes=3)
    small = Factors(
        num_frames=1, sampling_stride=1, crop_px=32, depth=0.2, width=0.35, bottleneck=1.0
    )
    large = Factors(
        num_frames=8, sampling_stride=1, crop_px=96, depth=1.0, width=1.0, bottleneck=2.0
    )
    assert 0 < cost(small) < cost(large)
    assert cost.settings["device"] == "cpu, 1 threads"


@pytest.mark.parametrize("name", ["kinetics_mini", "ava_mini", "kinetics400"])
def test_the_configs_that_come_with_the_project(name):
    config = load_config(f"expand_{name}.yaml", (), ExpansionConfig)
    experiment = SearchedExperiment(config.experiment, num_threads=config.num_threads)
    start = Factors(**config.start.model_dump())
    made = experiment.config_of(start, is_candidate=True)
    assert isinstance(made, ExperimentConfig if name == "ava_mini" else KineticsConfig)
    cost = counted_cost(aspect_ratio=config.cost.aspect_ratio, num_classes=20)
    assert config.budget > 4 * cost(start), "several steps"


def _searched(tmp_path: Path, repository: Path, *options: object) -> str:
    done = subprocess.run(
        [sys.executable, "tools/expand_x3d.py", *map(str, options)],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_real_search_killed_and_gone_on_with(tmp_path, repository):
    """Two steps of real trainings; the kill hits one in its middle."""
    dataset = make_class_folders(tmp_path / "set", val_per_class=2)
    start = {"crop_px": 32, "depth": 0.2, "width": 0.35}
    limits = {"longest_seconds": 0.5, "one_frame_seconds": 8 / 30, "largest_crop_px": 64}
    path = write_search(
        tmp_path / "search.yaml",
        dataset,
        start=start,
        budget=1.3e6,
        axes=["fast"],
        limits=limits,
    )
    options = ("--config", path, "--output-dir", tmp_path / "out")
    running = subprocess.Popen(
        [sys.executable, "tools/expand_x3d.py", *map(str, options)],
        cwd=repository,
        stderr=subprocess.DEVNULL,
    )
    trainings = tmp_path / "out" / "candidates"
    end = time.monotonic() + 100
    while not list(trainings.glob("step01*/journal.jsonl")) and time.monotonic() < end:
        assert running.poll() is None
        time.sleep(0.05)
    running.kill()
    running.wait()
    before = {file: file.stat().st_mtime_ns for file in trainings.glob("step00*/step_*.pt")}
    text = _searched(tmp_path, repository, *options, "--resume")
    assert before
    assert all(file.stat().st_mtime_ns == then for file, then in before.items())
    assert len(re.findall(r"^step \d", text, flags=re.MULTILINE)) == 3
    steps = [
        json.loads(line)["step"]
        for folder in trainings.glob("step01*")
        for line in (folder / "journal.jsonl").read_text().splitlines()
    ]
    assert steps == list(range(1, len(steps) + 1)), "each step of the killed training once"
    for scores in outcomes_of(tmp_path / "out"):
        assert 0 <= scores["score"] <= 1
