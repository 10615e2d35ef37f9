import numpy as np
import pytest

from x3d_det.visualization import Caption, DrawnPerson, draw_persons
from x3d_det.visualization import draw as draw_module
from x3d_det.visualization.draw import font_size_px, line_width_px
from x3d_det.visualization.palette import NO_ACTION_COLOR, PERSON_COLORS
from x3d_det.visualization.tiles import Row, plate, text_width_px

SIZES = [(240, 320), (360, 640), (1080, 1920)]


def grey_frame(height=240, width=320, value=90):
    return np.full((height, width, 3), value, np.uint8)


def person(box, *labels, **options):
    return DrawnPerson(box_xyxy_px=box, labels=labels, **options)


def changed(before, after):
    return (before != after).any(axis=2)


@pytest.fixture
def rows_drawn(monkeypatch):
    """The rows of every plate of a drawing, in order."""
    seen = []

    def spy(rows, **options):
        seen.append(rows)
        return plate(rows, **options)

    monkeypatch.setattr(draw_module, "cached_plate", spy)
    return seen


# The box line, worked by hand: at 320 x 240 it is 2 pixels wide and lies inside the box.


def test_line_has_the_colour_and_lies_inside_the_box():
    drawn = draw_persons(grey_frame(), [person((100, 60, 200, 220), ("sit", 0.9))])
    sky_blue = list(PERSON_COLORS[0])
    for y in (120, 140, 160):
        assert drawn[y, 100].tolist() == drawn[y, 101].tolist() == sky_blue
        assert drawn[y, 198].tolist() == drawn[y, 199].tolist() == sky_blue
    for x in (150, 160):
        assert drawn[218, x].tolist() == drawn[219, x].tolist() == sky_blue
        assert drawn[60, x].tolist() == sky_blue


def test_thin_dark_edge_on_both_sides_of_the_line_and_nothing_else():
    before = grey_frame()
    drawn = draw_persons(before, [person((100, 60, 200, 220))])  # no label: no plate
    # 1 pixel outside, 1 pixel of line for a grey person, 1 pixel inside
    mask = changed(before, drawn)
    inside, outside = np.zeros((240, 320), bool), np.zeros((240, 320), bool)
    inside[62:218, 102:198] = True
    outside[59:221, 99:201] = True
    assert not mask[inside].any()
    assert not mask[~outside].any()
    assert (drawn[140, 99] < 90).all()
    assert (drawn[140, 101] < 90).all()


def test_person_without_an_action_is_grey_and_has_no_plate():
    before = grey_frame(value=10)
    low = person((100, 60, 200, 220), ("sit", 0.1), ("stand", 0.29))
    drawn = draw_persons(before, [low], score_threshold=0.3)
    assert drawn[140, 100].tolist() == list(NO_ACTION_COLOR)
    assert not changed(before, drawn)[:59].any()
    # The same person above the threshold has both.
    drawn = draw_persons(before, [low], score_threshold=0.29)
    assert drawn[140, 100].tolist() == list(PERSON_COLORS[0])
    assert changed(before, drawn)[:59].any()


def test_frame_given_stays_as_it_was():
    before = grey_frame()
    copy = before.copy()
    drawn = draw_persons(before, [person((100, 60, 200, 220), ("sit", 0.9))])
    assert (before == copy).all()
    assert drawn is not before


def test_no_person_changes_nothing():
    before = grey_frame()
    assert (draw_persons(before, []) == before).all()


def test_annotation_is_dashed_and_detection_is_not():
    frame = grey_frame()
    box = (100, 30, 200, 230)

    def share_of_colour(kind):
        side = draw_persons(frame, [person(box, ("sit", None), kind=kind)])[60:200, 100]
        return (side == PERSON_COLORS[0]).all(axis=1).mean()

    assert share_of_colour("detection") == 1
    assert share_of_colour("annotation") == pytest.approx(4 / 7, abs=0.08)


def test_annotation_of_the_very_box_of_a_detection_is_seen_inside_it():
    frame = grey_frame()
    box = (100, 30, 200, 230)
    true = person(box, ("sit", None), kind="annotation", person_id=0)
    found = person(box, ("sit", 0.9), person_id=0)
    drawn = draw_persons(frame, [true, found])
    # Solid line at 100 and 101, a dark edge of each line at 102 and 103, dashes at 104 and 105.
    is_color = (drawn[70:190, 100:108] == PERSON_COLORS[0]).all(axis=2)
    assert is_color[:, :2].all()
    assert not is_color[:, [2, 3, 6, 7]].any()
    assert 0.4 < is_color[:, 4].mean() < 0.7


def test_colour_follows_the_person_and_not_the_order():
    first, second = (20, 60, 100, 220), (180, 60, 260, 220)
    persons = [
        person(first, ("sit", 0.9), person_id=3),
        person(second, ("sit", 0.9), person_id=1),
    ]
    for order in (persons, persons[::-1]):
        drawn = draw_persons(grey_frame(), order)
        assert drawn[140, 20].tolist() == list(PERSON_COLORS[3])
        assert drawn[140, 180].tolist() == list(PERSON_COLORS[1])


# Labels


def test_labels_are_sorted_by_score_and_cut_to_top_k(rows_drawn):
    labels = [("walk", 0.4), ("stand", 0.931), ("talk to", 0.7), ("sit", 0.2)]
    draw_persons(grey_frame(), [person((100, 60, 200, 220), *labels)], score_threshold=0.3, top_k=2)
    assert rows_drawn == [(Row("stand", "0.93"), Row("talk to", "0.70"))]


def test_annotations_have_no_score_and_keep_their_order(rows_drawn):
    annotated = person((100, 60, 200, 220), ("walk", None), ("sit", None), kind="annotation")
    draw_persons(grey_frame(), [annotated], score_threshold=0.9)
    assert rows_drawn == [(Row("walk"), Row("sit"))]


def test_ticks_crosses_and_missed_actions(rows_drawn):
    judged = person(
        (100, 60, 200, 220),
        ("walk", 0.4),
        ("stand", 0.9),
        correct_labels={"stand"},
        missed_labels=["talk to"],
    )
    draw_persons(grey_frame(), [judged])
    assert rows_drawn == [
        (Row("stand", "0.90", "tick"), Row("walk", "0.40", "cross"), Row("talk to", "", "ring"))
    ]


def test_more_labels_than_fit_are_counted(rows_drawn):
    labels = [(f"action {i}", 1 - i / 100) for i in range(30)]
    draw_persons(grey_frame(), [person((100, 60, 200, 220), *labels)])
    (rows,) = rows_drawn
    assert rows[0] == Row("action 0", "1.00")
    assert rows[-1] == Row(f"+ {30 - (len(rows) - 1)} more")
    assert len(rows) == 8  # half of 240 pixels, less 2 x 4 of padding, in lines of 14


def test_legend_only_where_both_kinds_are():
    frame = grey_frame()
    found = person((20, 60, 80, 160))
    true = person((120, 60, 180, 160), kind="annotation")
    corner = np.s_[225:240, :120]
    assert not changed(frame, draw_persons(frame, [found]))[corner].any()
    assert changed(frame, draw_persons(frame, [found, true]))[corner].any()
    assert not changed(frame, draw_persons(frame, [found, true], legend=False))[corner].any()


def test_caption_stands_in_the_top_left_corner():
    frame = grey_frame()
    drawn = draw_persons(frame, [], caption=Caption(text="902.40 s", at_keyframe=True))
    mask = changed(frame, drawn)
    assert mask[:25, :100].any()
    assert not mask[30:].any()
    assert not mask[:, 120:].any()
    hollow = draw_persons(frame, [], caption=Caption(text="902.40 s", at_keyframe=False))
    assert (drawn != hollow).any()


def test_captions_of_many_frames_are_not_kept():
    # Each kept one cost a video of 1300 frames half a gigabyte of torn memory.
    kept = draw_module.cached_plate.cache_info().currsize
    for index in range(5):
        draw_persons(grey_frame(), [], caption=Caption(text=f"{index / 30:.2f} s"))
    assert draw_module.cached_plate.cache_info().currsize == kept


# Sizes


def test_letters_and_lines_grow_with_the_picture():
    assert [font_size_px(*size) for size in SIZES] == [11, 14, 28]
    assert [line_width_px(*size) for size in SIZES] == [2, 2, 4]
    assert font_size_px(1920, 1080) == 28  # upright pictures too


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "box_norm", [(0, 0, 1, 1), (0.9, 0.0, 1, 0.2), (0, 0.9, 0.1, 1), (0.95, 0.9, 1.1, 1.2)]
)
def test_plates_lie_whole_inside_the_picture(size, box_norm, monkeypatch):
    height, width = size
    placed = []
    real = draw_module.lay_over

    def spy(frame, tile, *, x_px, y_px):
        placed.append((x_px, y_px, x_px + tile.width, y_px + tile.height))
        real(frame, tile, x_px=x_px, y_px=y_px)

    monkeypatch.setattr(draw_module, "lay_over", spy)
    box = tuple(v * side for v, side in zip(box_norm, (width, height) * 2, strict=True))
    labels = [("text on/look at a cellphone", 0.9), ("talk to", 0.5), ("watch a person", 0.4)]
    draw_persons(grey_frame(height, width), [person(box, *labels)])
    ((x1, y1, x2, y2),) = placed
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height


def test_long_name_ends_in_an_ellipsis_and_fits():
    tile = plate(
        (Row("talk to (e.g., self, a person, a group)", "0.93"),),
        font_size_px=11,
        max_width_px=120,
        color=(0, 0, 0),
        opacity=1.0,
        text_color=(255, 255, 255),
    )
    assert tile.width <= 120
    assert tile.width > 110


def test_text_is_as_wide_as_its_font_says_and_letters_beyond_ascii_are_drawn():
    assert text_width_px("stand", 20) < text_width_px("stand up", 20)
    assert text_width_px("", 20) == 0
    tiles = [
        plate(
            (Row(text),),
            font_size_px=20,
            max_width_px=300,
            color=(0, 0, 0),
            opacity=0.0,
            text_color=(255, 255, 255),
        ).opacity_HW1
        for text in ("été", "öté")
    ]
    # With a font that lacks them, both would show the same empty boxes.
    assert tiles[0].shape != tiles[1].shape or (tiles[0] != tiles[1]).any()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 16)])
def test_tiny_frames_do_not_fail(size):
    drawn = draw_persons(
        grey_frame(*size),
        [person((0, 0, size[1], size[0]), ("sit", 0.9)), person((0, 0, 0, 0), ("sit", 0.9))],
        caption=Caption(text="1 s"),
    )
    assert drawn.shape == (*size, 3)


@pytest.mark.parametrize("box", [(-50, 60, -10, 90), (400, 60, 500, 90), (10, 300, 60, 400)])
def test_box_outside_the_picture_is_not_drawn(box):
    frame = grey_frame()
    assert (draw_persons(frame, [person(box, ("sit", 0.9))]) == frame).all()


def test_box_across_the_edge_is_cut_and_its_line_still_seen():
    drawn = draw_persons(grey_frame(), [person((-30, 60, 100, 400), ("sit", 0.9))])
    assert drawn[150, 0].tolist() == list(PERSON_COLORS[0])
    assert drawn[239, 50].tolist() == list(PERSON_COLORS[0])


def test_point_box_is_drawn_large_enough_to_be_seen():
    frame = grey_frame()
    mask = changed(frame, draw_persons(frame, [person((100, 100, 100, 100))]))
    assert mask[99:105, 99:105].sum() >= 16


def test_two_persons_at_one_place_have_plates_apart(monkeypatch):
    placed = []
    real = draw_module.rect_of

    def spy(corner, size):
        placed.append(real(corner, size))
        return placed[-1]

    monkeypatch.setattr(draw_module, "rect_of", spy)
    box = (100, 60, 200, 220)
    draw_persons(grey_frame(), [person(box, ("sit", 0.9)), person(box, ("sit", 0.8))])
    first, second = placed
    assert (
        first[2] <= second[0]
        or second[2] <= first[0]
        or (first[3] <= second[1] or second[3] <= first[1])
    )


# Errors


@pytest.mark.parametrize(
    "frame",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)],
)
def test_wrong_frame_is_named(frame):
    with pytest.raises(ValueError, match=r"must be \(H, W, 3\) and uint8"):
        draw_persons(frame, [])


@pytest.mark.parametrize(
    "box", [(10, 10, 5, 20), (10, 10, 20, 5), (float("nan"), 0, 1, 1), (0, 0, float("inf"), 1)]
)
def test_wrong_box_is_named(box):
    with pytest.raises(ValueError, match=r"persons\[1\]\.box_xyxy_px is \("):
        draw_persons(grey_frame(), [person((1, 1, 2, 2)), person(box)])


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="top_k is 0"):
        draw_persons(grey_frame(), [], top_k=0)
    with pytest.raises(ValueError, match="kind is 'guess'; allowed"):
        draw_persons(grey_frame(), [person((1, 1, 2, 2), kind="guess")])


# Tags: the number of a person, in the corner of the box


def test_a_tag_lies_in_the_corner_of_its_box_and_nowhere_else():
    box = (100, 60, 200, 220)
    before, after = (
        draw_persons(grey_frame(), [person(box, ("sit", 0.9), tag=tag)]) for tag in (None, "12")
    )
    rows, columns = np.nonzero(changed(before, after))
    assert (rows.min(), columns.min()) == (60, 100)
    assert rows.max() < 60 + 24
    assert columns.max() < 100 + 30


def test_a_person_without_an_action_has_a_grey_tag():
    drawn = draw_persons(grey_frame(), [person((100, 60, 200, 220), tag="3")])
    tag = drawn[60:80, 100:116].reshape(-1, 3)
    assert (np.abs(tag.astype(int) - NO_ACTION_COLOR).max(axis=1) < 12).sum() > 60
    assert (drawn[100:200, 110:190] == 90).all(), "and no plate"


def test_a_plate_keeps_off_the_tag(rows_drawn):
    # A box as large as the picture leaves its plate no place but inside.
    frame = grey_frame()
    drawn = draw_persons(frame, [person((0, 0, 320, 240), ("sit", 0.9), tag="7")])
    alone = draw_persons(frame, [person((0, 0, 320, 240), tag="7")])
    assert [rows[0].text for rows in rows_drawn] == ["7", "sit", "7"]
    colored = draw_persons(frame, [person((0, 0, 320, 240), ("sit", 0.9))])
    corner = np.s_[3:14, 3:14]
    assert changed(colored, drawn)[corner].any(), "the tag is not hidden"
    assert changed(frame, alone)[corner].any()


@pytest.mark.parametrize("box", [(310, 230, 320, 240), (0, 0, 2, 2), (-50, -50, 10, 10)])
def test_a_tag_of_any_box_is_inside_the_picture(box, rows_drawn):
    before, after = (
        draw_persons(grey_frame(), [person(box, tag=tag)]) for tag in (None, "a very long name" * 9)
    )
    rows, columns = np.nonzero(changed(before, after))
    assert np.ptp(columns) < 160
    assert 0 < np.ptp(rows) < 24
