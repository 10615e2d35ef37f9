import numpy as np
import pandas as pd
import pytest
from PIL import Image

from x3d_det.errors import DataError, X3DDetError
from x3d_det.visualization import (
    build_timeline,
    contact_sheet,
    keyframe_sheet,
    motion_strip,
    save_png,
)
from x3d_det.visualization.contact_sheet import evenly_chosen, scaled_to_width


def picture(value, height=40, width=60):
    return np.full((height, width, 3), value, np.uint8)


def test_sheet_of_five_in_three_columns():
    values = [50, 90, 130, 170, 210]
    sheet = contact_sheet([picture(v) for v in values], num_columns=3)
    # Gaps of 8 round cells of 60 x 40: 3 columns, 2 rows.
    assert sheet.shape == (2 * 48 + 8, 3 * 68 + 8, 3)
    for index, value in enumerate(values):
        y, x = 8 + index // 3 * 48, 8 + index % 3 * 68
        assert (sheet[y : y + 40, x : x + 60] == value).all()
    assert (sheet[56:, 8 + 2 * 68 :] == sheet[0, 0]).all()  # the sixth cell is empty


def test_captions_stand_below_their_pictures():
    sheet = contact_sheet([picture(90), picture(90)], ["0902", ""], num_columns=2)
    plain = contact_sheet([picture(90), picture(90)], num_columns=2)
    assert sheet.shape[0] > plain.shape[0]
    below = sheet[8 + 40 : -8]
    assert (below[:, :68] > 200).any()  # light letters on dark
    assert not (below[:, 76:] > 200).any()


def test_title_is_written_above():
    sheet = contact_sheet([picture(90)], title="-5KQ66BBWC4")
    plain = contact_sheet([picture(90)])
    assert sheet.shape[0] > plain.shape[0]
    assert sheet.shape[1] == plain.shape[1]
    assert (sheet[: sheet.shape[0] - plain.shape[0]] > 200).any()


def test_pictures_of_several_sizes_get_one_width():
    sheet = contact_sheet([picture(90), picture(90, 80, 30)], num_columns=2)
    assert sheet.shape == (160 + 16, 2 * 68 + 8, 3)  # 30 x 80 becomes 60 x 160
    assert contact_sheet([picture(90)], cell_width_px=30).shape == (20 + 16, 30 + 16, 3)


def test_more_columns_than_pictures():
    assert contact_sheet([picture(90)], num_columns=9).shape == (56, 76, 3)


def test_sheet_is_wider_than_high_by_itself():
    height, width, _ = contact_sheet([picture(90, 36, 64)] * 12).shape
    assert 1.0 <= width / height <= 2.0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([],), "at least one picture"),
        (([picture(1)], ["a", "b"]), "2 captions for 1 pictures"),
        (([picture(1)], None), "num_columns is 0"),
    ],
)
def test_errors_of_a_sheet(arguments, text):
    with pytest.raises(ValueError, match=text):
        contact_sheet(*arguments, num_columns=0 if "columns" in text else 2)


def test_evenly_chosen():
    assert evenly_chosen(9, 3) == [0, 4, 8]
    assert evenly_chosen(3, 9) == [0, 1, 2]
    assert evenly_chosen(9, 1) == [4]
    assert evenly_chosen(0, 4) == []
    for num_items in range(2, 30):
        for num_chosen in range(2, num_items):
            chosen = evenly_chosen(num_items, num_chosen)
            assert len(set(chosen)) == num_chosen
            assert (chosen[0], chosen[-1]) == (0, num_items - 1)


def test_motion_strip_shows_first_and_last_frame():
    frames = np.stack([picture(10 * i) for i in range(10)])
    strip = motion_strip(frames, num_frames=4, cell_height_px=40)
    assert strip.shape == (40, 4 * 60 + 3 * 2, 3)
    assert [int(strip[20, 62 * i, 0]) for i in range(4)] == [0, 30, 60, 90]
    assert motion_strip(frames[:1], cell_height_px=20).shape == (20, 30, 3)
    for wrong in ((frames[:0], 4), (frames, 0)):
        with pytest.raises(ValueError, match="motion strip"):
            motion_strip(wrong[0], num_frames=wrong[1])


def test_scaling_keeps_the_shape():
    assert scaled_to_width(picture(7, 30, 60), 120).shape == (60, 120, 3)
    same = picture(7)
    assert scaled_to_width(same, 60) is same


def annotated(seconds):
    rows = [("v", float(s), 0.2, 0.2, 0.6, 0.9, 12, 1) for s in seconds]
    columns = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id"]
    return pd.DataFrame(rows, columns=columns)


def sheet_of(source, timeline, **options):
    return keyframe_sheet(
        source, timeline, action_names={12: "stand"}, video_start_seconds=900.0, **options
    )


def test_keyframe_sheet_shows_the_keyframes_of_the_video(make_video):
    source = make_video(num_frames=30)  # 3 seconds; frame i has the grey 40 + 2 i
    timeline = build_timeline("v", annotations=annotated([900, 901, 902, 950]))
    sheet = sheet_of(source, timeline, num_columns=3, cell_width_px=128)
    assert sheet.shape == (96 + 16, 3 * 136 + 8, 3)
    for index, grey in enumerate((40, 60, 80)):
        corner = sheet[8 + 90, 8 + 136 * index + 120]  # off box and plates
        assert np.abs(corner.astype(int) - grey).max() <= 3
    # At most as many as asked for, evenly chosen; and of a part only.
    assert sheet_of(source, timeline, num_keyframes=2, cell_width_px=128).shape[0] > 112
    assert sheet_of(source, timeline, end_seconds=901, cell_width_px=128).shape == (112, 144, 3)


def test_keyframes_without_a_person_are_shown_only_where_no_others_are(make_video):
    empty = pd.DataFrame({"video_id": ["v"], "timestamp": [901.0]})
    source = make_video()
    both = build_timeline("v", annotations=annotated([900]), empty_keyframes=empty)
    alone = build_timeline("v", annotations=annotated([]), empty_keyframes=empty)
    for timeline in (both, alone):
        assert sheet_of(source, timeline, cell_width_px=128).shape == (112, 144, 3)


def test_no_keyframe_is_an_error(make_video):
    timeline = build_timeline("v", annotations=annotated([950, 951]))
    with pytest.raises(DataError, match=r"2 were given, none .* starts at second 900"):
        sheet_of(make_video(), timeline)


def test_png_is_what_was_given(tmp_path):
    sheet = contact_sheet([picture(90), picture(30)])
    path = save_png(sheet, tmp_path / "new" / "sheet.png")
    with Image.open(path) as image:
        assert (np.asarray(image) == sheet).all()
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(X3DDetError, match="taken"):
        save_png(sheet, tmp_path / "taken.png")
