"""Boxes and keyframes that contradict each other: found with file, line, value and remedy."""

import pickle

import numpy as np
import pandas as pd
import pytest
from small_dataset import BOXES, EXCLUDED, TRAIN, VAL, append, assert_one, check, edit, found

from x3d_det.checks.boxes import near_pairs
from x3d_det.checks.keyframes import overlap
from x3d_det.checks.tables import SplitFiles, read_split

# Boxes


def test_boxes_that_are_almost_equal(tables):
    line = append(tables / TRAIN, "v0,0902,0.101,0.200,0.300,0.900,3,5")
    assert_one(
        check(tables),
        "near_duplicate",
        f"{TRAIN}:{line}",
        "the box 0.101, 0.2, 0.3, 0.9 of v0,0902 is within 0.001 of 0.1, 0.2, 0.3, 0.9 in line 1",
        "give both rows the same corners",
        severity="warning",
    )


def test_predicted_boxes_that_are_almost_equal(tables):
    line = append(tables / BOXES, "-v1,0902,0.1004,0.2,0.3,0.9,,0.95")
    assert_one(check(tables), "near_duplicate", f"{BOXES}:{line}", "0.1004", severity="warning")


def test_near_pairs_equal_slow_loops():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 4, (120, 4)) * 0.0006 + [0.1, 0.1, 0.5, 0.5]
    boxes = pd.DataFrame(corners, columns=["x1", "y1", "x2", "y2"])
    boxes["keyframe"] = rng.integers(0, 6, 120)
    boxes = boxes.drop_duplicates(ignore_index=True)
    rows = boxes.to_numpy().tolist()
    expected = {
        (a, b)
        for a, first in enumerate(rows)
        for b, second in enumerate(rows)
        if a < b
        and first[4] == second[4]
        and all(abs(x - y) <= 0.001 for x, y in zip(first[:4], second[:4], strict=True))
    }
    assert {tuple(pair) for pair in near_pairs(boxes).tolist()} == expected
    assert len(expected) > 30
    assert near_pairs(boxes.iloc[:0]).shape == (0, 2)


def test_one_box_with_two_person_ids(tables):
    line = append(tables / TRAIN, "v0,0902,0.1,0.2,0.3,0.9,3,7")
    assert_one(
        check(tables),
        "two_persons",
        f"{TRAIN}:{line}",
        "person id 7 has the box 0.1, 0.2, 0.3, 0.9 of v0,0902, which is person 0's in line 1",
        severity="warning",
    )


def test_one_person_with_two_boxes_on_a_keyframe(tables):
    line = append(tables / TRAIN, "v0,0903,0.3,0.1,0.9,0.8,3,1")
    assert_one(
        check(tables),
        "person_twice",
        f"{TRAIN}:{line}",
        "person 1 of v0,0903 has the box 0.3, 0.1, 0.9, 0.8 here and another in line 6",
        severity="warning",
    )


def test_files_without_person_ids_have_no_such_faults(tables):
    for name in (TRAIN, VAL):
        lines = (tables / name).read_text().splitlines()
        (tables / name).write_text("".join(f"{line.rsplit(',', 1)[0]}\n" for line in lines))
    assert check(tables).findings == []


# Keyframes


def test_excluded_keyframes_that_do_not_fit(tables):
    append(tables / EXCLUDED, "-v1,0903", "-v1,0908", "other,0902")
    findings = found(check(tables), "exclusion")
    assert [(f.severity, f.path, f.line) for f in findings] == [
        ("warning", f"set/{EXCLUDED}", line) for line in (2, 3, 4)
    ]
    assert f"-v1,0903 is excluded but annotated (set/{VAL}:4)" in findings[0].text
    assert findings[1].text == "-v1,0908 was excluded above; remove one of the lines."
    assert "video other (1 rows) is in no other file" in findings[2].text


def test_keyframes_both_empty_and_annotated(tables):
    line = append(tables / TRAIN, "v0,0907", "v0,0909")
    assert_one(
        check(tables),
        "empty_keyframe",
        f"{TRAIN}:{line}",
        "v0,0907 is named as empty here, but has boxes from line 16 on",
        severity="warning",
    )


def test_rows_at_which_the_evaluation_would_stop(tables):
    append(tables / VAL, "-v1,0909")
    edit(tables / BOXES, 3, "0903", "903.5")
    texts = [str(finding) for finding in found(check(tables), "rules")]
    assert texts[0].startswith(f"set/{BOXES}:3: the second 903.5 has a fraction (1 such rows)")
    assert texts[1].startswith(f"set/{VAL}:19: a row of two columns names a keyframe without boxes")
    assert all("set evaluation.rules=activitynet2020" in text for text in texts)
    assert found(check(tables, "evaluation.rules=activitynet2020"), "rules") == []


def test_annotated_keyframes_without_person_boxes(tables):
    edit(tables / BOXES, 5, "0.9\n", "0.7\n")
    edit(tables / BOXES, 6, "0.9\n", "0.7\n")
    assert_one(
        check(tables),
        "without_boxes",
        f"{VAL}:7",
        "1 of 6 annotated keyframes have no person box of score 0.8 or more",
        "-v1 at 0904",
        "lower boxes.score_threshold",
        severity="warning",
    )
    assert check(tables, "boxes.score_threshold=0.7").findings == []


def test_videos_that_one_file_does_not_know(tables):
    line = append(tables / BOXES, "other,0902,0.1,0.2,0.3,0.9,,0.9")
    new = append(tables / VAL, "third,0902,0.1,0.2,0.3,0.9,1,0")
    texts = [str(finding) for finding in found(check(tables), "unknown_video")]
    assert texts[0].startswith(f"set/{VAL}:{new}: video third (1 rows) is annotated here, but")
    assert texts[1].startswith(f"set/{BOXES}:{line}: video other (1 rows) has person boxes here")


def test_a_threshold_that_no_box_reaches(tables):
    edit(tables / BOXES, 4, "0.9\n", "0.95\n")
    report = check(tables, "boxes.score_threshold=0.97")
    train, val = sorted(found(report, "threshold"), key=lambda finding: finding.path)
    assert (train.severity, val.severity) == ("warning", "error")
    assert "none of the 12 person boxes has a score of boxes.score_threshold = 0.97" in val.text
    assert "the highest is 0.95, in line 4: lower the threshold" in val.text


def test_boxes_that_do_not_lie_on_the_annotated_ones(tables):
    text = (tables / BOXES).read_text()
    (tables / BOXES).write_text(text.replace("0.100,0.200,0.300,0.900", "0.2,0.1,0.9,0.3"))
    (tables / BOXES).write_text(
        (tables / BOXES).read_text().replace("0.500,0.250,0.800,0.950", "0.25,0.5,0.95,0.8")
    )
    report = check(tables)
    assert [f.severity for f in found(report, "overlap")] == ["warning"]
    assert "only 0 of 12 annotated boxes (0.0%)" in found(report, "overlap")[0].text
    assert "x1, y1, x2, y2 in this order?" in found(report, "overlap")[0].text


def test_person_boxes_of_another_form(tables):
    boxes = {
        f"-v1,{second:04d}": np.array([[0.1, 0.2, 0.3, 0.9, 0.95], [0.5, 0.25, 0.8, 0.95, 0.9]])
        for second in range(902, 908)
    }
    (tables / "boxes.pkl").write_bytes(pickle.dumps(boxes))
    setting = "dataset.val.person_boxes=boxes.pkl"
    assert check(tables, setting).findings == []
    assert check(tables, setting).splits[1].detected.num_boxes == 12
    (tables / "boxes.pkl").write_bytes(b"no pickle")
    findings = found(check(tables, setting), "unreadable_file")
    assert findings[0].path == "set/boxes.pkl"
    assert findings[0].severity == "error"


def test_overlap_worked_by_hand(tables):
    # Half of the first person's height is covered: IoU 0.5 counts. The second's boxes are gone
    # on two keyframes. So 6 + 4 of 12 are found; below the threshold none of the first's.
    rows = (
        (tables / BOXES)
        .read_text()
        .replace("0.100,0.200,0.300,0.900,,0.9", "0.1,0.2,0.3,0.55,,0.85")
    )
    kept = [row for n, row in enumerate(rows.splitlines(keepends=True)) if n not in (1, 3)]
    (tables / BOXES).write_text("".join(kept))
    split, _ = read_split(
        SplitFiles(name="val", annotations=tables / VAL, person_boxes=tables / BOXES)
    )
    assert (overlap(split, score_threshold=0.8).num_found) == 10
    assert (overlap(split, score_threshold=0.87).num_found) == 4
    assert overlap(split, score_threshold=0.8).recall == pytest.approx(10 / 12)
    assert overlap(split, score_threshold=1.0).recall == 0.0


def test_a_video_of_both_splits(tables):
    line = append(tables / TRAIN, "-v1,0909,0.1,0.2,0.3,0.9,1,0")
    place = f"{VAL}:1"
    texts = f"video -v1 is also in set/{TRAIN}:{line}, with 0 of its 6 keyframes"
    assert_one(check(tables), "leak", place, texts, "keep a video in one split", severity="warning")
    append(tables / TRAIN, "-v1,0902,0.1,0.2,0.3,0.9,1,0")
    assert_one(check(tables), "leak", place, "with 1 of its 6 keyframes")


def test_one_file_for_both_splits(tables):
    report = check(tables, f"dataset.train.annotations={VAL}")
    assert_one(
        report, "leak", VAL, "the same file is annotations of train and val", severity="warning"
    )
