"""The analysis against slow loops on random rows, and what must hold for any rows."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from analysis_cases import (
    annotations,
    detections,
    fates_in_loops,
    mended_map_in_loops,
    random_rows,
)

from x3d_det.evaluation import RULES
from x3d_det.evaluation.analysis import explain_evaluation
from x3d_det.io.ava_csv import read_annotations, read_detections
from x3d_det.io.label_map import LabelMap, ava_label_map

FOUR = LabelMap({1: "bend", 2: "crawl", 3: "crouch", 4: "dance"})
FALSE = ["wrong_action", "poor_box", "wrong_action_beside", "duplicate", "background"]
KINDS = [*FALSE, "no_box", "not_reported"]


def _explain(truth, found, rules):
    return explain_evaluation(annotations(truth), detections(found), label_map=FOUR, rules=rules)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("rules", ["pyslowfast", "activitynet2018"])
def test_kinds_and_ceilings_are_those_of_the_loops(seed, rules):
    truth, found = random_rows(seed)
    _, analysis = _explain(truth, found, rules)
    fates = fates_in_loops(truth, found, FOUR.names, by_score=rules != "pyslowfast")
    kinds, _, taken, with_box = fates
    missed = set(range(len(truth))) - taken
    numbers = {key: kinds.count(key) for key in FALSE}
    numbers |= {"no_box": len(missed - with_box), "not_reported": len(missed & with_box)}
    assert {kind.key: kind.number for kind in analysis.errors} == numbers
    for result in analysis.classes:
        rows = {g for g, row in enumerate(truth) if row[6] == result.action_id}
        if rows:
            assert result.ceiling == len(rows & with_box) / len(rows)
        mine = [kind for kind, row in zip(kinds, found, strict=True) if row[6] == result.action_id]
        assert dict(result.num_false) == {key: mine.count(key) for key in FALSE}
        assert result.num_no_box == len(rows & missed - with_box)


@pytest.mark.parametrize("seed", range(6))
def test_mended_scores_are_those_of_the_loops(seed):
    truth, found = random_rows(seed)
    _, analysis = _explain(truth, found, "activitynet2018")
    fates = fates_in_loops(truth, found, FOUR.names, by_score=True)

    def expected(kinds):
        return mended_map_in_loops(truth, found, FOUR.names, fates, set(kinds))

    assert analysis.mean_ap == pytest.approx(expected(()), abs=1e-12)
    for place, kind in enumerate(analysis.errors):
        assert kind.mean_ap_alone == pytest.approx(expected([kind.key]), abs=1e-12)
        assert kind.mean_ap_so_far == pytest.approx(expected(KINDS[: place + 1]), abs=1e-12)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("scores", [None, (0.2, 0.5, 0.9)], ids=["distinct", "tied"])
def test_laws_under_all_rules(rules, scores):
    for seed in range(5):
        truth, found = random_rows(seed, num_keyframes=8, scores=scores)
        if rules == "mmaction2":  # it stops at inverted boxes
            found = [row for row in found if row[2] < row[4] and row[3] < row[5]]
        report, analysis = _explain(truth, found, rules)
        assert analysis.mean_ap == report.mean_ap
        assert analysis.mean_ap_all_mended == pytest.approx(1.0)
        counts = report.counts
        assert analysis.num_detections == counts.detections
        assert analysis.num_matched == counts.matched
        numbers = {kind.key: kind.number for kind in analysis.errors}
        assert sum(numbers[key] for key in FALSE) == counts.detections - counts.matched
        missed = numbers["no_box"] + numbers["not_reported"]
        assert missed == counts.annotations - counts.matched
        for ours, theirs in zip(analysis.classes, report.classes, strict=True):
            assert sum(ours.num_false.values()) == theirs.num_detections - theirs.num_matched
            if theirs.num_annotations:
                assert theirs.num_matched / theirs.num_annotations <= ours.ceiling
                assert len(ours.curve.recall) == theirs.num_matched
        for one, two in itertools.pairwise(analysis.errors):
            assert one.mean_ap_so_far <= two.mean_ap_so_far + 1e-12
            assert one.mean_ap_alone >= analysis.mean_ap - 1e-12
        for parts in (analysis.sizes, analysis.persons):
            assert sum(part.num_annotations for part in parts) == counts.annotations
            assert sum(part.num_matched for part in parts) == counts.matched
        seen = sum(part.num_detections for part in analysis.persons)
        assert seen + analysis.num_detections_without_person == counts.detections


@pytest.mark.parametrize("rules", ["activitynet2018", "activitynet2019"])
def test_row_order_does_not_matter(rules):
    truth, found = random_rows(3, num_keyframes=10)
    shuffled = [found[place] for place in np.random.default_rng(0).permutation(len(found))]
    _, one = _explain(truth, found, rules)
    _, two = _explain(truth, shuffled, rules)
    assert one == two
    _, three = _explain(truth[::-1], found, rules)
    assert [replace(w, reasons=()) for w in three.worst] == [
        replace(w, reasons=()) for w in one.worst
    ]
    assert three.errors == one.errors


def test_perfect_detections_have_no_errors():
    truth, _ = random_rows(1)
    found = [(*row, 0.9) for row in truth]
    _, analysis = _explain(truth, found, "pyslowfast")
    assert analysis.mean_ap == analysis.mean_ceiling == 1.0
    # A person's box carries its own actions alone: no row of another action lies on it.
    assert [kind.number for kind in analysis.errors] == [0] * len(KINDS)
    assert analysis.worst == ()
    assert {part.mean_ap for part in analysis.persons if not math.isnan(part.mean_ap)} == {1.0}


def test_an_area_under_the_curve_is_the_average_precision():
    truth, found = random_rows(5, num_keyframes=12)
    _, analysis = _explain(truth, found, "activitynet2018")
    for result in analysis.classes:
        steps = np.diff([0.0, *result.curve.recall])
        assert steps @ np.array(result.curve.precision) == pytest.approx(result.ap)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("turned", [False, True])
def test_equal_overlaps_are_settled_as_by_the_evaluator(rules, turned):
    # The first box overlaps both persons by 0.375 / 0.625 = 0.6; the others are theirs alone.
    one, two = (0.0, 0.0, 0.5, 1.0), (0.25, 0.0, 0.75, 1.0)
    truth = [("v", 902, *box, 1) for box in ((two, one) if turned else (one, two))]
    for alone in (one, two):
        found = [("v", 902, 0.125, 0, 0.625, 1, 1, 0.9), ("v", 902, *alone, 1, 0.8)]
        report, analysis = _explain(truth, found, rules)
        assert analysis.num_matched == report.counts.matched
        assert analysis.mean_ap_all_mended == 1.0


@pytest.mark.parametrize("rules", RULES)
def test_a_real_result_with_equal_scores(shared_dir, rules):
    folder = shared_dir / "ava" / "eval_cases" / "real" / "r01_slowfast_ava22_one_video"
    truth, found = (
        next(path for path in (folder / name, folder / f"{name}.gz") if path.exists())
        for name in ("gt.csv", "pred.csv")
    )
    report, analysis = explain_evaluation(
        read_annotations(truth, strict=False),
        read_detections(found),
        label_map=ava_label_map(60),
        rules=rules,
    )
    assert analysis.mean_ap == report.mean_ap
    assert analysis.num_matched == report.counts.matched
    assert analysis.mean_ap_all_mended == pytest.approx(1.0)
    numbers = {kind.key: kind.number for kind in analysis.errors}
    assert sum(numbers[key] for key in FALSE) == report.counts.detections - report.counts.matched
    assert numbers["no_box"] == 22  # its person detector has one threshold under all rules
    assert all(kind.mean_ap_alone >= analysis.mean_ap for kind in analysis.errors)
