"""Profiles: the cases, the networks' costs and equality, timing, memory, processes, the report."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from x3d_det.errors import ConfigError
from x3d_det.models import X3D_SPECS
from x3d_det.models.complexity import classifier_complexity
from x3d_det.profiling import (
    Cost,
    Networks,
    Profile,
    ProfileCase,
    ProfileRow,
    Speed,
    check_devices,
    has_pytorchvideo,
    profile_cases,
    run_profile,
)
from x3d_det.profiling import run as run_module
from x3d_det.profiling.accuracies import (
    PAPER,
    VIEW_MULTIPLY_ADDS,
    PublishedAccuracy,
    accuracies_of_zoo,
    curves_of,
)
from x3d_det.profiling.case import AS_TRAINED, FUSED, PYTORCHVIDEO, TEST_CROPS_PX
from x3d_det.profiling.measure import best_batch, measure_in_turn, peak_memory_mb
from x3d_det.profiling.processes import JobFailed, in_a_process
from x3d_det.profiling.report import profile_markdown, write_profile


def _case(**changes: object) -> ProfileCase:
    values: dict[str, object] = {
        "kind": "classifier", "model": "x2d", "height_px": 32, "width_px": 32, "num_boxes": 0,
        "device": "cpu", "precision": "float32",
    }  # fmt: skip
    return ProfileCase(**(values | changes))  # type: ignore[arg-type]


# Cases


def test_the_usual_cases_of_a_model():
    cases = profile_cases(models=["s"], precisions=["float32"])
    assert [case.title for case in cases] == [
        "X3D-S classifier, 13 x 160 x 160, cpu, float32",
        "X3D-S detector, 13 x 182 x 182, 4 boxes, cpu, float32",
        "X3D-S detector, 13 x 182 x 323, 4 boxes, cpu, float32",
    ]


def test_order_does_not_depend_on_the_asking_and_nothing_is_twice():
    asked = profile_cases(
        models=["xl", "x2d", "xl"],
        kinds=["detector", "classifier"],
        sizes=[(64, 64), (64, 64)],
        precisions=["bfloat16", "float32"],
        devices=["cpu", "cpu"],
    )
    assert [(case.kind[0], case.model, case.precision[0]) for case in asked] == [
        (kind, model, precision) for kind in "cd" for model in ("x2d", "xl") for precision in "fb"
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"models": ["xxs"]}, "'xxs' is no model; did you mean xs?; there are x2d, xs, s"),
        ({"kinds": ["detectors"]}, "'detectors' is no kind; did you mean detector?"),
        ({"precisions": ["fp16"]}, "'fp16' is no precision.*float32, bfloat16"),
        ({"sizes": [(256, 31)]}, "size 256x31: a side must have 32 pixels or more"),
        ({"num_boxes": -1}, "-1 boxes a clip"),
    ],
)
def test_cases_that_cannot_be(options: dict[str, object], expected: str):
    with pytest.raises(ConfigError, match=expected.replace("?", r"\?")):
        profile_cases(**options)  # type: ignore[arg-type]


def test_devices_that_are_not_here():
    assert check_devices(["cpu"]) == ["cpu"]
    with pytest.raises(ConfigError, match="device 'tpu' is not here; this machine has cpu"):
        check_devices(["tpu"])


def test_pytorchvideo_takes_part_where_it_can():
    assert _case().implementations == (FUSED, AS_TRAINED, PYTORCHVIDEO)
    assert _case(width_px=64).implementations == (FUSED, AS_TRAINED)
    assert _case(kind="detector", num_boxes=1).implementations == (FUSED, AS_TRAINED)


# Networks


@pytest.mark.parametrize(
    ("name", "multiply_adds", "parameters"),
    [("x2d", 20_662_304, 1_633_560), ("xs", 605_256_512, 3_794_322)],
)
def test_costs_are_the_published_ones_by_both_counters(
    name: str, multiply_adds: int, parameters: int
):
    side = X3D_SPECS[name].crop_size
    networks = Networks(_case(model=name, height_px=side, width_px=side), [FUSED])
    cost = networks.cost(FUSED)
    assert cost.multiply_adds == cost.multiply_adds_by_torch == multiply_adds
    assert cost.parameters == parameters


@pytest.mark.skipif(not has_pytorchvideo(), reason="PyTorchVideo is not installed")
def test_fvcore_counts_the_same():
    # of PyTorchVideo's model: in ours, it does not see the depthwise convolutions
    fvcore = pytest.importorskip("fvcore.nn")
    networks = Networks(_case(model="xs", height_px=64, width_px=64), [PYTORCHVIDEO])
    counter = fvcore.FlopCountAnalysis(networks._models[PYTORCHVIDEO], networks._inputs(1))
    counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    found = counter.by_operator()
    assert found["conv"] + found["linear"] == networks.cost(PYTORCHVIDEO).multiply_adds


@pytest.mark.skipif(not has_pytorchvideo(), reason="PyTorchVideo is not installed")
def test_pytorchvideos_model_is_the_same_function():
    names = (FUSED, AS_TRAINED, PYTORCHVIDEO)
    networks = Networks(_case(model="xs"), names)
    outputs = {name: networks.run(name, 2)() for name in names}
    assert outputs[FUSED].shape == (2, 400)
    for name in (FUSED, PYTORCHVIDEO):
        torch.testing.assert_close(outputs[name], outputs[AS_TRAINED], rtol=1e-4, atol=1e-7)
    ours, theirs = networks.cost(AS_TRAINED), networks.cost(PYTORCHVIDEO)
    assert theirs.multiply_adds == theirs.multiply_adds_by_torch == ours.multiply_adds
    assert theirs.parameters == ours.parameters - 48  # the norm of 24 channels that it lacks


def test_a_detector_has_its_boxes_in_every_clip():
    case = _case(kind="detector", model="xs", height_px=64, width_px=96, num_boxes=3)
    networks = Networks(case, [FUSED, AS_TRAINED])
    assert networks.run(FUSED, 2)().shape == (6, 80)
    cost = networks.cost(AS_TRAINED)
    assert cost.multiply_adds == cost.multiply_adds_by_torch
    clips, boxes = networks._inputs(2)
    assert clips.shape == (2, 3, 4, 64, 96)
    assert (boxes[0][:, 2:] > boxes[0][:, :2]).all()
    assert (boxes[0] <= torch.tensor([96.0, 64.0, 96.0, 64.0])).all()
    none = Networks(_case(kind="detector", num_boxes=0), [FUSED])
    assert none.run(FUSED, 1)().shape == (0, 80)


def test_bfloat16_is_another_number_but_near():
    networks = Networks(_case(model="xs", precision="bfloat16"), [FUSED, AS_TRAINED])
    expected = networks.reference()
    for name in (FUSED, AS_TRAINED):
        difference = float((networks.run(name, 1)().float() - expected).norm() / expected.norm())
        assert 1e-6 < difference < 0.05


# Timing and memory


def test_speed_by_hand(monkeypatch: pytest.MonkeyPatch):
    clock = iter(range(0, 1000, 1))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    order = []
    speeds = measure_in_turn(
        {"a": (lambda: order.append("a"), 1), "b": (lambda: order.append("b"), 6)}, seconds=0.0
    )
    # every look at the clock is a second later, so each run takes one second
    assert order == ["a", "b"] * 3
    assert speeds["a"] == Speed(batch_size=1, clips_per_second=1.0, deviation=0.0, num_rounds=3)
    assert speeds["b"].clips_per_second == 6.0


def _taking(seconds_by_size: dict[int, float], monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    tried = []

    def make_run(size: int):
        tried.append(size)

        def run() -> None:
            now[0] += seconds_by_size[size]

        return run

    return make_run, tried


def test_the_best_batch_is_where_doubling_ends_to_help(monkeypatch: pytest.MonkeyPatch):
    make_run, tried = _taking({1: 1.0, 2: 1.5, 4: 2.0, 8: 6.0, 16: 1.0}, monkeypatch)
    assert best_batch(make_run, max_batch=16, seconds=100.0) == 4
    assert tried == [1, 2, 4, 8]
    assert best_batch(make_run, max_batch=2, seconds=100.0) == 2
    assert best_batch(make_run, max_batch=16, seconds=1.2) == 2  # longer runs are not doubled
    make_run, tried = _taking({1: 1.0, 2: 2.1}, monkeypatch)
    assert best_batch(make_run, max_batch=16, seconds=100.0) == 1


def test_a_full_memory_ends_the_search():
    def make_run(size: int):
        def run() -> None:
            if size > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            time.sleep(0.001)

        return run

    assert best_batch(make_run, max_batch=64, seconds=1.0) == 2


def _peak_of(num_mb: int) -> tuple[float, float]:
    before = peak_memory_mb("cpu")
    block = b"x" * (num_mb << 20)
    after = peak_memory_mb("cpu")
    del block
    assert peak_memory_mb("cpu") > after - 20  # Linux counts coarsely
    return before, after


def _threads() -> int:
    return torch.get_num_threads()


def _fail(text: str) -> None:
    raise ValueError(text)


def _die(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.slow
def test_jobs_have_processes_of_their_own():
    before, after = in_a_process(_peak_of, 200, num_threads=None)
    assert 200 <= after - before < 230
    again, _ = in_a_process(_peak_of, 1, num_threads=None)
    assert again < before + 30, "a job sees another's memory"
    assert in_a_process(_threads, num_threads=3) == 3


@pytest.mark.parametrize(
    ("call", "argument", "expected"),
    [
        (_fail, "first\nsecond", "^ValueError: first$"),
        (_die, signal.SIGKILL, "the system killed it, .* try a smaller --max-batch"),
        (_die, signal.SIGTERM, "ended with code -15"),
    ],
)
def test_jobs_that_fail(call, argument, expected):
    with pytest.raises(JobFailed, match=expected):
        in_a_process(call, argument, num_threads=1)


# The whole


def test_a_small_profile_and_its_report(tmp_path: Path):
    cases = profile_cases(models=["x2d"], sizes=[(32, 32)], num_boxes=2, precisions=["float32"])
    profile = run_profile(cases, seconds=0.01, max_batch=2, num_threads=1)
    assert profile.failures == ()
    names = [(row.case.kind, row.implementation) for row in profile.rows]
    beside = [("classifier", PYTORCHVIDEO)] if has_pytorchvideo() else []
    ours = [(kind, name) for kind in ("classifier", "detector") for name in (FUSED, AS_TRAINED)]
    assert names == [*ours[:2], *beside, *ours[2:]]
    for row in profile.rows:
        assert row.speed.clips_per_second > 0
        assert row.best_speed.batch_size in (1, 2)
        assert row.before_mb < row.peak_mb <= row.best_peak_mb
        assert row.difference < 1e-5
    accuracy = PublishedAccuracy(publisher="P", model="x2d", num_clips=10, num_crops=1, top1=50.0)
    paths = write_profile(profile, tmp_path, accuracies=[accuracy])
    assert [path.name for path in paths] == ["profile.json", "profile.md", "accuracy_cost.png"]
    content = json.loads(paths[0].read_text())
    assert content["format"] == "x3d_det profile 1"
    assert content["rows"][0]["cost"]["parameters"] == 1_633_560
    assert content["environment"]["threads"] == 1
    assert "## Detectors on cpu" in paths[1].read_text()
    assert Image.open(paths[2]).size[0] == int(2 * 7.4 * 110)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_is_profiled_too():
    cases = profile_cases(models=["x2d"], devices=["cuda"], sizes=[(64, 64)], num_boxes=2)
    profile = run_profile(cases, seconds=0.01, max_batch=2)
    assert profile.failures == ()
    assert {row.case.precision for row in profile.rows} == {"float32", "bfloat16"}
    for row in profile.rows:
        assert 0 <= row.before_mb < row.peak_mb
        assert row.difference < (1e-2 if row.case.precision == "float32" else 0.1)  # TF32
    assert profile.environment["cuda"]


def test_a_case_that_fails_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch):
    def measure(case: ProfileCase, *args: object) -> list[ProfileRow]:
        if case.precision == "float32":
            raise JobFailed("the system killed it")
        return [_row(case)]

    monkeypatch.setattr(run_module, "_measure", measure)
    cases = profile_cases(models=["x2d"], kinds=["classifier"])
    profile = run_profile(cases)
    assert [row.case.precision for row in profile.rows] == ["bfloat16"]
    expected = "X3D-X2D classifier, 1 x 112 x 112, cpu, float32: the system killed it"
    assert profile.failures == (expected,)
    assert f"Not measured:\n\n- {expected}\n" in profile_markdown(profile)


def _row(case: ProfileCase, *, by_torch: int = 2_000_000_000) -> ProfileRow:
    return ProfileRow(
        case=case,
        implementation=FUSED,
        cost=Cost(
            multiply_adds=2_000_000_000,
            multiply_adds_by_torch=by_torch,
            parameters=3_794_322,
            parameters_without_batch_norm=1,
        ),
        speed=Speed(batch_size=1, clips_per_second=0.5, deviation=0.0125, num_rounds=3),
        best_speed=Speed(batch_size=8, clips_per_second=123.456, deviation=7.0, num_rounds=3),
        peak_mb=1500.0,
        best_peak_mb=2500.4,
        before_mb=400.0,
        difference=0.00213,
    )


def test_markdown_by_hand():
    profile = Profile(
        rows=(_row(_case()),), failures=(), environment={"processor": "P", "cores": 2}
    )
    text = profile_markdown(profile)
    assert text.startswith("# What X3D costs\n\nprocessor P, cores 2.\n\n## Classifiers on cpu\n")
    assert (
        "| X2D | 1 x 32 x 32 | float32 | x3d_det, fused | 0.500 ± 0.013 | 123.5 ± 7.0 | 8 | 1,100 "
        "| 2,100 | 2 | 3.794 | 2e-03 |"
    ) in text
    assert "above the 400 that its modules take" in text
    assert "torch's own counter gives the same multiply-adds in every row." in text
    other = Profile(rows=(_row(_case(), by_torch=7),), failures=(), environment={"cores": 2})
    assert "fused: 7 multiply-adds, not 2,000,000,000." in profile_markdown(other)


def test_test_crops_are_128_times_the_spatial_factor():
    assert {
        # 112 pixels are factor 1; the published sides round as they do
        name: {112: 128, 160: 182, 224: 256, 312: 356}[spec.crop_size]
        for name, spec in X3D_SPECS.items()
    } == TEST_CROPS_PX


@pytest.mark.parametrize(
    ("model", "side_px"),
    [
        pytest.param(*key, marks=[pytest.mark.slow] if key[0] in ("l", "xl") else [])
        for key in VIEW_MULTIPLY_ADDS
    ],
)
def test_costs_of_a_view_are_those_of_our_model(model: str, side_px: int):
    found = classifier_complexity(X3D_SPECS[model], size_px=side_px)
    assert found.multiply_adds == VIEW_MULTIPLY_ADDS[model, side_px]


def test_published_costs_of_a_video():
    # the paper prints 6.2, 24.8 and 48.4 GFLOPs a view
    per_view = [accuracy.multiply_adds / 30e9 for accuracy in PAPER]
    assert [round(value, 1) for value in per_view] == [6.2, 24.8, 48.4]
    one = PublishedAccuracy(publisher="P", model="xs", num_clips=1, num_crops=1, top1=1.0)
    assert (one.multiply_adds, one.protocol) == (605_256_512, "1 x 1 view")


def test_accuracies_of_the_zoo_are_of_those_who_trained():
    found = accuracies_of_zoo(
        [
            ("pyslowfast", "m", "10 x 3 views", 76.2),
            ("pyslowfast", "xs", "10 x 3 views", 69.5),
            ("mmaction2", "m", "10 x 3 views", 76.4),
            ("x3d_multigrid", "m", "3 views", 62.62),
        ]
    )
    curves = curves_of(found)
    assert list(curves) == [("PySlowFast", "10 x 3 views")]
    assert [a.model for a in curves["PySlowFast", "10 x 3 views"]] == ["xs", "m"]
