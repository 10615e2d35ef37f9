"""evaluation/persons.py: COCO's AP of person boxes, by hand, against slow loops, and in words."""

import json
import math
import random

import numpy as np
import pytest

from x3d_det.evaluation.persons import IOU_THRESHOLDS, evaluate_persons
from x3d_det.evaluation.persons_chart import draw_precision_recall
from x3d_det.evaluation.persons_report import write_person_report
from x3d_det.io.ava_csv import read_annotations, read_exclusions, read_proposals

LEFT, RIGHT, LOW = "0.1,0.1,0.3,0.9", "0.6,0.1,0.8,0.9", "0.1,0.5,0.9,0.8"
TRUTH = [
    ("v", 902, LEFT, 12), ("v", 902, LEFT, 80),  # one person, two actions
    ("v", 902, RIGHT, 12), ("v", 903, LOW, 11),
]  # fmt: skip
# of the left person all, of the right 0.6 / 0.8 = IoU 0.75 - a little, and one beside the third
FOUND = [
    ("v", 902, LEFT, 0.9),
    ("v", 903, "0.0,0.0,0.2,0.2", 0.8),
    ("v", 902, "0.6,0.1,0.8,0.66", 0.7),
]


def _rows(rows, *, tail="{3}"):
    return "".join(
        f"{video},{second:04d},{box},{tail.format(0, 0, 0, value)}\n"
        for video, second, box, value in rows
    )


def _report(tmp_path, truth=TRUTH, found=FOUND, *, excluded=None, more="", **options):
    (tmp_path / "gt.csv").write_text(_rows(truth, tail="{3},0") + more)
    (tmp_path / "boxes.csv").write_text(_rows(found, tail=",{3}"))
    boxes = read_proposals(tmp_path / "boxes.csv")
    exclusions = None
    if excluded is not None:
        (tmp_path / "ex.csv").write_text(excluded)
        exclusions = read_exclusions(tmp_path / "ex.csv")
    annotations = read_annotations(tmp_path / "gt.csv")
    return evaluate_persons(annotations, boxes, exclusions=exclusions, **options)


def test_three_persons_by_hand(tmp_path):
    report = _report(tmp_path, score_threshold=0.75)
    # By score: right, wrong, right (IoU 0.56 / 0.8 = 0.7). Recall 1/3, 1/3, 2/3, precision
    # 1, 1/2, 2/3; so 1 at the 34 recalls 0 to 0.33, 2/3 at the 33 up to 0.66, then 0.
    assert report.ap50 == pytest.approx((34 + 33 * 2 / 3) / 101, abs=1e-12)
    assert report.ap75 == pytest.approx(34 / 101, abs=1e-12)
    # IoU 0.7 counts up to the threshold 0.65 at least; 0.7 itself is a matter of rounding
    assert report.average_precision[0.65] == report.ap50
    assert report.ap == pytest.approx(np.mean(list(report.average_precision.values())))
    assert report.recall == pytest.approx(1 / 3)
    assert report.precision == pytest.approx(1 / 2)
    assert report.recall_ceiling == pytest.approx(2 / 3)
    counts = report.counts
    assert (counts.persons, counts.boxes, counts.boxes_above_threshold) == (3, 3, 2)
    assert (counts.persons_found_above_threshold, counts.persons_found) == (1, 2)
    # shares of the frame: 0.2 x 0.8 = 0.16 twice, 0.8 x 0.3 = 0.24
    assert [group.num_persons for group in report.sizes] == [0, 0, 3]
    assert [group.num_found for group in report.sizes] == [0, 0, 1]
    assert report.notes == ()


def test_the_threshold_itself_counts(tmp_path):
    assert _report(tmp_path, score_threshold=0.7).recall == pytest.approx(2 / 3)
    assert _report(tmp_path, score_threshold=0.700001).recall == pytest.approx(1 / 3)


def test_near_equal_boxes_are_two_persons(tmp_path):
    truth = [*TRUTH, ("v", 902, "0.101,0.1,0.3,0.9", 12)]
    assert _report(tmp_path, truth).counts.persons == 4


def test_a_second_box_of_a_person_is_false(tmp_path):
    found = [("v", 902, LEFT, 0.9), ("v", 902, "0.1,0.1,0.3,0.85", 0.95)]
    report = _report(tmp_path, TRUTH[:2], found)
    # the first in order of score takes the person, though the other fits better
    assert (report.recall, report.precision) == (1.0, 0.5)
    assert report.ap50 == pytest.approx(1.0)
    assert report.average_precision[0.95] == pytest.approx(0.5)  # there it does not fit


def test_perfect_boxes_score_one_and_file_order_changes_nothing(tmp_path):
    rng = random.Random(0)
    truth, found = _random_rows(rng)
    perfect = [(*row[:3], 0.5 + 0.001 * n) for n, row in enumerate(truth)]
    assert _report(tmp_path, truth, perfect, score_threshold=0.5).ap == pytest.approx(1.0)
    before = _report(tmp_path, truth, found).to_dict()
    equal = [(*row[:3], 0.5) for row in found]
    with_equal = _report(tmp_path, truth, equal).to_dict()
    rng.shuffle(truth)
    rng.shuffle(found)
    rng.shuffle(equal)
    assert _report(tmp_path, truth, found).to_dict() == before
    assert _report(tmp_path, truth, equal).to_dict() == with_equal


def _random_rows(rng):
    """Return annotated rows of 40 keyframes, and boxes round them and elsewhere."""

    def box(x1, y1, x2, y2):
        corners = [min(max(value, 0), 1) for value in (x1, y1, x2, y2)]
        return ",".join(f"{value:.6f}" for value in corners)

    truth, found = [], []
    for place in range(40):
        video, second = f"v{place % 3}", 902 + place
        for _ in range(rng.randint(1, 4)):
            x, y, w, h = rng.uniform(0, 0.6), rng.uniform(0, 0.6), *(rng.uniform(0.1, 0.4),) * 2
            truth.append((video, second, box(x, y, x + w, y + h), 1))
            for _ in range(rng.randint(0, 3)):
                spoilt = (side + rng.gauss(0, 0.03) for side in (x, y, x + w, y + h))
                found.append((video, second, box(*spoilt), round(rng.random(), 9)))
        for _ in range(rng.randint(0, 2)):
            x, y = rng.uniform(0, 0.6), rng.uniform(0, 0.6)
            found.append((video, second, box(x, y, x + 0.3, y + 0.3), round(rng.random(), 9)))
    return truth, found


def _slow_ap(truth, found, min_iou):
    """Return COCO's AP in plain loops: greedy by score, 101 points of recall."""
    persons = {}
    for video, second, text, _ in truth:
        box = tuple(map(float, text.split(",")))
        persons.setdefault((video, second), {})[box] = False
    flags = []
    for video, second, text, _ in sorted(found, key=lambda row: -row[3]):
        x1, y1, x2, y2 = map(float, text.split(","))
        best, best_iou = None, min_iou
        for person, taken in persons[video, second].items():
            u1, v1, u2, v2 = person
            shared = max(0, min(x2, u2) - max(x1, u1)) * max(0, min(y2, v2) - max(y1, v1))
            iou = shared / ((x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - shared)
            if not taken and iou >= best_iou:
                best, best_iou = person, iou
        if best is not None:
            persons[video, second][best] = True
        flags.append(best is not None)
    number = sum(len(of_keyframe) for of_keyframe in persons.values())
    points = []
    for rank in range(1, len(flags) + 1):
        points.append((sum(flags[:rank]) / number, sum(flags[:rank]) / rank))
    total = 0.0
    for step in range(101):
        total += max((p for recall, p in points if recall >= step / 100 - 1e-12), default=0.0)
    return total / 101


@pytest.mark.parametrize("seed", range(3))
def test_ap_equals_slow_loops(tmp_path, seed):
    truth, found = _random_rows(random.Random(seed))
    report = _report(tmp_path, truth, found)
    assert 0.05 < report.ap < report.ap50 < 0.95
    for iou in IOU_THRESHOLDS:
        expected = _slow_ap(truth, found, iou)
        assert report.average_precision[iou] == pytest.approx(expected, abs=1e-9), iou


def test_keyframes_that_are_not_annotated(tmp_path):
    found = [*FOUND, ("v", 950, LEFT, 0.95), ("w", 902, LEFT, 0.85), ("w", 902, RIGHT, 0.2)]
    report = _report(tmp_path, found=found)
    assert report.ap50 == _report(tmp_path).ap50
    assert report.counts.boxes == 3
    text = "\n".join(report.summary_lines())
    assert "not counted: 3 boxes on 2 keyframes that are not annotated, as AVA's" in text
    counted = _report(tmp_path, found=found, count_unannotated=True)
    # wrong, right, wrong, wrong, right: precision 1/2 up to recall 1/3, 2/5 up to 2/3
    assert counted.ap50 == pytest.approx((34 / 2 + 33 * 2 / 5) / 101)
    assert counted.precision == pytest.approx(1 / 4)
    text = "\n".join(counted.summary_lines())
    assert "counted as false: 3 boxes on 2 keyframes that are not annotated" in text
    # a keyframe named without a person is annotated: its boxes are false
    named = _report(tmp_path, found=found, more="v,0950\n")
    assert named.counts.annotated_keyframes == 3
    assert named.ap50 == pytest.approx((34 / 2 + 33 / 2) / 101)


def test_keyframes_without_boxes_and_exclusions(tmp_path):
    truth = [*TRUTH, ("v", 904, LEFT, 12), ("v", 904, RIGHT, 12)]
    found = [*FOUND[:2], ("v", 903, LOW, 0.1)]
    report = _report(tmp_path, truth, found, score_threshold=0.85)
    assert (
        "3 annotated keyframes: 1 with a box of 0.85 or more, 1 with lower boxes only, 1 without "
        "a box (2 persons missed there)" in report.summary_lines()
    )
    report = _report(tmp_path, truth, found, excluded="v,0904\nv,0903\n")
    assert report.counts.persons == 2
    assert "excluded by the list: 3 persons and 2 boxes" in report.summary_lines()
    assert report.recall == 0.5
    assert report.precision == 1.0


def test_only_the_best_hundred_boxes_of_a_keyframe(tmp_path):
    found = [("v", 902, f"0.{n:03d},0.9,0.99,1.0", 0.5) for n in range(100)]
    report = _report(tmp_path, found=[*found, ("v", 902, LEFT, 0.4), ("v", 903, LOW, 0.9)])
    assert report.counts.boxes_over_limit == 1
    assert report.counts.persons_found == 1
    assert "not counted: 1 box beyond the 100 best of the keyframe" in report.summary_lines()


def _notes(tmp_path, **tables):
    report = _report(tmp_path, **tables)
    assert report.summary_lines()[-len(report.notes) :] == [f"note: {n}" for n in report.notes]
    return "\n".join(report.notes)


def test_nothing_to_score(tmp_path):
    report = _report(tmp_path, excluded="v,0902\nv,0903\n")
    assert math.isnan(report.ap50)
    assert math.isnan(report.recall)
    assert report.notes == ("AP is not defined: no annotated person counts",)
    assert report.summary_lines()[0].startswith("AP@50 not defined, AP@75 not defined")
    annotations = read_annotations(tmp_path / "gt.csv")
    boxes = read_proposals(tmp_path / "boxes.csv").iloc[:0]
    report = evaluate_persons(annotations, boxes)
    assert (report.ap50, report.recall) == (0.0, 0.0)
    assert math.isnan(report.precision)
    assert report.notes == ("AP is 0 because there is no person box",)
    assert report.to_dict()["counts"]["highest_score"] is None


def test_why_the_score_is_zero(tmp_path):
    shifted = [(video, second - 900, box, score) for video, second, box, score in FOUND]
    note = _notes(tmp_path, found=shifted)
    assert "no keyframe in common, but 2 if 900 s are added to the timestamps of the boxes" in note
    assert "(annotated 902 to 903, boxes 2 to 3)" in note
    note = _notes(tmp_path, truth=[(v, s - 900, b, a) for v, s, b, a in TRUTH])
    assert "900 s are added to the timestamps of the annotations" in note
    renamed = [("v.mp4", *row[1:]) for row in FOUND]
    note = _notes(tmp_path, found=renamed)
    assert "no video in common: annotated is for example 'v', boxes have 'v.mp4'" in note
    note = _notes(tmp_path, found=[("v", 5, LEFT, 0.9), ("v", 40, LEFT, 0.8), ("v", 99, LOW, 0.7)])
    assert "have no keyframe in common (annotated 902 to 903, boxes 5 to 99)" in note
    swapped = [("v", 902, "0.1,0.1,0.9,0.3", 0.9), ("v", 903, "0.5,0.1,0.8,0.9", 0.8)]
    note = _notes(tmp_path, found=swapped)
    assert "no box overlaps an annotated person by 0.5" in note
    assert "with x and y exchanged they would: AVA's boxes are x1, y1, x2, y2" in note
    # 0.1 x 0.8 of 0.3 x 0.8 shared
    note = _notes(tmp_path, truth=TRUTH[:1], found=[("v", 902, "0.2,0.1,0.4,0.9", 0.9)])
    assert note.endswith("on the common keyframes (best overlap 0.333)")


def test_scores_that_tell_little(tmp_path):
    low = [(*row[:3], row[3] / 2) for row in FOUND]
    note = _notes(tmp_path, found=low, score_threshold=0.8)
    assert "no box has a score of 0.8 or more; the highest is 0.45: give a lower" in note
    note = _notes(tmp_path, found=[(*row[:3], 0.9) for row in FOUND])
    assert "all 3 boxes have the same score 0.9" in note


def test_the_files_of_a_report(tmp_path):
    report = _report(tmp_path, score_threshold=0.75)
    (tmp_path / "out").mkdir()
    paths = write_person_report(report, tmp_path / "out", files={"boxes": "b.csv"})
    assert [path.name for path in paths] == ["report.json", "precision_recall.png"]
    content = json.loads(paths[0].read_text())
    assert content["AP50"] == report.ap50
    assert content["AP_by_iou"]["0.75"] == report.ap75
    assert content["precision_at_recall_0_to_1"]["0.50"][33:35] == pytest.approx([1, 2 / 3])
    assert content["files"] == {"boxes": "b.csv"}
    assert content["summary"] == report.summary_lines()
    assert _shape(paths[1].read_bytes()) == (648, 864)


def test_the_picture_shows_the_threshold(tmp_path):
    curves = {0.5: [1.0] * 101, 0.75: [math.nan] * 101}
    options = {"average_precision": {0.5: 1.0, 0.75: math.nan}, "recall_ceiling": 1.0}
    one, other, none = (
        draw_precision_recall(curves, marked=(0.8, recall, 0.9), **options)
        for recall in (0.5, 0.6, math.nan)
    )
    assert len({one, other, none}) == 3
    assert _shape(none) == (648, 864)


def _shape(png):
    assert png.startswith(b"\x89PNG")
    return int.from_bytes(png[20:24], "big"), int.from_bytes(png[16:20], "big")
