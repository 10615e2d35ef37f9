"""MMAction2's rules: each difference by hand, against loops, and its own program's results."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError
from x3d_det.evaluation import evaluate_files

# Recorded from open-mmlab/mmaction2 4d6c93474730cad2f25e51109adcf96824efc7a3,
# mmaction/evaluation/functional/{ava_utils.py,ava_evaluation/}:
#   ava_eval(pred.csv, "mAP", label_map.pbtxt, gt.csv, excluded.csv or None)
# with np.nan for np.NAN (gone from NumPy 2), a stable argsort, one process in place of 32 and
# cls_AP handed back; the label map is AVA's 60 where a case has none. Equal to the last bit;
# 1e-12 leaves room for another order of summation. Classes not listed were NaN or absent.
GOLDEN = {
    "micro/m02_duplicate_low_score_first": {12: 0.75},
    "micro/m05_excluded_keyframe": {11: 1.0, 12: 0.5},
    "micro/m10_iou_at_threshold": {12: 0.41666666666666663},
    "micro/m11_more_than_fifty": {12: 1.0, 17: 1.0, 80: 1.0},
    "micro/m15_equal_scores": {11: 0.22666666666666668, 12: 0.58},
    "micro/m18_order_forward": {12: 0.7555555555555555},
    "real/r01_slowfast_ava22_one_video": {
        1: 0.029624312036372343,
        6: 0.0,
        10: 0.13326446280991736,
        11: 0.566100185690625,
        12: 0.6764945108389502,
        14: 0.1558283712442604,
        17: 0.2552083333333333,
        36: 0.004524886877828055,
        59: 0.0385146804835924,
        74: 0.3260889378826317,
        79: 0.7887643766903901,
        80: 0.43220725017986805,
    },
    "real/r03_mmaction2_unit_test": {1: 0.17045454545454547, 2: 0.0, 3: 0.1111111111111111},
    "small/s02_all_classes_shuffled": {
        1: 0.5461781871383451,
        3: 0.2883911579563753,
        6: 0.225,
        10: 1.0,
        11: 0.7310261703676993,
        12: 0.7325749176284131,
        14: 0.6261406001835508,
        15: 0.4981152308251545,
        17: 0.6383978656393735,
        22: 0.11623931623931623,
        26: 0.029411764705882353,
        27: 0.0873015873015873,
        28: 0.029523809523809525,
        29: 0.13456812763616358,
        34: 1.0,
        36: 0.08333333333333333,
        37: 0.0,
        38: 0.30023670286828186,
        41: 0.26833475385575045,
        43: 0.0,
        45: 0.0,
        46: 0.125,
        47: 0.41792611251049533,
        48: 0.3236111111111111,
        49: 0.4939534551684752,
        56: 0.10185185185185185,
        57: 0.11513157894736842,
        59: 0.4437667071416883,
        61: 0.07060673053303858,
        65: 0.16666666666666666,
        66: 0.3111232167674789,
        68: 0.03333333333333333,
        69: 0.046768707482993194,
        74: 0.6936541754039816,
        76: 0.0,
        77: 0.2535862829980477,
        78: 0.7,
        79: 0.6831611571409141,
        80: 0.7323985371348086,
    },
}
MEANS = {"real/r03_mmaction2_unit_test": 0.09385522}  # its unit test's own number
MAP = 'item {\n  name: "a"\n  id: 1\n}\nitem {\n  name: "b"\n  id: 2\n}\n'


def _report(tmp_path, truth, found, excluded="", rules="mmaction2"):
    texts = {"gt.csv": truth, "pred.csv": found, "excluded.csv": excluded, "map.pbtxt": MAP}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return evaluate_files(
        tmp_path / "gt.csv",
        tmp_path / "pred.csv",
        label_map_path=tmp_path / "map.pbtxt",
        exclusions_path=tmp_path / "excluded.csv" if excluded else None,
        rules=rules,
    )


def _known(report):
    return {key: ap for key, ap in report.per_class.items() if not math.isnan(ap)}


@pytest.mark.parametrize("case", GOLDEN)
def test_equals_the_program_of_mmaction2(shared_dir, case):
    folder = shared_dir / "ava" / "eval_cases" / case
    map_path, excluded = folder / "label_map.pbtxt", folder / "excluded.csv"
    report = evaluate_files(
        folder / "gt.csv",
        folder / "pred.csv",
        label_map_path=map_path if map_path.exists() else None,
        exclusions_path=excluded if excluded.exists() else None,
        rules="mmaction2",
    )
    assert _known(report) == pytest.approx(GOLDEN[case], abs=1e-12)
    mean = sum(GOLDEN[case].values()) / len(GOLDEN[case])
    assert report.mean_ap == pytest.approx(MEANS.get(case, mean), abs=1e-8)


# By hand

WHOLE = "0,0,1,1"


def test_only_keyframes_with_a_known_action_count(tmp_path):
    # 0903 is named by the unknown action 7 alone, 0904 by nothing.
    truth = f"v,0902,{WHOLE},1,0\nv,0903,{WHOLE},7,0\n"
    found = "".join(f"v,{second},{WHOLE},1,0.{second}\n" for second in (902, 903, 904))
    report = _report(tmp_path, truth, found)
    assert report.per_class[1] == 1.0
    counts = report.counts
    assert (counts.unnamed_keyframe_detection_rows, counts.unnamed_keyframes) == (2, 2)
    assert (
        "ignored: 2 detections on 2 keyframes without an annotation of a known action"
        in report.summary_lines()
    )
    # The 2020 rules know 0903 by the unknown action: its detection is false and ranks first.
    assert _report(tmp_path, truth, found, rules="activitynet2020").per_class[1] == 0.5


def test_annotations_on_excluded_keyframes_are_missed(tmp_path):
    truth = f"v,0902,{WHOLE},1,0\nv,0903,{WHOLE},1,0\n"
    found = f"v,0902,{WHOLE},1,0.5\nv,0903,{WHOLE},1,0.9\n"
    report = _report(tmp_path, truth, found, "v,0903\n")
    assert report.per_class[1] == 0.5  # one of two found, at rank 1
    counts = report.counts
    assert (counts.annotations, counts.detections) == (2, 1)
    assert (counts.missed_excluded_annotations, counts.excluded_annotation_rows) == (1, 0)
    assert (counts.excluded_detection_rows, counts.annotations_without_detection) == (1, 0)
    assert (
        "missed: 1 annotation on excluded keyframes, which these rules count"
        in report.summary_lines()
    )
    assert _report(tmp_path, truth, found, "v,0903\n", rules="activitynet2018").per_class[1] == 1.0


def test_an_action_without_a_detection_is_left_out_of_the_mean(tmp_path):
    truth = f"v,0902,{WHOLE},1,0\nv,0902,{WHOLE},2,0\n"
    # The detection of action 2 lies where it is ignored.
    found = f"v,0902,{WHOLE},1,0.5\nv,0904,{WHOLE},2,0.4\n"
    report = _report(tmp_path, truth, found)
    assert report.mean_ap == 1.0
    assert math.isnan(report.per_class[2])
    assert "1 of 2 actions, those with annotations and detections" in report.summary_lines()[0]
    assert report.notes == (
        "1 of 2 annotated actions have no detection, so these rules leave them out of the mean "
        "(ids 2); with AP 0 each it would be 0.5000",
    )
    assert _report(tmp_path, truth, found, rules="pyslowfast").mean_ap == 0.5


def test_no_detection_at_all_gives_no_mean(tmp_path):
    report = _report(tmp_path, f"v,0902,{WHOLE},1,0\n", "")
    assert math.isnan(report.mean_ap)
    assert report.notes == ("mAP is not defined because the detections hold no row",)
    assert _report(tmp_path, f"v,0902,{WHOLE},1,0\n", "", rules="pyslowfast").mean_ap == 0.0


def test_an_inverted_detection_stops(tmp_path):
    truth = f"v,0902,{WHOLE},1,0\n"
    found = f"v,0902,{WHOLE},1,0.9\nv,0902,0.5,0,0.2,1,1,0.8\nv,0902,0.5,1,0.6,0,1,0.7\n"
    with pytest.raises(DataError) as caught:
        _report(tmp_path, truth, found)
    assert str(caught.value).replace(f"{tmp_path}/", "") == (
        "pred.csv:2: the detected box is inverted (x1 = 0.5, y1 = 0.0, x2 = 0.2, y2 = 1.0; 2 such "
        "rows); the rules mmaction2 stop at it: swap its corners, remove the row, or use other "
        "rules, which drop it."
    )
    assert _report(tmp_path, truth, found, rules="activitynet2018").mean_ap == 1.0
    # One that does not count stops nothing: another keyframe, an unknown action.
    elsewhere = found.splitlines(keepends=True)[0] + "v,0903,0.5,0,0.2,1,1,1\nv,902,1,0,0,1,9,1\n"
    assert _report(tmp_path, truth, elsewhere).mean_ap == 1.0
    # In float32 the corners are equal, and a box without area is a false detection.
    close = f"v,0902,{WHOLE},1,0.8\nv,0902,0.500000001,0,0.5,1,1,0.9\n"
    assert _report(tmp_path, truth, close).per_class[1] == 0.5
    assert _report(tmp_path, truth, close, rules="pyslowfast").per_class[1] == 1.0


def test_overlaps_are_of_single_precision(tmp_path):
    # 0.2 of 0.4 wide: IoU 0.5 exactly in decimals. Of float64 corners the overlap comes out just
    # below a half (0.49999999999999994), of float32 ones above it.
    truth, found = "v,0902,0.1,0,0.5,1,1,0\n", "v,0902,0.1,0,0.3,1,1,0.9\n"
    x1, x2, u2 = (np.float32(x) for x in (0.1, 0.3, 0.5))
    wanted = float(x2 - x1) / (float((x2 - x1) + (u2 - x1)) - float(x2 - x1)) >= 0.5
    wanted_64 = (0.3 - 0.1) / ((0.3 - 0.1) + (0.5 - 0.1) - (0.3 - 0.1)) >= 0.5
    assert wanted != wanted_64
    assert _report(tmp_path, truth, found).per_class[1] == wanted
    assert _report(tmp_path, truth, found, rules="pyslowfast").per_class[1] == wanted_64


def test_scores_rank_in_single_precision_but_match_as_written(tmp_path):
    # Equal in float32: the later keyframe of the annotations ranks higher. 0902 is true, 0903 not.
    truth = f"v,0902,{WHOLE},1,0\nv,0903,0,0,0.1,0.1,1,0\n"
    found = f"v,0903,{WHOLE},1,0.5\nv,0902,{WHOLE},1,0.500000001\n"
    assert _report(tmp_path, truth, found).per_class[1] == 0.25  # rank 2 of 2, one of two found
    assert _report(tmp_path, truth, found, rules="activitynet2018").per_class[1] == 0.5


def test_of_equal_scores_the_earlier_row_matches(tmp_path):
    # The first two overlap the box. Matching goes A, B, C here and C, B, A under the 2018
    # rules, and of equal scores the last ranks first: A is third here, B second there.
    truth = f"v,0902,{WHOLE},1,0\n"
    found = f"v,0902,{WHOLE},1,0.5\nv,0902,0,0,1,0.9,1,0.5\nv,0902,0,0,0.1,0.1,1,0.5\n"
    assert _report(tmp_path, truth, found).per_class[1] == pytest.approx(1 / 3)
    assert _report(tmp_path, truth, found, rules="activitynet2018").per_class[1] == 0.5


@pytest.mark.parametrize(
    ("truth", "text"),
    [
        (f"v,0902.5,{WHOLE},1,0\n", "gt.csv:1: the second 902.5 has a fraction"),
        (f"v,0902,{WHOLE},1,0\nv,0905\n", "gt.csv:2: a row of two columns"),
        (f"v,0902,{WHOLE},1,x\n", "gt.csv:1: the person id is no number"),
    ],
)
def test_what_the_rules_refuse(tmp_path, truth, text):
    with pytest.raises(DataError, match="mmaction2") as caught:
        _report(tmp_path, truth, f"v,0902,{WHOLE},1,0.5\n")
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(text)


# Against loops


def _loops(truth, found, excluded):
    """Return {class: AP} of the classes with annotations and detections."""
    frames = list(dict.fromkeys(row[0] for row in truth if row[5] in (1, 2)))
    ranked = {1: [], 2: []}
    for frame in frames:
        if frame in excluded:
            continue
        for action in (1, 2):
            boxes = [row[1:5] for row in truth if (row[0], row[5]) == (frame, action)]
            taken = set()
            mine = [row for row in found if (row[0], row[5]) == (frame, action)]
            for row in sorted(mine, key=lambda row: -row[6]):
                overlaps = [_overlap(row[1:5], box) for box in boxes]
                best = max(range(len(boxes)), key=lambda i: overlaps[i], default=None)
                hit = best is not None and overlaps[best] >= 0.5 and best not in taken
                taken |= {best} if hit else set()
                ranked[action].append((np.float32(row[6]), hit))
    result = {}
    for action, rows in ranked.items():
        total = sum(row[5] == action for row in truth)
        if rows and total:
            hits = [hit for _, hit in sorted(rows, key=lambda row: row[0])[::-1]]
            points = [(sum(hits[:n]), sum(hits[:n]) / n) for n in range(1, len(hits) + 1)]
            result[action] = (
                sum(max(p for f, p in points if f >= k) for k in range(1, sum(hits) + 1)) / total
            )
    return result


def _overlap(one, other):
    a, b = (np.array(box, np.float32) for box in (one, other))
    width = max(0.0, float(min(a[2], b[2]) - max(a[0], b[0])))
    height = max(0.0, float(min(a[3], b[3]) - max(a[1], b[1])))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (float(areas) - width * height)


_grid = st.integers(0, 3)
_frame = st.sampled_from(["v,0902", "v,0903", "w,0902"])
_row = st.tuples(_frame, _grid, _grid, _grid, _grid, st.sampled_from([1, 1, 2, 3]))
_score = st.integers(1, 4).map(lambda tenths: tenths / 10)


def _box(row, more):
    frame, x, y, width, height, action = row
    box = (x / 10, y / 10, (x + width + 1) / 10, (y + height + 1) / 10)
    return (frame, *box, action, more)


@given(
    truth=st.lists(_row, min_size=1, max_size=8),
    found=st.lists(st.tuples(_row, _score), max_size=25),
    excluded=st.sets(_frame, max_size=1),
)
@settings(max_examples=100, deadline=None)
def test_equals_loops(tmp_path_factory, truth, found, excluded):
    truth = [_box(row, 0) for row in truth]
    found = [_box(row, score) for row, score in found]
    texts = ["".join(",".join(map(str, row)) + "\n" for row in rows) for rows in (truth, found)]
    list_text = "".join(f"{frame}\n" for frame in excluded)
    report = _report(tmp_path_factory.mktemp("case"), *texts, list_text)
    assert _known(report) == pytest.approx(_loops(truth, found, excluded), abs=1e-12)
