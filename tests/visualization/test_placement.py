import pytest

from x3d_det.visualization.placement import PlateMemory, place_plate, rect_of

PICTURE = (360, 640)


def place(plate_size, box, taken=(), other_boxes=(), **options):
    corner = place_plate(
        plate_size,
        box,
        picture_size=PICTURE,
        taken=list(taken),
        other_boxes=list(other_boxes),
        **options,
    )
    return rect_of(corner, plate_size)


def overlap_px(first, second):
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)


def test_free_space_above_is_taken_first():
    # 40 high, 2 pixels above the box's top at 100, flush with its left at 200.
    assert place((40, 100), (200, 100, 300, 300)) == (200, 58, 300, 98)


def test_box_at_the_top_has_its_plate_beside():
    assert place((40, 100), (200, 0, 300, 300)) == (302, 0, 402, 40)


def test_plate_at_the_right_edge_is_moved_into_the_picture():
    assert place((40, 100), (600, 100, 640, 300)) == (540, 58, 640, 98)


def test_whole_picture_box_keeps_the_head_free():
    x1, y1, x2, y2 = place((60, 150), (0, 0, 640, 360))
    assert (x1, y1) >= (0, 0)
    assert x2 <= 640
    assert y2 <= 360
    # The head is taken to be in the middle of the upper 30 %.
    assert overlap_px((x1, y1, x2, y2), (128, 0, 512, 108)) == 0


def test_second_plate_goes_below_when_asked():
    assert place((40, 100), (200, 100, 300, 300), below_first=True) == (200, 302, 300, 342)


def test_plate_flees_from_a_plate_that_lies_already():
    first = place((40, 100), (200, 100, 300, 300))
    second = place((40, 100), (210, 100, 310, 300), taken=[first])
    assert overlap_px(first, second) == 0


def test_plate_leaves_another_head_free():
    other = (180, 20, 320, 320)
    rect = place((40, 100), (200, 70, 300, 300), other_boxes=[other])
    assert overlap_px(rect, (208, 20, 292, 110)) == 0


@pytest.mark.parametrize("num_persons", [4, 9, 16])
def test_plates_of_a_crowd_lie_inside_and_apart(num_persons):
    taken = []
    boxes = [(30 * i, 100 + 5 * i, 30 * i + 80, 340) for i in range(num_persons)]
    for index, box in enumerate(boxes):
        rect = place((50, 110), box, taken=taken, other_boxes=boxes[:index] + boxes[index + 1 :])
        assert 0 <= rect[0] <= rect[2] <= 640
        assert 0 <= rect[1] <= rect[3] <= 360
        assert all(overlap_px(rect, other) == 0 for other in taken)
        taken.append(rect)


def test_plate_larger_than_the_picture_starts_in_the_corner():
    assert place((500, 900), (200, 100, 300, 300))[:2] == (0, 0)


def test_memory_keeps_the_place_while_it_is_nearly_as_good():
    memory = PlateMemory()
    size = (40, 100)
    # There is no room above a box at 30, so the plate goes to its right ...
    before = place(size, (200, 30, 300, 300), key=1, memory=memory)
    assert before[0] == 302
    # ... and stays there when the box moves down by 20; without memory it would go above.
    assert place(size, (200, 50, 300, 320), key=1, memory=memory)[0] == 302
    assert place(size, (200, 50, 300, 320))[0] == 200
