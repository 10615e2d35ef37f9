"""Which boxes a keyframe has, and which actions."""

import numpy as np
import pytest
from ava_files import annotation_rows, keyframe_rows, proposal_rows

from x3d_det.data.proposals import check_action_ids, evaluation_boxes, training_boxes
from x3d_det.errors import DataError
from x3d_det.keyframes import Keyframe

A, B = (0.1, 0.1, 0.4, 0.9), (0.5, 0.1, 0.9, 0.9)
NEAR_A = (0.1, 0.1, 0.41, 0.9)  # IoU 0.3 / 0.31 = 0.968
OFF_A = (0.1, 0.1, 0.5, 0.9)  # IoU 0.3 / 0.4 = 0.75

ANNOTATIONS = annotation_rows(
    ("b", 903, *A, 12),
    ("b", 902, *B, 5),
    ("b", 902, *A, 3),
    ("-a", 1000.5, *A, 80),
    ("b", 902, *B, 1),  # a row of B again, after one of A
    ("b", 902, *B, 5),  # and the same action twice
)


def contents(table, num_classes=80):
    """Return {keyframe: [(box, score, action ids)]} by the public reads."""
    return {
        table.keyframe(index): [
            (tuple(box), score, (np.flatnonzero(row) + 1).tolist())
            for box, score, row in zip(
                table.boxes(index),
                table.person_scores(index),
                table.targets(index, num_classes),
                strict=True,
            )
        ]
        for index in range(len(table))
    }


def test_rows_become_boxes_and_keyframes():
    table, counts = training_boxes(ANNOTATIONS)
    assert list(contents(table)) == [Keyframe("-a", 1000.5), Keyframe("b", 902), Keyframe("b", 903)]
    assert contents(table)[Keyframe("b", 902)] == [(B, 1.0, [1, 5]), (A, 1.0, [3])]
    assert contents(table)[Keyframe("-a", 1000.5)] == [(A, 1.0, [80])]
    assert (counts.num_keyframes, counts.num_boxes) == (3, 4)
    assert counts.lines() == ["3 keyframes with 4 person boxes"]


def test_boxes_are_grouped_exactly():
    # three decimals as text: 0.1 and 0.1004 are two people, 0.1 and 0.100 one
    table, _ = training_boxes(
        annotation_rows(
            ("a", 902, *A, 1), ("a", 902, 0.1004, *A[1:], 2), ("a", 902, float("0.100"), *A[1:], 3)
        )
    )
    actions = [ids for _, _, ids in contents(table)[Keyframe("a", 902)]]
    assert actions == [[1, 3], [2]]


DETECTED = proposal_rows(
    ("b", 902, *NEAR_A, 0.95),
    ("b", 902, *OFF_A, 0.9),
    ("b", 902, *B, 0.5),
    ("b", 904, *A, 0.99),  # a keyframe without annotations
)


def test_detected_boxes_take_the_actions_of_their_match():
    table, counts = training_boxes(ANNOTATIONS, DETECTED, score_threshold=0.8)
    expected = [(B, 1.0, [1, 5]), (A, 1.0, [3]), (NEAR_A, 0.95, [3])]
    assert contents(table)[Keyframe("b", 902)] == expected
    assert Keyframe("b", 904) not in contents(table)
    assert (counts.num_below_threshold, counts.num_unmatched) == (1, 1)


def test_detected_boxes_without_a_match_as_negatives():
    table, _ = training_boxes(ANNOTATIONS, DETECTED, include_negatives=True)
    assert contents(table)[Keyframe("b", 902)][2:] == [(NEAR_A, 0.95, [3]), (OFF_A, 0.9, [])]
    # and with a lower bar they take the actions after all
    table, _ = training_boxes(ANNOTATIONS, DETECTED, positive_iou=0.7)
    assert contents(table)[Keyframe("b", 902)][3] == (OFF_A, 0.9, [3])


def test_evaluation_scores_detected_boxes_wherever_they_are():
    table, counts = evaluation_boxes(ANNOTATIONS, DETECTED, score_threshold=0.9)
    found = contents(table)
    assert list(found) == [Keyframe("b", 902), Keyframe("b", 904)]
    assert found[Keyframe("b", 902)] == [(NEAR_A, 0.95, []), (OFF_A, 0.9, [])]
    assert (counts.num_below_threshold, counts.num_keyframes_without_boxes) == (1, 2)
    assert "2 annotated keyframes without a box" in counts.lines()


def test_evaluation_on_annotated_boxes():
    table, counts = evaluation_boxes(ANNOTATIONS)
    assert contents(table) == contents(training_boxes(ANNOTATIONS)[0])
    assert counts.num_keyframes_without_boxes == 0


def test_excluded_keyframes_leave():
    excluded = keyframe_rows(("b", 902), ("zz", 1))
    table, counts = evaluation_boxes(ANNOTATIONS, DETECTED, exclusions=excluded)
    assert list(contents(table)) == [Keyframe("b", 904)]
    assert (counts.num_excluded, counts.num_keyframes_without_boxes) == (1, 2)
    table, counts = training_boxes(ANNOTATIONS, exclusions=excluded)
    assert list(contents(table)) == [Keyframe("-a", 1000.5), Keyframe("b", 903)]
    assert contents(table)[Keyframe("b", 903)] == [(A, 1.0, [12])]
    assert counts.num_excluded == 1


def test_row_order_does_not_matter_to_the_content():
    shuffled = ANNOTATIONS.sample(frac=1, random_state=0)
    first, second = (contents(training_boxes(rows)[0]) for rows in (ANNOTATIONS, shuffled))
    assert {k: sorted(v) for k, v in first.items()} == {k: sorted(v) for k, v in second.items()}


def test_against_a_slow_loop():
    rng = np.random.default_rng(0)
    rows = [
        (
            f"v{rng.integers(3)}",
            float(rng.integers(902, 906)),
            *rng.choice([0.1, 0.2], 2).tolist(),
            *rng.choice([0.8, 0.9], 2).tolist(),
            int(rng.integers(1, 81)),
        )
        for _ in range(300)
    ]
    slow: dict = {}
    for video_id, second, *box, action in rows:
        boxes = slow.setdefault(Keyframe(video_id, second), {})
        boxes.setdefault(tuple(box), set()).add(action)
    found = contents(training_boxes(annotation_rows(*rows))[0])
    assert list(found) == sorted(slow)
    for keyframe, boxes in slow.items():
        expected = [(box, 1.0, sorted(ids)) for box, ids in boxes.items()]
        assert found[keyframe] == expected


def test_empty_tables():
    table, counts = training_boxes(annotation_rows())
    assert (len(table), table.num_boxes, counts.num_keyframes) == (0, 0, 0)
    table, counts = evaluation_boxes(ANNOTATIONS, proposal_rows())
    assert (len(table), counts.num_keyframes_without_boxes) == (0, 3)
    assert len(training_boxes(annotation_rows(), DETECTED)[0]) == 0


def test_action_ids_beyond_the_model():
    table, _ = training_boxes(ANNOTATIONS)
    check_action_ids(table, num_classes=80, path="a.csv")
    with pytest.raises(
        DataError, match=r"a\.csv: action ids 12, 80 \(first at -a,1000\.500000\) .*10"
    ):
        check_action_ids(table, num_classes=10, path="a.csv")
