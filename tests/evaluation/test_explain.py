"""Each cause of a zero, undefined or low score is named in plain words."""

import math

import pytest

from x3d_det.evaluation import evaluate_files
from x3d_det.io.label_map import ava_label_map, write_label_map


def _lines(prefix, *, seconds=range(902, 912), video="v", actions=(12, 80), boxes=None, tail="0"):
    boxes = boxes or ["0.1,0.1,0.4,0.9", "0.6,0.1,0.9,0.9"]
    return "".join(
        f"{video},{second:04d},{box},{action},{tail or 0.5 + 0.001 * number}\n"
        for number, second in enumerate(seconds)
        for box in boxes
        for action in actions
    )


def _report(tmp_path, truth, found, rules="pyslowfast", **options):
    (tmp_path / "gt.csv").write_text(truth)
    (tmp_path / "pred.csv").write_text(found)
    return evaluate_files(tmp_path / "gt.csv", tmp_path / "pred.csv", rules=rules, **options)


def _note(tmp_path, truth, found, rules="pyslowfast", **options):
    """Return the notes as one text, after seeing that the summary has them too."""
    report = _report(tmp_path, truth, found, rules, **options)
    lines = report.summary_lines()
    assert lines[-len(report.notes) :] == [f"note: {note}" for note in report.notes]
    return "\n".join(report.notes)


TRUTH = _lines("gt")


def test_a_good_score_needs_no_explanation(tmp_path):
    report = _report(tmp_path, TRUTH, _lines("d", tail=""))
    assert report.mean_ap == 1.0
    assert report.notes == ()


def test_no_detections_at_all(tmp_path):
    assert _note(tmp_path, TRUTH, "") == "mAP is 0 because the detections hold no row"


def test_no_annotations(tmp_path):
    assert _note(tmp_path, "", TRUTH) == "mAP is not defined because the annotations hold no box"
    note = _note(tmp_path, _lines("gt", actions=(2, 16)), TRUTH)
    assert "no annotation has an action id of the label map: found 2, 16, known 1, 3, 4" in note
    (tmp_path / "ex.csv").write_text("v,0902\n")
    note = _note(tmp_path, _lines("gt", seconds=[902]), TRUTH, exclusions_path=tmp_path / "ex.csv")
    assert note == "mAP is not defined because every annotation lies on an excluded keyframe"
    assert math.isnan(_report(tmp_path, "", "").mean_ap)


def test_all_detections_excluded(tmp_path):
    (tmp_path / "ex.csv").write_text("v,0902\n")
    found = _lines("d", seconds=[902])
    note = _note(tmp_path, TRUTH, found, exclusions_path=tmp_path / "ex.csv")
    assert note == "no detection counts: all lie on excluded keyframes"


def test_no_video_in_common(tmp_path):
    note = _note(tmp_path, TRUTH, _lines("d", video="v.mp4"))
    assert "no video in common: annotated is for example 'v', detected 'v.mp4'" in note


@pytest.mark.parametrize("rules", ["pyslowfast", "activitynet2020"])
def test_timestamps_that_differ_by_a_constant(tmp_path, rules):
    note = _note(tmp_path, TRUTH, _lines("d", seconds=range(2, 12)), rules)
    assert "have no keyframe in common, but 10 if 900 s are added to the timestamps of the " in note
    assert "of the detections: those of the annotations are so much higher" in note
    assert "(annotated 902 to 911, detected 2 to 11)" in note
    note = _note(tmp_path, _lines("gt", seconds=range(30)), _lines("d", seconds=range(900, 930)))
    assert "900 s are added to the timestamps of the annotations" in note
    # two of ten keyframes meet by chance; the shift explains all ten
    note = _note(tmp_path, TRUTH, _lines("d", seconds=range(910, 920)))
    assert "have only 2 keyframes in common, but 10 if 8 s are added" in note


def test_no_keyframe_in_common_without_a_pattern(tmp_path):
    note = _note(tmp_path, TRUTH, _lines("d", seconds=[5, 40, 107, 220]))
    assert note.startswith("mAP is 0 because annotations and detections have no keyframe in common")
    assert "annotated seconds are 902 to 911, detected 5 to 220" in note


def test_boxes_in_pixels(tmp_path):
    pixels = ["34,25,136,225", "204,25,306,225"]
    note = _note(tmp_path, TRUTH, _lines("d", boxes=pixels, tail=""))
    assert "the detected boxes look like pixels, not fractions of the frame (as x2 = 136" in note
    note = _note(tmp_path, _lines("gt", boxes=pixels), _lines("d", tail=""))
    assert "the annotated boxes look like pixels" in note


def test_boxes_of_width_and_height(tmp_path):
    note = _note(tmp_path, TRUTH, _lines("d", boxes=["0.6,0.7,0.3,0.2", "0.5,0.6,0.3,0.3"]))
    assert "40 of 40 detected boxes have x2 <= x1 or y2 <= y1: are they written as x, y, w" in note


def test_ids_that_are_all_unknown(tmp_path):
    note = _note(tmp_path, TRUTH, _lines("d", actions=(100, 101)))
    assert "no detection has an action id of the label map: found 100, 101, known 1, 3" in note


def test_ids_that_start_at_zero(tmp_path):
    note = _note(tmp_path, TRUTH, _lines("d", actions=(0, 11, 79)))
    assert "the detections have action id 0 (20 rows): their ids look like class indices" in note


def test_no_overlap(tmp_path):
    note = _note(tmp_path, TRUTH, _lines("d", boxes=["0.41,0.1,0.59,0.9", "0.3,0.1,0.7,0.9"]))
    # 0.3 to 0.4 shared of 0.1 to 0.7: 1 / 6
    assert "no detected box overlaps an annotated one by 0.5" in note
    assert "(best overlap 0.167)" in note
    assert "exchanged" not in note
    note = _note(tmp_path, TRUTH, _lines("d", boxes=["0.1,0.1,0.9,0.4"]))
    assert "with x and y exchanged they would: AVA's boxes are x1, y1, x2, y2" in note


def test_overlap_with_other_actions_only(tmp_path):
    note = _note(tmp_path, TRUTH, _lines("d", actions=(1, 3)))
    assert "40 of 40 annotations on common keyframes overlap a detected box by 0.5 or more" in note
    assert "none of the 2 annotated actions has a detection (annotated ids 12, 80)" in note


def test_a_subset_of_the_actions(tmp_path):
    report = _report(tmp_path, TRUTH, _lines("d", actions=(12,), tail=""))
    assert report.mean_ap == 0.5
    assert report.notes == (
        "1 of 2 annotated actions have no detection, so AP 0 each (ids 80); the mean over the "
        "others would be 1.0000",
    )


def test_equal_scores_and_the_long_label_map(tmp_path):
    assert "all 40 detections have the same score 0.7" in _note(
        tmp_path, TRUTH, _lines("d", tail="0.7")
    )
    write_label_map(ava_label_map(80), tmp_path / "map.pbtxt")
    note = _note(tmp_path, TRUTH, _lines("d", tail=""), label_map_path=tmp_path / "map.pbtxt")
    assert note.startswith("scored with all 80 of AVA's actions; published numbers are means over")
