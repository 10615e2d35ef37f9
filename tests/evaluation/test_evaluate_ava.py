"""The rule sets on files: what counts, what is left out, what each of them refuses."""

import gzip
import math

import numpy as np
import pandas as pd
import pytest

from x3d_det.errors import DataError
from x3d_det.evaluation import RULES, evaluate_ava, evaluate_files
from x3d_det.io.ava_csv import read_annotations, read_detections
from x3d_det.io.label_map import LabelMap

OLD_RULES = ["pyslowfast", "activitynet2018", "activitynet2019"]
TRUTH = "v,0902,0,0,0.5,1,12,0\nv,0903,0,0,0.5,1,12,0\nv,0903,0.5,0,1,1,80,1\n"
FOUND = "v,0902,0,0,0.5,1,12,0.9\nv,0903,0,0,0.5,1,12,0.8\nv,0903,0.5,0,1,1,80,0.7\n"


def _evaluate(tmp_path, truth=TRUTH, found=FOUND, excluded=None, rules="pyslowfast", map_text=None):
    paths = []
    for name, text in (("gt.csv", truth), ("pred.csv", found), ("excluded.csv", excluded)):
        paths.append(tmp_path / name)
        if text is not None:
            paths[-1].write_text(text)
    if map_text is not None:
        (tmp_path / "map.pbtxt").write_text(map_text)
    return evaluate_files(
        paths[0],
        paths[1],
        label_map_path=None if map_text is None else tmp_path / "map.pbtxt",
        exclusions_path=None if excluded is None else paths[2],
        rules=rules,
    )


def _error(tmp_path, **options):
    with pytest.raises(DataError) as caught:
        _evaluate(tmp_path, **options)
    return str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize("rules", RULES)
def test_perfect_files(tmp_path, rules):
    report = _evaluate(tmp_path, rules=rules)
    assert report.mean_ap == 1.0
    assert report.rules == rules
    assert {k: v for k, v in report.per_class.items() if not math.isnan(v)} == {12: 1.0, 80: 1.0}
    assert len(report.per_class) == 60
    assert dict(report.group_means) == {"PERSON_MOVEMENT": 1.0, "PERSON_INTERACTION": 1.0}
    counts = report.counts
    assert (counts.annotations, counts.detections, counts.matched) == (3, 3, 3)
    assert (counts.annotated_keyframes, counts.detected_keyframes) == (2, 2)
    assert report.notes == ()
    stand = next(result for result in report.classes if result.action_id == 12)
    assert (stand.name, stand.group) == ("stand", "PERSON_MOVEMENT")
    assert (stand.num_annotations, stand.num_detections, stand.num_matched) == (2, 2, 2)


def test_packed_files_are_read(tmp_path):
    (tmp_path / "gt.csv.gz").write_bytes(gzip.compress(TRUTH.encode()))
    (tmp_path / "pred.csv.gz").write_bytes(gzip.compress(FOUND.encode()))
    assert evaluate_files(tmp_path / "gt.csv.gz", tmp_path / "pred.csv.gz").mean_ap == 1.0


def test_exclusions_apply_to_both_sides(tmp_path):
    found = FOUND.replace("0.9\n", "0.1\n") + "v,904,0,0,1,1,12,0.99\n"
    for rules in OLD_RULES:
        report = _evaluate(tmp_path, found=found, excluded="v,904\nv,0903\nw,902\n", rules=rules)
        assert report.mean_ap == 1.0
        counts = report.counts
        assert counts.excluded_keyframes == 3
        assert (counts.excluded_annotation_rows, counts.excluded_detection_rows) == (2, 3)
        assert (counts.annotations, counts.detections) == (1, 1)
        assert report.files["exclusions"].endswith("excluded.csv")
    report = _evaluate(tmp_path, found=found, excluded="v,0903\n", rules="activitynet2020")
    assert report.counts.excluded_keyframes == 0
    assert report.counts.annotations == 3
    assert "the exclusion list was not used" in report.notes[0]


def test_keyframes_that_the_annotations_do_not_name(tmp_path):
    # 0904 is named by a row of an unknown action, 0905 by nothing.
    truth = TRUTH + "v,0904,0,0,1,1,2,0\n"
    found = FOUND + "v,0904,0,0,1,1,12,0.99\nv,0905,0,0,1,1,80,0.99\nw,0902,0,0,1,1,80,0.98\n"
    report = _evaluate(tmp_path, truth, found, rules="activitynet2020")
    # stand: ranks false, true, true of 2: precision 2/3 at both
    assert report.per_class[12] == pytest.approx(2 / 3)
    assert report.per_class[80] == 1.0
    counts = report.counts
    assert (counts.unnamed_keyframe_detection_rows, counts.unnamed_keyframes) == (2, 2)
    assert counts.detection_rows_without_annotation == 1
    report = _evaluate(tmp_path, truth, found, rules="pyslowfast")
    assert report.per_class[80] == pytest.approx(1 / 3)
    assert report.counts.detected_keyframes_without_annotation == 3
    assert dict(report.unknown_annotation_ids) == {2: 1}


def test_rows_of_two_columns(tmp_path):
    truth, found = TRUTH + "v,0905\n", FOUND + "v,0905,0,0,1,1,80,0.99\nv,0906\n"
    report = _evaluate(tmp_path, truth, found, rules="activitynet2020")
    assert report.per_class[80] == 0.5
    for rules in OLD_RULES:
        message = _error(tmp_path, truth=truth, rules=rules)
        assert message.startswith("gt.csv:4: a row of two columns names a keyframe without boxes")
        assert f"the rules {rules} do not know" in message
        message = _error(tmp_path, found=found, rules=rules)
        assert message.startswith("pred.csv:5: a row of two columns")


def test_seconds_with_a_fraction(tmp_path):
    truth, found = TRUTH.replace("0903", "903.5"), FOUND.replace("0903", "903.5000001")
    assert _evaluate(tmp_path, truth, found, rules="activitynet2020").mean_ap == 1.0
    for rules in OLD_RULES:
        message = _error(tmp_path, truth=truth, rules=rules)
        assert message.startswith("gt.csv:2: the second 903.5 has a fraction (2 such rows)")
        assert "pred.csv:2: the second" in _error(tmp_path, found=found, rules=rules)
        message = _error(tmp_path, excluded="v,902\nv,902.25\n", rules=rules)
        assert message.startswith("excluded.csv:2: the second 902.25")


def test_missing_scores(tmp_path):
    found = FOUND.replace(",0.9\n", "\n").replace(",0.8\n", "\n")
    message = _error(tmp_path, found=found)
    assert message.startswith(
        "pred.csv:1: the row has no score (2 such rows); the rules pyslowfast"
    )
    for rules in list(RULES)[1:]:
        report = _evaluate(tmp_path, found=found, rules=rules)
        assert report.mean_ap == 1.0
        assert report.counts.unscored_detection_rows == 2


def test_person_ids_that_are_no_numbers(tmp_path):
    truth = TRUTH.replace("80,1", "80,3_")
    assert _evaluate(tmp_path, truth).mean_ap == 1.0
    for rules in list(RULES)[1:]:
        message = _error(tmp_path, truth=truth, rules=rules)
        assert message.startswith("gt.csv:3: the person id is no number (1 such lines)")


@pytest.mark.parametrize("rules", [name for name in RULES if name != "mmaction2"])
def test_inverted_boxes(tmp_path, rules):
    found = FOUND + "v,0902,0.5,0,0,1,12,0.99\nv,0902,0.5,0,0.5,1,12,0.98\n"
    report = _evaluate(tmp_path, found=found, rules=rules)
    assert report.mean_ap == 1.0
    assert report.counts.invalid_detection_rows == 2
    truth = TRUTH + "v,0903,0.9,0,0.1,1,12,5\n"
    assert _error(tmp_path, truth=truth, rules=rules) == (
        "gt.csv:4: the annotated box is inverted (x1 = 0.9, y1 = 0.0, x2 = 0.1, y2 = 1.0); it must "
        "have x1 <= x2 and y1 <= y2: swap its corners or remove the row."
    )
    # No detection of its class on its keyframe: the official programs never look at it.
    truth = TRUTH + "v,0902,0.9,0,0.1,1,80,5\n"
    report = _evaluate(tmp_path, truth, rules=rules)
    assert report.per_class[80] == 0.5
    assert report.counts.inverted_annotations == 1


def test_only_2018_drops_scores_of_minus_ten(tmp_path):
    found = FOUND + "v,0902,0,0,1,1,80,-10\n"
    assert _evaluate(tmp_path, found=found, rules="activitynet2018").counts.detections == 3
    assert _evaluate(tmp_path, found=found, rules="activitynet2019").counts.detections == 4


def test_limit_is_counted(tmp_path):
    found = FOUND + "".join(f"v,0902,0,0,0.{n:02d},1,12,0.{n:04d}\n" for n in range(10, 70))
    report = _evaluate(tmp_path, found=found, rules="activitynet2019")
    assert report.counts.over_limit_detection_rows == 11
    assert report.counts.detections == 52
    assert any("dropped: 11 detections beyond the 50 best" in x for x in report.summary_lines())


def test_unknown_ids_are_counted_on_both_sides(tmp_path):
    truth = TRUTH + "v,0902,0,0,1,1,2,0\nv,0902,0,0,1,1,99999999999,0\n"
    found = FOUND + "v,0902,0,0,1,1,-4,0.5\n" * 3
    report = _evaluate(tmp_path, truth, found)
    assert report.mean_ap == 1.0
    assert dict(report.unknown_annotation_ids) == {2: 1, 99999999999: 1}
    assert dict(report.unknown_detection_ids) == {-4: 3}
    assert report.counts.detection_rows == 6
    text = "\n".join(report.summary_lines())
    assert "ignored: 3 detections of 1 action id that the label map does not have (-4: 3)" in text


def test_unknown_rules_are_named(tmp_path):
    message = _error(tmp_path, rules="activitynet2021")
    assert message.startswith("no rules named 'activitynet2021'; there are pyslowfast, activitynet")
    assert "did you mean activitynet20" in message


def test_unreadable_files_are_named(tmp_path):
    assert "gt.csv:1: the line has 3 columns" in _error(tmp_path, truth="a,b,c\n" * 2)
    assert "pred.csv:2: x1 is 'x'" in _error(
        tmp_path, found=FOUND.splitlines()[0] + "\nv,1,x,0,1,1,1,1\n"
    )
    assert "map.pbtxt: no action found" in _error(tmp_path, map_text="item\n")
    with pytest.raises(DataError, match=r"cannot read .*none\.csv: No such file"):
        evaluate_files(tmp_path / "none.csv", tmp_path / "pred.csv")


def test_tables_made_in_memory(tmp_path):
    (tmp_path / "gt.csv").write_text(TRUTH)
    (tmp_path / "pred.csv").write_text(FOUND)
    truth = read_annotations(tmp_path / "gt.csv", strict=False)
    found = read_detections(tmp_path / "pred.csv")
    plain = pd.DataFrame({name: found[name].to_numpy() for name in found.columns if name != "line"})
    label_map = LabelMap({12: "stand", 80: "watch", 3: "x"}, {12: "A", 3: "B"})
    report = evaluate_ava(truth, plain.astype({"score": np.float32}), label_map=label_map)
    assert report.mean_ap == 1.0
    assert dict(report.group_means) == {"A": 1.0}
    with pytest.raises(DataError, match=r"detections has no column score; it has video_id"):
        evaluate_ava(truth, plain.drop(columns="score"), label_map=label_map)
    with pytest.raises(DataError, match=r"detections, row 1: the score is not a number"):
        evaluate_ava(truth, plain.assign(score=[1, np.nan, 1]), label_map=label_map)
    with pytest.raises(DataError, match=r"detections, row 0: the second is inf"):
        evaluate_ava(truth, plain.assign(timestamp=np.inf), label_map=label_map)
    with pytest.raises(DataError, match=r"detections, row 2: no video id"):
        evaluate_ava(truth, plain.assign(video_id=["v", "v", None]), label_map=label_map)
