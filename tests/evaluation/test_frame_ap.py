"""Matching and average precision: by hand, against slow loops, and by law."""

import math

import numpy as np
import pandas as pd
import pytest
from ava_oracle import PROTOCOLS, evaluate
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.evaluation import RULES, average_precision, evaluate_ava, iou_of_pairs
from x3d_det.evaluation.row_order import BoxRows, heap_order
from x3d_det.io.ava_csv import AvaAnnotations
from x3d_det.io.label_map import LabelMap

BOX = ["x1", "y1", "x2", "y2"]
EMPTY = pd.DataFrame({"video_id": [], "timestamp": [], "line": []}).astype({"timestamp": float})


def _tables(annotations, detections, named=(), exclusions=()):
    truth = pd.DataFrame(
        annotations, columns=["video_id", "timestamp", *BOX, "action_id", "person_id"]
    )
    truth["person_id"] = [-1 if row[7] is None else row[7] for row in annotations]
    truth = truth.astype(dict.fromkeys(["timestamp", *BOX], float) | {"action_id": int})
    found = pd.DataFrame(detections, columns=["video_id", "timestamp", *BOX, "action_id", "score"])
    found = found.astype(dict.fromkeys(["timestamp", *BOX, "score"], float) | {"action_id": int})
    lists = [
        pd.DataFrame(rows, columns=["video_id", "timestamp"])
        .assign(line=1)
        .astype({"timestamp": float})
        for rows in (named, exclusions)
    ]
    return AvaAnnotations(truth, lists[0], "gt.csv"), found, lists[1]


def _ours(annotations, detections, action_ids, rules, exclusions=(), named=()):
    truth, found, excluded = _tables(annotations, detections, named, exclusions)
    label_map = LabelMap({action_id: f"action {action_id}" for action_id in action_ids})
    report = evaluate_ava(truth, found, label_map=label_map, rules=rules, exclusions=excluded)
    return {key: None if math.isnan(ap) else ap for key, ap in report.per_class.items()}


def _assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for key, ap in theirs.items():
        assert (ours[key] is None) == (ap is None)
        assert ap is None or ours[key] == pytest.approx(ap, abs=1e-12)


# By hand


def test_iou_by_hand():
    first = [np.array(v) for v in ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [2.0, 1.0, 1.0], [2.0, 1, 1])]
    other = [np.array(v) for v in ([1.0, 2.0, 0.0], [1.0, 2.0, 0.0], [3.0, 3.0, 1.0], [3.0, 3, 1])]
    # 1 of 4 + 4 - 1; apart; the same
    assert iou_of_pairs(first, other).tolist() == [1 / 7, 0.0, 1.0]
    assert iou_of_pairs(other, first).tolist() == [1 / 7, 0.0, 1.0]


def test_average_precision_by_hand():
    # Ranks: true, false, true, false; 4 annotations. Precisions 1, 1/2, 2/3, 1/2; recalls
    # 1/4, 1/4, 2/4, 2/4. Area: 1/4 * 1 + 1/4 * 2/3.
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert average_precision(scores, np.array([True, False, True, False]), 4) == pytest.approx(
        0.25 + 0.25 * 2 / 3, abs=1e-15
    )
    # Precision made monotone: false, true, true of 2: the precision at recall 1/2 is 2/3.
    assert average_precision(scores[:3], np.array([False, True, True]), 2) == pytest.approx(2 / 3)


def test_average_precision_of_nothing():
    none = np.empty(0)
    assert math.isnan(average_precision(none, none.astype(bool), 0))
    assert average_precision(none, none.astype(bool), 3) == 0.0
    assert average_precision(np.array([0.5]), np.array([False]), 3) == 0.0
    assert average_precision(np.array([0.5]), np.array([True]), 1) == 1.0


def test_later_of_equal_scores_ranks_higher():
    scores = np.full(3, 0.5)
    assert average_precision(scores, np.array([True, False, False]), 1) == pytest.approx(1 / 3)
    assert average_precision(scores, np.array([False, False, True]), 1) == 1.0
    mixed = np.array([0.5, 0.9, 0.5, 0.5, 0.1])
    # best first: 0.9, then places 3, 2, 0, then 0.1; true are places 2 and 0: ranks 3 and 4
    is_true = np.array([True, False, True, False, False])
    assert average_precision(mixed, is_true, 2) == pytest.approx(0.5)


def test_a_detection_has_no_second_choice():
    # The second detection's best box is taken; the other box, at IoU 0.5, is not offered.
    truth = [("v", 902, 0.0, 0.0, 1.0, 1.0, 1, 0), ("v", 902, 0.0, 0.0, 1.0, 0.5, 1, 1)]
    found = [("v", 902, 0, 0, 1, 1, 1, 0.9), ("v", 902, 0, 0, 1, 0.9, 1, 0.8)]
    for rules in RULES:
        assert _ours(truth, found, [1], rules) == {1: 0.5}


def test_row_order_decides_only_under_pyslowfast():
    truth = [("v", 902, 0, 0, 1, 1, 1, 0)]
    found = [("v", 902, 0, 0, 1, 0.9, 1, 0.1), ("v", 902, 0, 0, 1, 1, 1, 0.9)]
    assert _ours(truth, found, [1], "pyslowfast") == {1: 0.5}
    for rules in list(RULES)[1:]:
        assert _ours(truth, found, [1], rules) == {1: 1.0}


def test_heap_by_hand():
    # Limit 2; all of score 0.5: the third never enters. Then a better one pushes out class 0.
    table = BoxRows(
        np.zeros(4, int),
        np.array([1, 0, 2, 3]),
        [np.zeros(4), np.zeros(4), np.ones(4), np.ones(4)],
        np.array([0.5, 0.5, 0.5, 0.6]),
    )
    assert sorted(heap_order(table, np.arange(3), 2).tolist()) == [0, 1]
    assert heap_order(table, np.arange(4), 2).tolist() == [3, 0]
    # heap array after pushes of equal scores: smallest class at the root, then as pushed
    assert heap_order(table, np.arange(3), 0).tolist() == [1, 0, 2]
    assert heap_order(table, np.arange(0), 5).tolist() == []


def test_limit_of_fifty_keeps_the_best_over_all_classes():
    # 60 detections of 60 classes on one keyframe; only the 50 best count, so AP of 10 is 0.
    ids = list(range(1, 61))
    truth = [("v", 902, 0, 0, 1, 1, i, 0) for i in ids]
    found = [("v", 902, 0, 0, 1, 1, i, i / 100) for i in ids]
    for rules in ("pyslowfast", "activitynet2018"):
        assert set(_ours(truth, found, ids, rules).values()) == {1.0}
    for rules in ("activitynet2019", "activitynet2020"):
        ours = _ours(truth, found, ids, rules)
        assert [ours[i] for i in (10, 11, 60)] == [0.0, 1.0, 1.0]
        assert sum(ours.values()) == 50


# Against the loops


def _random_case(rng, *, num_rows, coarse):
    """Return annotations and detections with ties, repeats, empty classes and odd boxes."""
    grid = 5 if coarse else 40

    def box():
        low = rng.integers(0, grid, 2)
        high = low + rng.integers(1, grid, 2)
        return [*(low / grid).tolist(), *(high / grid).tolist()]

    pool = [box() for _ in range(4)] + [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0]]

    def keyframe():
        return str(rng.choice(["a", "b"])), float(rng.integers(902, 905))

    def any_box():
        near = pool[rng.integers(len(pool))]
        return near if rng.random() < 0.7 else box()

    truth = [
        (*keyframe(), *any_box(), int(rng.integers(1, 5)), int(rng.integers(3)) or None)
        for _ in range(num_rows // 3)
    ]
    levels = 4 if coarse else 10_000
    found = []
    for _ in range(num_rows):
        corners = any_box()
        if rng.random() < 0.1:
            corners = corners[2:] + corners[:2]  # inverted
        score = float(rng.integers(levels)) / levels
        found.append((*keyframe(), *corners, int(rng.integers(0, 6)), score))
    if rng.random() < 0.5:
        found.sort(key=lambda row: row[:2])
    return truth, found


@pytest.mark.parametrize("rules", PROTOCOLS)
@pytest.mark.parametrize("coarse", [True, False])
@pytest.mark.parametrize("num_rows", [9, 60, 600])
def test_equals_the_loops_on_random_sets(rules, coarse, num_rows):
    rng = np.random.default_rng([num_rows, coarse])
    for _ in range(12):
        truth, found = _random_case(rng, num_rows=num_rows, coarse=coarse)
        exclusions, named = [("a", 903.0)], [("b", 904.0)]
        named = named if rules == "activitynet2020" else []
        ids = [1, 2, 4, 9]
        ours = _ours(truth, found, ids, rules, exclusions, named)
        _assert_same(ours, evaluate(truth, found, ids, rules, exclusions, named))


_CORNERS = st.sampled_from(
    [(0, 0, 1, 1), (0, 0, 0.5, 1), (0.5, 0, 1, 1), (0, 0, 1, 0.5), (0.25, 0, 0.75, 1), (1, 1, 0, 0)]
)
_FOUND = st.tuples(
    st.sampled_from("uv"), st.sampled_from([902.0, 903.0]), _CORNERS, st.integers(1, 3),
    st.sampled_from([0.0, 0.25, 0.5, 0.75]),
)  # fmt: skip
_TRUTH = st.tuples(
    st.sampled_from("uv"), st.sampled_from([902.0, 903.0]),
    _CORNERS.filter(lambda c: c[0] < c[2]), st.integers(1, 3), st.sampled_from([None, 0, 1, 2]),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    truth=st.lists(_TRUTH, max_size=12),
    found=st.lists(_FOUND, max_size=70),
    copies=st.sampled_from([1, 1, 12]),
    rules=st.sampled_from(list(PROTOCOLS)),
)
def test_equals_the_loops_on_drawn_sets(truth, found, copies, rules):
    truth = [(v, s, *corners, a, p) for v, s, corners, a, p in truth]
    found = [(v, s, *corners, a, score) for v, s, corners, a, score in found * copies]
    ids = [1, 2, 3]
    _assert_same(_ours(truth, found, ids, rules), evaluate(truth, found, ids, rules))


# Laws


def _spread_case(seed=5):
    """Return boxes apart from each other, some missed, and detections with distinct scores."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for second in range(902, 932):
        for person in range(3):
            x = 0.3 * person
            for action in rng.choice(np.arange(1, 9), 3, replace=False).tolist():
                truth.append(("v", float(second), x, 0.1, x + 0.25, 0.9, action, person))
                shift = float(rng.normal(0, 0.03))
                found.append(
                    ("v", float(second), x + shift, 0.1, x + 0.25 + shift, 0.9,
                     int(rng.integers(1, 9)) if rng.random() < 0.4 else action)
                )  # fmt: skip
    scores = rng.permutation(len(found)) / len(found)
    return truth, [(*row, float(score)) for row, score in zip(found, scores, strict=True)]


@pytest.mark.parametrize("rules", PROTOCOLS)
def test_perfect_detections_score_one(rules):
    truth, _ = _spread_case()
    found = [(*row[:7], 0.5) for row in truth]
    ours = _ours(truth, found, range(1, 10), rules)
    assert ours.pop(9) is None
    assert set(ours.values()) == {1.0}


@pytest.mark.parametrize("rules", list(PROTOCOLS)[1:])
def test_row_order_does_not_matter_with_distinct_scores(rules):
    truth, found = _spread_case()
    before = _ours(truth, found, range(1, 9), rules)
    assert 0.1 < np.mean(list(before.values())) < 0.9
    rng = np.random.default_rng(1)
    for _ in range(3):
        shuffled = [found[place] for place in rng.permutation(len(found))]
        assert _ours(truth, shuffled, range(1, 9), rules) == before
        turned = [truth[place] for place in rng.permutation(len(truth))]
        assert _ours(turned, shuffled, range(1, 9), rules) == before


@pytest.mark.parametrize("rules", PROTOCOLS)
def test_only_the_order_of_scores_counts(rules):
    truth, found = _spread_case()
    lower = [(*row[:7], row[7] ** 3 / 7) for row in found]
    ids = range(1, 9)
    assert _ours(truth, found, ids, rules) == _ours(truth, lower, ids, rules)


@pytest.mark.parametrize("rules", PROTOCOLS)
def test_a_false_detection_never_helps(rules):
    truth, found = _spread_case()
    before = _ours(truth, found, range(1, 9), rules)
    worse = [*found, ("v", 902.0, 0.95, 0.95, 1.0, 1.0, 1, 0.99)]
    after = _ours(truth, worse, range(1, 9), rules)
    assert after[1] < before[1]
    assert {k: v for k, v in after.items() if k != 1} == {k: v for k, v in before.items() if k != 1}


@pytest.mark.parametrize("rules", PROTOCOLS)
def test_nothing_at_all(rules):
    assert _ours([], [], [1], rules) == {1: None}
    assert _ours([], [("v", 902, 0, 0, 1, 1, 1, 0.5)], [1], rules) == {1: None}
    assert _ours([("v", 902, 0, 0, 1, 1, 1, 0)], [], [1, 2], rules) == {1: 0.0, 2: None}
