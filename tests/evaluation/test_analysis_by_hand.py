"""The analysis of small evaluations whose every number is worked out by hand."""

import csv
import json
import math

import numpy as np
import pytest
from analysis_cases import TWO_ACTIONS, annotations, detections

from x3d_det.errors import DataError, X3DDetError
from x3d_det.evaluation.analysis import explain_evaluation, write_analysis
from x3d_det.evaluation.analysis.ranking import Ranking
from x3d_det.keyframes import Keyframe

LEFT, RIGHT = (0.0, 0.0, 0.4, 1.0), (0.5, 0.0, 0.9, 1.0)
SLIVER = (0.5, 0.0, 0.62, 1.0)  # 0.12 of RIGHT's 0.4 wide: IoU 0.3
CORNER = (0.95, 0.0, 1.0, 0.1)
TRUTH = [("v", 902, *LEFT, 12), ("v", 902, *RIGHT, 14)]
FOUND = [
    ("v", 902, *LEFT, 12, 0.9),  # matched
    ("v", 902, *LEFT, 12, 0.8),  # duplicate
    ("v", 902, *LEFT, 14, 0.7),  # wrong action
    ("v", 902, *SLIVER, 14, 0.6),  # poor box
    ("v", 902, *SLIVER, 12, 0.5),  # wrong action beside
    ("v", 902, *CORNER, 14, 0.4),  # background
]


def _explain(truth, found, **options):
    options.setdefault("label_map", TWO_ACTIONS)
    return explain_evaluation(annotations(truth), detections(found), **options)


def test_one_detection_of_each_kind():
    report, analysis = _explain(TRUTH, FOUND)
    # stand: 0.9 is true and first, AP 1. walk: nothing is true, AP 0.
    assert report.mean_ap == analysis.mean_ap == 0.5
    numbers = {kind.key: (kind.number, kind.num_confident) for kind in analysis.errors}
    # Two annotations, so the two best detections are confident: the match and the duplicate.
    assert analysis.confident_score == 0.8
    assert numbers == {
        "wrong_action": (1, 0),
        "poor_box": (1, 0),
        "wrong_action_beside": (1, 0),
        "duplicate": (1, 1),
        "background": (1, 0),
        "no_box": (1, 1),
        "not_reported": (0, 0),
    }
    assert (analysis.num_detections, analysis.num_matched) == (6, 1)
    assert (analysis.num_false, analysis.num_missed) == (5, 1)


def test_what_mending_gives():
    _, analysis = _explain(TRUTH, FOUND)
    alone = {kind.key: kind.mean_ap_alone for kind in analysis.errors}
    # With the sliver drawn as RIGHT, walk ranks 0.7 false, 0.6 true, 0.4 false: AP 1/2.
    assert alone.pop("poor_box") == 0.75
    # Without RIGHT nothing is left to find for walk, but three false detections are.
    assert set(alone.values()) == {0.5}
    # Without the 0.7 the drawn box is first: AP 1 for both, and nothing can be added.
    assert [kind.mean_ap_so_far for kind in analysis.errors] == [0.5, *[1.0] * 6]
    assert analysis.mean_ap_all_mended == 1.0


def test_nothing_left_to_find_and_nothing_false_is_ap_1():
    _, analysis = _explain(TRUTH, FOUND[:1])
    # stand AP 1, walk without detection AP 0; the missed walk forgiven: 1.
    assert analysis.mean_ap == 0.5
    assert {kind.key: kind.mean_ap_alone for kind in analysis.errors}["no_box"] == 1.0


def test_ceiling_and_an_action_that_was_not_reported():
    found = [("v", 902, *RIGHT, 12, 0.3), ("v", 902, *CORNER, 14, 0.2)]
    _, analysis = _explain(TRUTH, found)
    stand, walk = analysis.classes
    # RIGHT has a box, though with another action; LEFT has none.
    assert (stand.ceiling, walk.ceiling, analysis.mean_ceiling) == (0.0, 1.0, 0.5)
    assert (stand.num_no_box, stand.num_not_reported) == (1, 0)
    assert (walk.num_no_box, walk.num_not_reported) == (0, 1)
    assert stand.num_false["wrong_action"] == walk.num_false["background"] == 1
    assert analysis.mean_ap_all_mended == 1.0


def test_a_box_on_one_person_counts_before_one_beside_another():
    # 0.0 to 0.4 is LEFT itself; walk is done by a person 0.3 to 0.7: IoU 0.1 / 0.7 = 0.14.
    truth = [("v", 902, *LEFT, 12), ("v", 902, 0.3, 0, 0.7, 1, 14)]
    _, analysis = _explain(truth, [("v", 902, *LEFT, 14, 0.9)])
    assert analysis.errors[0].key == "wrong_action"
    assert analysis.errors[0].number == 1


def test_exactly_half_and_exactly_a_tenth_count():
    truth = [("v", 902, 0, 0, 1, 1, 12)]
    half, tenth, less = (0, 0, 0.5, 1), (0, 0, 0.1, 1), (0, 0, 0.0999, 1)
    for box, key in ((half, None), (tenth, "poor_box"), (less, "background")):
        _, analysis = _explain(truth, [("v", 902, *box, 12, 0.9)])
        assert analysis.num_matched == (key is None)
        numbers = {kind.key: kind.number for kind in analysis.errors}
        assert key is None or numbers[key] == 1


def test_by_size():
    small, large = (0.0, 0.0, 0.05, 0.1), (0.0, 0.2, 0.8, 0.9)  # 0.5 % and 56 % of the frame
    truth = [("v", 902, *small, 12), ("v", 902, *large, 12)]
    found = [
        ("v", 902, 0.9, 0.9, 0.95, 1.0, 12, 0.95),  # false, 0.5 %
        ("v", 902, *small, 12, 0.9),
        ("v", 902, *large, 12, 0.8),
    ]
    _, analysis = _explain(truth, found)
    # small: false, true: AP 1/2. large: the false one is of another size and ignored: AP 1.
    parts = {part.name: part for part in analysis.sizes}
    assert parts["below 1 %"].mean_ap == 0.5
    assert parts["16 to 64 %"].mean_ap == 1.0
    assert math.isnan(parts["1 to 4 %"].mean_ap)
    assert [part.num_annotations for part in analysis.sizes] == [1, 0, 0, 1, 0]
    assert [part.num_detections for part in analysis.sizes] == [2, 0, 0, 1, 0]
    assert [part.num_classes for part in analysis.sizes] == [1, 0, 0, 1, 0]


def test_a_match_counts_in_the_size_of_its_annotation():
    # 9 % wide box on a 16 % one: IoU 0.09 / 0.16 = 0.56.
    truth = [("v", 902, 0, 0, 0.4, 0.4, 12)]
    _, analysis = _explain(truth, [("v", 902, 0, 0, 0.3, 0.3, 12, 0.9)])
    assert [part.num_matched for part in analysis.sizes] == [0, 0, 0, 1, 0]


def test_by_persons_on_the_keyframe():
    truth = [
        ("v", 902, *LEFT, 12),
        ("v", 903, *LEFT, 12),
        ("v", 903, *RIGHT, 12),
        ("v", 903, *RIGHT, 14),  # the same person: two in all
    ]
    found = [
        ("v", 902, *CORNER, 12, 0.9),
        ("v", 902, *LEFT, 12, 0.8),
        ("v", 903, *LEFT, 12, 0.7),
        ("v", 903, *RIGHT, 12, 0.6),
        ("v", 904, *LEFT, 12, 0.99),
    ]
    _, analysis = _explain(truth, found)
    one, two, *others = analysis.persons
    assert (one.name, one.mean_ap, one.num_detections) == ("1 person", 0.5, 2)
    # stand: both found first, AP 1; walk: nothing, AP 0.
    assert (two.name, two.mean_ap, two.num_annotations) == ("2 persons", 0.5, 3)
    assert all(math.isnan(part.mean_ap) for part in others)
    assert analysis.num_detections_without_person == 1


def test_groups_are_those_of_the_report():
    report, analysis = _explain(TRUTH, FOUND)
    assert {part.name: part.mean_ap for part in analysis.groups} == {"person movement": 0.5}
    assert dict(report.group_means) == {"PERSON_MOVEMENT": 0.5}


def test_curve():
    truth = [("v", second, *LEFT, 12) for second in range(902, 906)]
    found = [
        ("v", 902, *LEFT, 12, 0.9),
        ("v", 902, *LEFT, 12, 0.8),
        ("v", 903, *LEFT, 12, 0.7),
    ]
    _, analysis = _explain(truth, found)
    curve = analysis.classes[0].curve
    assert curve.recall == (0.25, 0.5)
    assert curve.precision == (1.0, 2 / 3)  # one of one, two of three
    assert curve.score == (0.9, 0.7)
    assert analysis.classes[1].curve.recall == ()


def test_long_curves_are_thinned_and_keep_their_ends():
    scores = np.linspace(1, 0, 1000)
    ranking = Ranking(np.zeros(1000, np.int64), scores, 1)
    (curve,) = ranking.curves(np.ones(1000, bool), scores, np.array([2000]), 200)
    assert len(curve.recall) == len(curve.precision) == len(curve.score) == 200
    assert (curve.recall[0], curve.recall[-1]) == (1 / 2000, 0.5)
    assert (curve.score[0], curve.score[-1]) == (1.0, 0.0)
    assert set(curve.precision) == {1.0}


def test_worst_keyframes():
    truth = [*TRUTH, ("v", 903, *LEFT, 12), ("u", 902, *LEFT, 12)]
    found = [*FOUND, ("v", 903, *LEFT, 12, 0.1)]
    # Four annotations: the four best, 0.6 and above, are confident; 0.1 is not.
    _, analysis = _explain(truth, found)
    assert [(w.keyframe, w.num_errors) for w in analysis.worst] == [
        (Keyframe("v", 902.0), 4),  # 0.8, 0.7, 0.6 and the missed walk
        (Keyframe("u", 902.0), 1),
        (Keyframe("v", 903.0), 1),
    ]
    first, missed, weak = analysis.worst
    assert (first.num_annotations, first.num_persons) == (2, 2)
    assert first.reasons == (
        "Wrong action: walk 0.70",
        "Poor box: walk 0.60",
        "Duplicate: stand 0.80",
        "No box: walk",
    )
    assert missed.reasons == ("No box: stand",)
    assert weak.reasons == ("Found with a low score: stand 0.10",)
    _, shorter = _explain(truth, found, num_worst=1)
    assert shorter.worst == (first,)


def test_num_worst_below_0_is_refused():
    with pytest.raises(ValueError, match="num_worst is -1"):
        _explain(TRUTH, FOUND, num_worst=-1)


@pytest.mark.parametrize(("truth", "found"), [([], FOUND), (TRUTH, []), ([], [])])
def test_nothing_annotated_or_nothing_detected(truth, found):
    report, analysis = _explain(truth, found)
    assert math.isnan(analysis.mean_ap) == (not truth)
    assert math.isnan(analysis.confident_score)
    assert analysis.num_missed == len(truth)
    assert {kind.key: kind.number for kind in analysis.errors}["no_box"] == len(truth)
    assert math.isnan(analysis.mean_ap_all_mended) == (not truth)
    assert analysis.worst == () if not truth else analysis.worst[0].num_errors == 2
    json.dumps(analysis.to_dict(), allow_nan=False)
    assert report.counts.annotations == len(truth)


def test_what_the_evaluation_refuses_is_refused_here():
    with pytest.raises(DataError, match="no rules named 'mine'"):
        _explain(TRUTH, FOUND, rules="mine")
    with pytest.raises(DataError, match=r"x1 = 0\.4"):  # inverted, and a detection is near
        _explain([("v", 902, 0.4, 0, 0, 1, 12)], FOUND)


def test_an_inverted_annotation_that_no_detection_reaches_is_a_miss():
    _, analysis = _explain([*TRUTH, ("v", 903, 0.4, 0, 0, 1, 12)], FOUND)
    assert {kind.key: kind.number for kind in analysis.errors}["no_box"] == 2
    assert analysis.mean_ap_all_mended == 1.0


def test_files(tmp_path):
    _, analysis = _explain(TRUTH, FOUND)
    paths = write_analysis(analysis, tmp_path / "new")
    assert [path.name for path in paths] == [
        "analysis.json",
        "per_class_extra.csv",
        "errors.csv",
        "parts.csv",
        "worst_keyframes.csv",
    ]
    whole = json.loads(paths[0].read_text())
    assert whole["mean_ap"] == 0.5
    assert whole["errors"][1]["mean_ap_alone"] == 0.75
    assert whole["sizes"][0]["mean_ap"] is None
    tables = [list(csv.DictReader(path.read_text().splitlines())) for path in paths[1:]]
    assert [row["ap"] for row in tables[0]] == ["1.0", "0.0"]
    assert tables[0][0]["false_duplicate"] == "1"
    assert tables[1][1]["map_if_mended_alone"] == "0.75"
    assert {row["by"] for row in tables[2]} == {"group", "size", "persons"}
    assert (tables[3][0]["timestamp"], tables[3][0]["errors"]) == ("0902", "2")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    _, analysis = _explain(TRUTH, FOUND)
    with pytest.raises(X3DDetError, match="file/sub: Not a directory"):
        write_analysis(analysis, tmp_path / "file" / "sub")
