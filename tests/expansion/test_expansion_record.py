"""The record: a search killed anywhere goes on to the same end and scores nothing twice."""

import json
import re

import pytest

from x3d_det.errors import DataError, X3DDetError
from x3d_det.expansion import X2D, Cost, Failed, Limits, Record, Scored, expand, measured_cost


def area(factors):
    return factors.crop_px**2 * factors.depth * factors.bottleneck


class Killed(Exception):
    pass


def run(path, *, die_at=None, batched=False, budget=6.5, **options):
    """Search over three axes; the score function dies at its `die_at`-th candidate."""
    asked = []

    def one_by_one(candidates):
        for one in candidates:
            if len(asked) == die_at:
                raise Killed
            asked.append(one.factors)
            if one.axis == "bottleneck":
                yield Failed(candidate=one, reason="diverged", seconds=1.5)
            else:
                score = one.step + (one.axis == "depth") * 0.5 - one.factors.depth / 100
                yield Scored(
                    candidate=one, score=score, seconds=2.5, details={"run": f"runs/{one.name}"}
                )

    found = expand(
        X2D,
        score=(lambda candidates: list(one_by_one(candidates))) if batched else one_by_one,
        cost=Cost("area", unit="pixels", of=area),
        budget=budget * area(X2D),
        axes=("spatial", "depth", "bottleneck"),
        record=Record(path),
        **options,
    )
    return found, asked


@pytest.fixture
def whole():
    return run(None)


def test_killed_at_any_candidate_it_goes_on(tmp_path, whole):
    expected, asked = whole
    assert len(asked) == 1 + 3 * 3 + 1  # start, three steps, contraction
    for die_at in range(len(asked)):
        path = tmp_path / f"{die_at}.jsonl"
        with pytest.raises(Killed):
            run(path, die_at=die_at)
        found, rest = run(path)
        assert found == expected
        assert rest == asked[die_at:]


def test_a_line_cut_short_is_done_over(tmp_path, whole):
    expected, asked = whole
    run(tmp_path / "whole.jsonl")
    content = (tmp_path / "whole.jsonl").read_bytes()
    path = tmp_path / "cut.jsonl"
    for size in range(0, len(content), len(content) // 20):
        path.write_bytes(content[:size])
        found, rest = run(path)
        assert found == expected
        kept = content[:size].count(b'{"kind": "outcome"')
        cut = content[:size].rsplit(b"\n", 1)[-1].startswith(b'{"kind": "outcome"')
        assert rest == asked[kept - cut :]
        assert path.read_bytes() == content


def test_a_runner_that_tells_only_at_the_end_loses_no_finished_step(tmp_path):
    path = tmp_path / "record.jsonl"
    with pytest.raises(Killed):
        run(path, die_at=6, batched=True)
    found, rest = run(path, batched=True)
    assert len(rest) == 11 - 4  # the start and the first step stood
    assert found == run(None)[0]


def test_the_record_of_a_finished_search_scores_nothing(tmp_path, whole):
    path = tmp_path / "record.jsonl"
    run(path)
    content = path.read_bytes()
    found, asked = run(path)
    assert (found, asked) == (whole[0], [])
    assert path.read_bytes() == content


def test_a_larger_budget_goes_on(tmp_path):
    path = tmp_path / "record.jsonl"
    run(path)
    found, asked = run(path, budget=14)
    assert len(asked) == 3 + 1
    assert found == run(None, budget=14)[0]


def test_a_budget_with_the_same_contraction_scores_nothing(tmp_path):
    path = tmp_path / "record.jsonl"
    before, _ = run(path)
    found, asked = run(path, budget=6.51)
    assert asked == []
    assert found.final == before.final


def test_what_stands_in_it(tmp_path):
    path = tmp_path / "record.jsonl"
    found, asked = run(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds[:4] == ["settings", "plan", "outcome", "choice"]
    assert kinds.count("outcome") == len(asked)
    x2d = lines[1]["counts"]["start"]
    assert (x2d["multiply_adds"], x2d["parameters"]) == (20_662_304, 1_633_560)
    failed = next(line for line in lines if line.get("status") == "failed")
    assert (failed["reason"], failed["seconds"]) == ("diverged", 1.5)
    scored = [line for line in lines if line.get("status") == "scored"][1]
    assert scored["candidate"]["factors"]["crop_px"] == 160
    assert scored["candidate"]["cost"] == 160**2
    assert scored["details"] == {"run": "runs/step01_spatial"}
    choices = [line["axis"] for line in lines if line["kind"] == "choice"]
    assert choices == [step.chosen.candidate.axis for step in found.steps]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"limits": Limits(fps=25.0)}, "limits.fps = 30.0 (now 25.0)"),
        ({"step_factor": 3.0}, "step_factor = 2.0 (now 3.0)"),
        ({"score_settings": {"data": {"seed": 1}}}, "score.data.seed = None (now 1)"),
        (
            {"step_factor": 3.0, "limits": Limits(fps=25.0)},
            "limits.fps = 30.0 (now 25.0), step_factor = 2.0 (now 3.0)",
        ),
    ],
)
def test_a_changed_setting_is_refused_by_name(tmp_path, options, text):
    run(tmp_path / "record.jsonl")
    with pytest.raises(DataError, match=re.escape(text)):
        run(tmp_path / "record.jsonl", **options)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("nonsense", "record.jsonl:2: no line of an expansion record"),
        ('{"kind": "verdict"}', "record.jsonl:2: .*kind is 'verdict'"),
        ('{"kind": "plan", "key": "x"}', "record.jsonl:2: .*candidates"),
    ],
)
def test_a_damaged_line(tmp_path, line, text):
    path = tmp_path / "record.jsonl"
    path.write_text('{"kind": "settings", "settings": {}}\n' + line + "\n")
    with pytest.raises(DataError, match=text):
        Record(path)


def test_no_folder_for_it(tmp_path):
    with pytest.raises(X3DDetError, match=r"cannot write .*missing/record.jsonl: No such file"):
        run(tmp_path / "missing" / "record.jsonl")


def test_candidates_measured_once_stand_after_a_resume(tmp_path):
    # Every measurement is 1 % off in another way; the resumed search must not ask anew for
    # what is on record, or its candidates would be others.
    drift = iter(range(10_000))

    def measure(spec, num_frames, height, width):
        return height * width * (1 + 0.01 * (next(drift) % 2))

    def search(die):
        def score(candidates):
            if die and candidates[0].step == 2:
                raise Killed
            return [Scored(candidate=one, score=one.step) for one in candidates]

        cost = measured_cost(measure, device="test")
        record = Record(tmp_path / "record.jsonl")
        return expand(
            X2D, score=score, cost=cost, budget=8e4, axes=("spatial",), record=record
        ), record

    with pytest.raises(Killed):
        search(die=True)
    planned = Record(tmp_path / "record.jsonl").plans
    found, record = search(die=False)
    assert [plan for key, plan in record.plans.items() if key in planned] == list(planned.values())
    assert found.path[1].candidate == list(planned.values())[1].candidates[0]
    assert len(planned) == 3
