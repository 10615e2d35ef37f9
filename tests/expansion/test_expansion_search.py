"""The search with formulas in place of training: worked by hand, and laws."""

import dataclasses
import itertools
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.errors import ConfigError, X3DDetError
from x3d_det.expansion import (
    AXES,
    X2D,
    Cost,
    Failed,
    Limits,
    Scored,
    counted_cost,
    expand,
    search_markdown,
)
from x3d_det.expansion.axes import upper_bound


def volume(factors):
    """A cheap cost, multiplied by every factor; X2D costs 1."""
    return (
        factors.num_frames
        * (factors.crop_px / 112) ** 2
        * factors.depth
        * factors.width**2
        * factors.bottleneck
    )


COST = Cost("volume", unit="units", of=volume)


def by(value):
    """A score function out of one for a single candidate; counts what it was asked for."""

    def score(candidates):
        score.asked += candidates
        return [Scored(candidate=one, score=value(one)) for one in candidates]

    score.asked = []
    return score


def search(value, budget, **options):
    return expand(X2D, score=by(value), cost=COST, budget=budget, **options)


def axes_of(result):
    return [one.candidate.axis for one in result.path[1:]]


@pytest.mark.parametrize(
    ("axis", "value"),
    [("fast", 8), ("temporal", 8), ("spatial", 320), ("bottleneck", 8), ("depth", 8)],
)
def test_the_axis_that_the_score_prefers_is_always_taken(axis, value):
    name = {"fast": "num_frames", "temporal": "num_frames", "spatial": "crop_px"}.get(axis, axis)

    def prefer(candidate):
        gain = 10.0 if candidate.axis == axis else 1.0
        return candidate.step * gain

    limits = Limits(one_frame_seconds=32 / 30)  # 2 x 16, 4 x 8, 8 x 4
    found = search(prefer, 8.2, limits=limits)
    assert axes_of(found) == [axis] * 3  # 2, 4, 8
    assert getattr(found.final.candidate.factors, name) == value
    assert [step.number for step in found.steps] == [0, 1, 2, 3]
    assert all(len(step.outcomes) == 6 for step in found.steps[1:])


def test_additive_gains_are_taken_in_their_order():
    # Each doubling of an axis' factor is worth: crop 5, then 2, then 0; depth 4, then 3;
    # width 1 a step. Greedy: spatial 5, depth 4, depth 3, spatial 2, width 1.
    def value(candidate):
        factors = candidate.factors
        spatial = [0, 5, 7, 7][round(2 * math.log2(factors.crop_px / 112))]
        depth = [0, 4, 7, 7][round(math.log2(factors.depth))]
        return spatial + depth + round(2 * math.log2(factors.width))

    found = search(value, 33, axes=("spatial", "depth", "width"))
    assert axes_of(found) == ["spatial", "depth", "depth", "spatial", "width"]
    assert [one.score for one in found.path] == [0, 5, 9, 12, 14, 15]
    assert not any(step.is_plateau for step in found.steps)


def test_of_equal_scores_the_cheaper_then_the_first_named():
    # spatial 160 px costs 2.04, bottleneck 2 and depth 2 cost 2.00 each
    found = search(lambda one: one.step, 2.1, axes=("spatial", "depth", "bottleneck"))
    assert axes_of(found) == ["depth"]
    assert found.steps[1].tied == ("bottleneck", "spatial")
    found = search(lambda one: one.step, 2.1, axes=("bottleneck", "spatial", "depth"))
    assert axes_of(found) == ["bottleneck"]


def test_on_a_plateau_the_best_goes_on_and_the_step_is_marked():
    worse = {"depth": 0.4, "bottleneck": 0.5}
    found = search(
        lambda one: 1.0 if one.step == 0 else worse[one.axis] + 0.2 * (one.step == 2),
        4.1,
        axes=("depth", "bottleneck"),
    )
    assert axes_of(found) == ["bottleneck", "bottleneck"]
    assert [step.is_plateau for step in found.steps] == [False, True, False]
    assert "no better than its parent" in search_markdown(found, cost=COST, title="Plateau")
    same = search(lambda one: 1.0, 2.1)
    assert [step.is_plateau for step in same.steps] == [False, True]


def test_the_last_step_is_contracted_to_the_budget():
    # 1 -> 2 -> 4 by bottleneck; 6.5 / 4 is above 1.41, so a step to 8 is scored, then brought
    # back to the largest twentieth within 6.5.
    found = search(lambda one: one.step * (one.axis == "bottleneck"), 6.52)
    assert axes_of(found) == ["bottleneck"] * 3
    assert found.final.candidate.factors.bottleneck == 6.5
    assert found.final.candidate.name == "step03_bottleneck_contracted"
    assert [step.kind for step in found.steps] == ["start", *["growth"] * 3, "contraction"]
    assert found.steps[3].chosen.candidate.factors.bottleneck == 8
    assert found.stopped == "X-Bottleneck of the last step was contracted to the budget."


def test_a_small_rest_is_left_unless_asked_for():
    def prefer(one):
        return one.step * (one.axis == "bottleneck")

    found = search(prefer, 5.5)  # 5.5 / 4 = 1.375
    assert found.final.candidate.cost == 4
    assert "a factor of 1.38 above X-Bottleneck" in found.stopped
    found = search(prefer, 5.5, smallest_last_step=1.0)
    assert found.final.candidate.cost == 5.5


def test_where_the_best_cannot_be_contracted_the_next_best_is():
    # Depth 1 -> 2 and the first multiple below it: 1.8; the budget of 1.5 leaves 1.5. With
    # frames there is nothing between 1 and 2.
    def prefer(one):
        return {"start": 0, "fast": 3, "depth": 2, "spatial": 1}[one.axis]

    found = search(prefer, 1.5, axes=("fast", "depth", "spatial"))
    assert axes_of(found) == ["depth"]
    assert found.final.candidate.factors.depth == 1.5
    assert found.steps[2].stuck[0].reason == "no smaller growth of it costs at most 1.5 units"
    found = search(prefer, 1.5, axes=("fast",))
    assert found.final.candidate.axis == "start"
    assert found.stopped == "No candidate of the last step could be brought within the budget."


def test_a_next_best_within_the_budget_is_taken_as_it_is():
    # spatial costs 2.04, bottleneck 2.00; contraction of spatial (152 px, 1.84) fails
    def score(candidates):
        for one in candidates:
            if one.is_contracted:
                yield Failed(candidate=one, reason="out of memory")
            else:
                yield Scored(candidate=one, score=2.0 if one.axis == "spatial" else one.step)

    found = expand(X2D, score=score, cost=COST, budget=2.01, axes=("spatial", "bottleneck"))
    assert axes_of(found) == ["bottleneck"]
    assert found.stopped.endswith("is the best of its step within the budget.")


def test_failures_are_named_and_never_chosen():
    def score(candidates):
        for one in candidates:
            if one.axis == "depth":
                yield Failed(candidate=one, reason="the loss was nan | at step 7", seconds=3.0)
            else:
                yield Scored(candidate=one, score=math.nan if one.axis == "fast" else one.step)

    found = expand(X2D, score=score, cost=COST, budget=4.3)
    assert not {"depth", "fast"} & set(axes_of(found))
    failed = {
        one.candidate.axis: one.reason for one in found.steps[1].outcomes if isinstance(one, Failed)
    }
    assert failed == {"depth": "the loss was nan | at step 7", "fast": "its score is nan"}
    text = search_markdown(found, cost=COST, title="Failures")
    assert "| failed: the loss was nan \\| at step 7 |" in text


def test_all_failed():
    def score(candidates):
        return [
            Scored(candidate=one, score=0)
            if one.step == 0
            else Failed(candidate=one, reason=f"no memory for {one.axis}")
            for one in candidates
        ]

    with pytest.raises(X3DDetError, match="step 1: all 2 candidates failed") as caught:
        expand(X2D, score=score, cost=COST, budget=4, axes=("fast", "width"))
    assert "X-Fast (2 x 15, 112 px" in str(caught.value)
    assert "no memory for fast" in str(caught.value)
    assert "no memory for width" in str(caught.value)
    with pytest.raises(X3DDetError, match=r"the first model could not be scored: .*too hot"):
        expand(
            X2D,
            score=lambda ones: [Failed(candidate=one, reason="too hot") for one in ones],
            cost=COST,
            budget=4,
        )


def test_when_no_axis_can_grow():
    limits = Limits(largest_crop_px=224, largest_width=1.15)  # (224 / 112)^2 = 4; 1.15^2 = 1.32
    found = search(
        lambda one: one.step,
        5.2,
        axes=("spatial", "width"),
        limits=limits,
        smallest_last_step=1.0,
    )
    assert axes_of(found) == ["spatial", "spatial"]
    assert found.stopped == "No axis can grow any further."
    assert [one.axis for one in found.steps[-1].stuck] == ["spatial", "width"]
    text = search_markdown(found, cost=COST, title="Stuck")
    assert "none: nothing above 224 is within limits.largest_crop_px = 224 |" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_twins_of_two_axes_are_scored_once():
    # From 10 x 6 (60 long) 1.3 times as many frames: fast 60 / 13 = 4.6 -> 5, temporal
    # 6 / 1.3^(1/3) = 5.498 -> 5: both 13 x 5.
    start = dataclasses.replace(X2D, num_frames=10, sampling_stride=6)
    score = by(lambda one: one.step)
    found = expand(
        start, score=score, cost=COST, budget=13, step_factor=1.3, axes=("fast", "temporal")
    )
    assert [one.axis for one in score.asked] == ["start", "fast"]
    assert [one.candidate.axis for one in found.steps[1].outcomes] == ["fast", "temporal"]
    assert axes_of(found) == ["fast"]
    assert found.steps[1].tied == ("temporal",)


def test_each_step_is_told_as_it_ends():
    told = []
    found = search(lambda one: one.step, 6.5, on_step=told.append)
    assert tuple(told) == found.steps
    assert len(told) == 5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"budget": 0.5}, "budget is 0.5 units, but the start (1 x 1, 112 px"),
        ({"budget": math.nan}, "budget is nan units"),
        ({"budget": 5, "axes": ("spatial",), "limits": Limits(largest_crop_px=160)}, "2.04082"),
        ({"budget": 31, "axes": ("fast",)}, "the limits allow no more than 30 (30 x 1"),
        ({"budget": 301, "axes": ("fast", "temporal")}, "the limits allow no more than 300"),
        ({"axes": ()}, "axes is empty"),
        ({"axes": ("widht",)}, "bottleneck; did you mean width?"),
        ({"step_factor": 1.0}, "step_factor is 1.0"),
        ({"smallest_last_step": 2.5}, "smallest_last_step is 2.5; it must be from 1"),
        (
            {"start": dataclasses.replace(X2D, num_frames=16, sampling_stride=20)},
            "lasts 10.6667 s, more than limits.longest_seconds = 10",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_scored(options, text):
    score = by(lambda one: 1.0)
    with pytest.raises(ConfigError, match=re.escape(text)):
        expand(**{"start": X2D, "budget": 4, "score": score, "cost": COST, **options})
    assert score.asked == []


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda ones: ones[:-1], "gave no outcome for X-Width"),
        (lambda ones: ones[:1], "gave no outcome for X-Temporal .* and 4 more"),
        (lambda ones: ones + ones[:1], "outcome for X-Fast .* twice"),
    ],
)
def test_a_score_function_that_loses_count(spoil, text):
    def score(candidates):
        outcomes = [Scored(candidate=one, score=1) for one in candidates]
        return spoil(outcomes) if len(outcomes) > 1 else outcomes

    axes = ("fast", "temporal", "spatial", "depth", "bottleneck", "width")
    with pytest.raises(X3DDetError, match=text):
        expand(X2D, score=score, cost=COST, budget=4, axes=axes)


def test_outcomes_may_come_in_any_order():
    def prefer(one):
        return one.step * (1 + (one.axis == "width"))

    def backwards(candidates):
        return reversed([Scored(candidate=one, score=prefer(one)) for one in candidates])

    assert expand(X2D, score=backwards, cost=COST, budget=9).path == search(prefer, 9).path


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    share=st.floats(0.0, 1.0),
    step_factor=st.floats(1.3, 4.0),
    least=st.floats(1.0, 1.3),
    num_axes=st.integers(1, 6),
)
def test_laws_of_any_search(seed, share, step_factor, least, num_axes):
    """No budget overshot, one factor a step, the best of each step taken, none scored twice."""

    def value(one):
        return hash((seed, one.factors, one.is_contracted)) % 1000

    axes = tuple(AXES)[-num_axes:]
    limits = Limits(
        longest_seconds=4,
        largest_crop_px=320,
        largest_depth=6,
        largest_width=4,
        largest_bottleneck=6,
    )
    most = volume(upper_bound(X2D, axes, limits))
    budget = min(most, most**share * 1.0001)  # from the start's cost to the limits'
    score = by(value)
    found = expand(
        X2D,
        score=score,
        cost=COST,
        budget=budget,
        step_factor=step_factor,
        smallest_last_step=least,
        axes=axes,
        limits=limits,
    )
    assert all(one.candidate.cost <= budget for one in found.path)
    assert found.final.candidate.cost == volume(found.final.candidate.factors)
    assert len({one.factors for one in score.asked}) == len(score.asked)
    for before, after in itertools.pairwise(found.path):
        changed = {
            item.name
            for item in dataclasses.fields(X2D)
            if getattr(before.candidate.factors, item.name)
            != getattr(after.candidate.factors, item.name)
        }
        assert len(changed - {"sampling_stride"}) == 1
        assert after.candidate.cost > before.candidate.cost
    for step in found.steps:
        assert not step.outcomes or step.chosen.score == max(one.score for one in step.outcomes)
        if step.kind == "growth":
            root = math.sqrt(step_factor) * 1.000001
            for one in step.outcomes:
                ratio = one.candidate.cost / (step_factor * step.parent.cost)
                assert 1 / root <= ratio <= root


def test_under_parameters_the_clip_axes_are_stuck():
    cost = counted_cost("parameters", num_classes=10)
    found = expand(X2D, score=by(lambda one: one.step), cost=cost, budget=2.5 * cost(X2D))
    assert {one.axis for one in found.steps[1].stuck} == {"fast", "temporal", "spatial"}
    assert found.steps[1].stuck[0].reason == "growing it does not raise the parameters"


@pytest.mark.parametrize("aspect_ratio", [1.0, 16 / 9])
def test_clips_of_any_aspect_ratio(aspect_ratio):
    cost = counted_cost("activations", aspect_ratio=aspect_ratio)
    budget = 3.9 * cost(X2D)
    found = expand(X2D, score=by(lambda one: one.step), cost=cost, budget=budget)
    assert budget / math.sqrt(2) < found.final.candidate.cost <= budget
