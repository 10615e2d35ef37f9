import numpy as np
import pandas as pd
import pytest

from x3d_det.errors import DataError
from x3d_det.visualization import build_timeline, to_drawn

BOX = (0.1, 0.2, 0.3, 0.8)
FAR = (0.6, 0.2, 0.8, 0.8)
KEYS = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id"]


def moved(box, dx):
    return (box[0] + dx, box[1], box[2] + dx, box[3])


def annotations(*rows):
    """Rows of (second, box, action id, person id)."""
    table = [("v", float(t), *box, action, person) for t, box, action, person in rows]
    return pd.DataFrame(table, columns=[*KEYS, "person_id"])


def detections(*rows):
    """Rows of (second, box, action id, score)."""
    table = [("v", float(t), *box, action, score) for t, box, action, score in rows]
    return pd.DataFrame(table, columns=[*KEYS, "score"])


def test_rows_of_one_box_become_one_person():
    timeline = build_timeline(
        "v", annotations=annotations((902, BOX, 12, 5), (902, BOX, 80, 5), (902, FAR, 11, 6))
    )
    first, second = timeline.persons[902.0]
    assert (first.box_norm, first.labels) == (BOX, ((12, None), (80, None)))
    assert (second.box_norm, second.labels) == (FAR, ((11, None),))
    assert first.track != second.track
    assert first.color_index != second.color_index


def test_rows_of_other_videos_are_left_out():
    table = annotations((902, BOX, 12, 5))
    assert build_timeline("another", annotations=table).timestamps == []
    assert build_timeline("v").timestamps == []
    assert build_timeline("v", annotations=table.iloc[:0]).timestamps == []


def test_categorical_video_ids_as_the_reader_of_detections_gives_them():
    table = detections((902, BOX, 12, 0.5))
    table["video_id"] = table["video_id"].astype("category")
    assert len(build_timeline("v", detections=table).persons[902.0]) == 1
    assert build_timeline("another", detections=table).timestamps == []


def test_box_is_held_for_half_a_second_on_both_sides():
    timeline = build_timeline("v", annotations=annotations((902, BOX, 12, 5)))
    for second, shown in ((901.49, 0), (901.5, 1), (902, 1), (902.5, 1), (902.51, 0)):
        assert len(timeline.persons_at(second)) == shown, second


def test_person_of_two_keyframes_moves_in_a_straight_line():
    timeline = build_timeline(
        "v", annotations=annotations((902, BOX, 12, 5), (903, moved(BOX, 0.4), 14, 5))
    )
    for second, dx, action in ((902, 0.0, 12), (902.25, 0.1, 12), (902.75, 0.3, 14)):
        (person,) = timeline.persons_at(second)
        assert person.box_norm == pytest.approx(moved(BOX, dx))
        assert person.labels == ((action, None),)  # of the nearer keyframe
    (person,) = timeline.persons_at(901.6)  # no keyframe before the first: it stays
    assert person.box_norm == BOX


def test_other_person_ids_do_not_move_into_each_other():
    timeline = build_timeline(
        "v", annotations=annotations((902, BOX, 12, 5), (903, moved(BOX, 0.02), 12, 6))
    )
    assert timeline.persons_at(902.4)[0].box_norm == BOX
    assert timeline.persons_at(902.6)[0].box_norm == moved(BOX, 0.02)


def test_keyframes_two_seconds_apart_are_not_joined():
    timeline = build_timeline(
        "v", annotations=annotations((902, BOX, 12, 5), (904, moved(BOX, 0.2), 12, 5))
    )
    assert timeline.persons_at(902.4)[0].box_norm == BOX
    assert timeline.persons_at(903.0) == []
    # The person keeps number and colour all the same.
    assert timeline.persons[902.0][0].track == timeline.persons[904.0][0].track
    assert timeline.persons[902.0][0].color_index == timeline.persons[904.0][0].color_index


def test_detections_are_joined_by_overlap():
    # IoU of BOX with itself moved by a quarter of its width: 0.75 / 1.25 = 0.6.
    timeline = build_timeline(
        "v",
        detections=detections(
            (902, BOX, 12, 0.9),
            (902, FAR, 12, 0.8),
            (903, FAR, 12, 0.8),
            (903, moved(BOX, 0.05), 12, 0.9),
        ),
    )
    box, far = timeline.persons_at(902.5 - 1e-3)
    assert box.box_norm == pytest.approx(moved(BOX, 0.05 * 0.499))
    assert far.box_norm == pytest.approx(FAR)


def test_detections_that_hardly_overlap_are_other_persons():
    # Moved by 0.15 of a width of 0.2: 0.05 / 0.35 = 0.14.
    timeline = build_timeline(
        "v", detections=detections((902, BOX, 12, 0.9), (903, moved(BOX, 0.15), 12, 0.9))
    )
    assert timeline.persons[902.0][0].track != timeline.persons[903.0][0].track
    assert timeline.persons_at(902.4)[0].box_norm == BOX


def test_annotations_without_person_ids_are_joined_by_overlap_too():
    timeline = build_timeline(
        "v", annotations=annotations((902, BOX, 12, -1), (903, moved(BOX, 0.02), 12, -1))
    )
    assert timeline.persons_at(902.25)[0].box_norm == pytest.approx(moved(BOX, 0.005))


def test_detection_takes_the_colour_of_the_annotation_it_matches():
    timeline = build_timeline(
        "v",
        annotations=annotations((902, BOX, 12, 5), (902, FAR, 12, 6)),
        detections=detections((902, moved(FAR, 0.01), 12, 0.9), (902, (0, 0, 0.1, 0.1), 12, 0.9)),
    )
    _, true_far, found_far, false_box = timeline.persons[902.0]
    assert found_far.color_index == true_far.color_index
    assert found_far.track == true_far.track
    assert false_box.color_index not in {p.color_index for p in timeline.persons[902.0][:3]}


def test_correct_wrong_and_missed_actions():
    timeline = build_timeline(
        "v",
        annotations=annotations((902, BOX, 12, 5), (902, BOX, 80, 5), (902, FAR, 11, 6)),
        detections=detections(
            (902, BOX, 12, 0.9), (902, BOX, 14, 0.5), (902, BOX, 80, 0.1), (902, FAR, 11, 0.2)
        ),
        score_threshold=0.3,
    )
    true_box, true_far, found_box, found_far = timeline.persons[902.0]
    assert found_box.correct_ids == {12, 80}
    assert found_box.missed_ids == (80,)  # its score of 0.1 is not shown
    assert not true_box.shows_labels  # the detection's plate says it all
    # Nothing of the other detection is shown, so the annotation keeps its own plate.
    assert true_far.shows_labels
    assert found_far.missed_ids == ()


def test_false_box_on_an_annotated_keyframe_is_wrong_and_on_another_is_not_judged():
    timeline = build_timeline(
        "v",
        annotations=annotations((902, BOX, 12, 5)),
        detections=detections((902, FAR, 12, 0.9), (903, FAR, 12, 0.9)),
    )
    assert timeline.persons[902.0][1].correct_ids == frozenset()
    assert timeline.persons[903.0][0].correct_ids is None


def test_without_marks_both_have_their_own_plates():
    timeline = build_timeline(
        "v",
        annotations=annotations((902, BOX, 12, 5)),
        detections=detections((902, BOX, 12, 0.9)),
        mark_correct=False,
    )
    true, found = timeline.persons[902.0]
    assert true.shows_labels
    assert found.correct_ids is None


def test_keyframe_without_a_person_shows_none():
    empty = pd.DataFrame({"video_id": ["v", "w"], "timestamp": [903.0, 950.0], "line": [2, 3]})
    timeline = build_timeline(
        "v", annotations=annotations((902, BOX, 12, 5)), empty_keyframes=empty
    )
    assert timeline.timestamps == [902.0, 903.0]
    assert len(timeline.persons_at(902.4)) == 1
    assert timeline.persons_at(902.6) == []


def test_row_order_does_not_matter():
    generator = np.random.default_rng(0)
    rows = [
        (902 + t, moved(BOX, 0.02 * t + 0.3 * p), action, p + 1)
        for t in range(4)
        for p in range(3)
        for action in (12, 80)
    ]
    table = annotations(*rows)
    first = build_timeline("v", annotations=table)
    table = table.iloc[generator.permutation(len(table))]
    second = build_timeline("v", annotations=table)
    for moment in (902, 903.3, 904.6):
        boxes = [
            sorted((p.box_norm, tuple(sorted(p.labels))) for p in timeline.persons_at(moment))
            for timeline in (first, second)
        ]
        assert boxes[0] == boxes[1]


def test_up_to_seven_persons_at_a_time_have_seven_colours():
    rows = [(902, moved((0.0, 0.2, 0.1, 0.8), 0.12 * p), 12, 14 * p) for p in range(7)]
    persons = build_timeline("v", annotations=annotations(*rows)).persons[902.0]
    assert len({person.color_index for person in persons}) == 7


def test_to_drawn_scales_boxes_and_names_actions():
    table = detections((902, BOX, 12, 0.9), (902, BOX, 99, float("nan")))
    (person,) = build_timeline("v", detections=table).persons[902.0]
    (drawn,) = to_drawn([person], height=100, width=200, action_names={12: "stand"})
    assert drawn.box_xyxy_px == pytest.approx((20, 20, 60, 80))
    assert drawn.labels == [("stand", 0.9), ("action 99", None)]
    assert to_drawn([], height=1, width=1, action_names={}) == []


@pytest.mark.parametrize("box", [(0.5, 0.2, 0.3, 0.8), (0.1, 0.2, float("nan"), 0.8)])
def test_box_that_cannot_be_drawn_is_named_with_its_line(box):
    table = detections((902, BOX, 12, 0.9), (903, box, 12, 0.9)).assign(line=[7, 8])
    with pytest.raises(DataError, match=r"line 8: the detection of v at 903 s .* 1 of 2 rows"):
        build_timeline("v", detections=table)
