"""CVAT's exports into AVA form: both formats, both ways to name actions."""

import zipfile

import pytest
from cvat_files import (
    IMAGES,
    WALK_RUN,
    attribute_xml,
    box_xml,
    error_of,
    export_xml,
    fps_of,
    label_xml,
    read_export,
    task_xml,
    track_xml,
    value_xml,
)
from imported_rows import rows_of

from x3d_det.formats.exports.cvat import read_cvat
from x3d_det.formats.exports.imported import ImportOptions
from x3d_det.io.ava_csv import read_annotations, write_annotations
from x3d_det.io.label_map import LabelMap

# Worked by hand


def test_each_label_an_action_with_every_frame_written(tmp_path):
    # 30 frames a second: keyframes are frames 0, 30 and 60. The box moves 1 pixel a frame
    # from frame 25 to 59 (each frame written), so at frame 30 it has moved 5 pixels.
    moving = [
        box_xml(f, (10 + f - 25, 20, 50 + f - 25, 60), key=int(f == 25)) for f in range(25, 60)
    ]
    imported = read_export(tmp_path, export_xml(task_xml(WALK_RUN), track_xml(3, "run", *moving)))
    assert rows_of(imported) == [["clip", 1.0, 15 / 200, 0.2, 55 / 200, 0.6, 2, 3]]
    assert dict(imported.label_map.names) == {1: "walk", 2: "run"}
    empty = imported.annotations.empty_keyframes
    assert empty.to_numpy().tolist() == [["clip", 0.0, 2], ["clip", 2.0, 3]]
    assert imported.annotations.rows["line"].tolist() == [1]
    assert imported.notes == ("annotated keyframes without a person, listed as empty: 2",)


def test_keyframes_alone_are_interpolated_and_reach_the_end(tmp_path):
    # From (0, 0, 40, 40) at frame 20 to (40, 20, 80, 60) at frame 60, with no frame between
    # written: at frame 30 a quarter of the way, (10, 5, 50, 45). The second track leaves
    # frames out as well, is outside from frame 35 on and so is not there at frame 60; the
    # third stands still from frame 15 to the end of the task.
    body = (
        track_xml(0, "walk", box_xml(20, (0, 0, 40, 40)), box_xml(60, (40, 20, 80, 60)))
        + track_xml(
            1, "walk", box_xml(20, (0, 0, 40, 40)), box_xml(35, (99, 0, 199, 40), outside=1)
        )
        + track_xml(2, "run", box_xml(0, (0, 0, 20, 20)), box_xml(15, (20, 0, 40, 20)))
    )
    rows = rows_of(read_export(tmp_path, export_xml(task_xml(WALK_RUN), body)))
    assert [[*row[1:2], *(v * 200 for v in row[2:6:2]), row[7]] for row in rows] == [
        [0.0, 0.0, 20.0, 2],
        [1.0, 10.0, 50.0, 0],
        [1.0, 0.0, 40.0, 1],
        [1.0, 20.0, 40.0, 2],
        [2.0, 40.0, 80.0, 0],
        [2.0, 20.0, 40.0, 2],
    ]
    assert rows[1][3] == pytest.approx(0.05)


def test_a_track_of_written_frames_ends_with_its_last_box(tmp_path):
    # Every frame is there, the last at 31: CVAT would have written frame 32, had it gone on.
    boxes = [box_xml(f, (0, 0, 40, 40)) for f in (29, 30, 31)]
    rows = rows_of(
        read_export(tmp_path, export_xml(task_xml(WALK_RUN), track_xml(0, "walk", *boxes)))
    )
    assert [row[1] for row in rows] == [1.0]


def test_gap_of_an_absent_person_does_not_make_keyframes_alone(tmp_path):
    # Frames 29 to 30, absent from 31, back at 40 and 41: every present frame is written.
    boxes = [
        *(
            box_xml(29, (0, 0, 40, 40)),
            box_xml(30, (0, 0, 40, 40)),
            box_xml(31, (0, 0, 40, 40), outside=1),
        ),
        *(box_xml(40, (0, 0, 40, 40)), box_xml(41, (0, 0, 40, 40))),
    ]
    rows = rows_of(
        read_export(tmp_path, export_xml(task_xml(WALK_RUN), track_xml(0, "walk", *boxes)))
    )
    assert [row[1] for row in rows] == [1.0]


def test_start_frame_and_frame_step_count_as_the_video_does(tmp_path):
    # The task shows frames 100, 110, ... 160 of a video of 25 a second: seconds 4 to 6.4.
    # Second 5 is frame 125, halfway between 120 and 130; second 6 is frame 150 itself.
    task = task_xml(WALK_RUN, extra="<frame_filter>step=10</frame_filter>").replace(
        "<start_frame>0</start_frame><stop_frame>60",
        "<start_frame>100</start_frame><stop_frame>160",
    )
    boxes = [box_xml(f, (f - 100, 0, f - 60, 40)) for f in range(100, 161, 10)]
    rows = rows_of(
        read_export(tmp_path, export_xml(task, track_xml(0, "walk", *boxes)), fps=fps_of(25))
    )
    assert [(row[1], row[2] * 200) for row in rows] == [(4.0, 0.0), (5.0, 25.0), (6.0, 50.0)]


def test_a_rate_that_is_no_whole_number_takes_the_nearest_frame(tmp_path):
    # 29.97: second 1 is frame 29.97, shown by frame 30, where the person comes in.
    body = track_xml(0, "walk", box_xml(30, (0, 0, 40, 40)), box_xml(31, (0, 0, 40, 40)))
    imported = read_export(tmp_path, export_xml(task_xml(WALK_RUN), body), fps=fps_of(30000 / 1001))
    assert [row[1] for row in rows_of(imported)] == [1.0]


def test_interval_and_start_of_the_film(tmp_path):
    boxes = [box_xml(f, (f, 0, f + 40, 40)) for f in range(61)]
    text = export_xml(task_xml(WALK_RUN), track_xml(0, "walk", *boxes))
    rows = rows_of(
        read_export(tmp_path, text, keyframe_interval_seconds=0.5, video_start_seconds=900)
    )
    assert [(row[1], row[2] * 200) for row in rows] == [
        *((900.0, 0.0), (900.5, 15.0), (901.0, 30.0), (901.5, 45.0), (902.0, 60.0))
    ]
    every = rows_of(read_export(tmp_path, text, keyframe_interval_seconds=0))
    assert [row[1] for row in every] == [round(f / 30, 6) for f in range(61)]


def test_person_with_checkboxes(tmp_path):
    person = label_xml(
        "person",
        attribute_xml("stand", "checkbox", "false"),
        attribute_xml("track_id", "text"),
        attribute_xml("talk to", "checkbox", "false"),
        attribute_xml("age", "number"),
    )
    stand_talk = value_xml("stand", "true") + value_xml("talk to", "true")
    body = track_xml(
        5,
        "person",
        box_xml(0, (0, 0, 20, 20), inside=stand_talk),
        # an attribute that the next box does not state holds on
        box_xml(30, (0, 0, 20, 20), inside=value_xml("stand", "false")),
        box_xml(60, (0, 0, 20, 20), inside=value_xml("talk to", "false")),
    ) + track_xml(6, "car", box_xml(0, (0, 0, 90, 90)), box_xml(1, (0, 0, 90, 90)))
    imported = read_export(tmp_path, export_xml(task_xml(person + label_xml("car")), body))
    assert [(row[1], row[6]) for row in rows_of(imported)] == [(0.0, 1), (0.0, 2), (1.0, 2)]
    assert dict(imported.label_map.names) == {1: "stand", 2: "talk to"}
    assert imported.notes == (
        "boxes without an action, left out: 1",
        "boxes of other labels than persons, left out: 1",
    )


def test_person_with_a_select(tmp_path):
    values = "__undefined__\nsit\nlie &amp; sleep"
    person = label_xml(
        "player", attribute_xml("action", "select", values), attribute_xml("x", "text")
    )
    chosen = [value_xml("action", v) for v in ("sit", "__undefined__", "lie &amp; sleep")]
    boxes = [box_xml(30 * i, (0, 0, 20, 20), inside=value) for i, value in enumerate(chosen)]
    imported = read_export(tmp_path, export_xml(task_xml(person), track_xml(0, "player", *boxes)))
    assert [(row[1], row[6]) for row in rows_of(imported)] == [(0.0, 1), (2.0, 2)]
    assert dict(imported.label_map.names) == {1: "sit", 2: "lie & sleep"}


def test_free_text_and_label_map(tmp_path):
    person = label_xml("person", attribute_xml("doing", "text"), attribute_xml("note", "text"))
    text = value_xml("doing", "watch (e.g., TV), sit;walk")
    body = track_xml(
        0, "person", box_xml(0, (0, 0, 20, 20), inside=text), box_xml(1, (0, 0, 20, 20))
    )
    xml = export_xml(task_xml(person), body)
    assert "2 attributes that could hold actions ('doing', 'note')" in error_of(tmp_path, xml)
    label_map = LabelMap({7: "walk", 11: "sit", 60: "watch (e.g., TV)"})
    imported = read_export(tmp_path, xml, action_attribute="doing", label_map=label_map)
    assert [row[6] for row in rows_of(imported)] == [60, 11, 7]
    assert imported.label_map is label_map
    found = error_of(tmp_path, xml, action_attribute="doing", label_map=LabelMap({1: "wallk"}))
    assert (
        "F:5: action 'walk' (1 boxes in all) is not in the label map; did you mean wallk?" in found
    )
    assert len(found.splitlines()) == 3
    own = read_export(tmp_path, xml, action_attribute="doing")
    assert dict(own.label_map.names) == {1: "watch (e.g., TV)", 2: "sit", 3: "walk"}


def test_options_that_the_labels_do_not_have(tmp_path):
    person = label_xml("worker", attribute_xml("task", "select", "dig\nrest")) + label_xml("truck")
    body = track_xml(0, "worker", box_xml(0, (0, 0, 9, 9), inside=value_xml("task", "rest")))
    xml = export_xml(task_xml(person), body)
    assert [row[6] for row in rows_of(read_export(tmp_path, xml))] == [1]  # the label is the action
    assert [row[6] for row in rows_of(read_export(tmp_path, xml, person_label="worker"))] == [2]
    found = error_of(tmp_path, xml, person_label="wroker")
    assert "F:4: there is no label 'wroker'; did you mean worker?" in found
    found = error_of(tmp_path, xml, person_label="worker", action_attribute="tsk")
    assert "no attribute 'tsk' for actions (it has: 'task'); did you mean task?" in found


def test_rotated_outside_and_other_shapes(tmp_path):
    # A box of 40 x 20 round (60, 50), turned by 90 degrees, lies in one of 20 x 40.
    turned = box_xml(0, (40, 40, 80, 60)).replace("z_order", 'rotation="90.00" z_order')
    body = (
        track_xml(0, "walk", turned)
        + track_xml(1, "walk", box_xml(0, (-30, -3, 20, 50)))
        + track_xml(2, "walk", box_xml(0, (300, 0, 320, 50)))
        + track_xml(3, "walk", box_xml(0, (-0.5, 0, 20, 50)))
        + '<track id="4" label="walk"><polygon frame="0" points="1,2;3,4"/></track>'
    )
    imported = read_export(tmp_path, export_xml(task_xml(WALK_RUN), body))
    rows = [
        [round(v * s, 6) for v, s in zip(row[2:6], (200, 100) * 2, strict=True)]
        for row in rows_of(imported)
    ]
    assert rows == [[50, 30, 70, 70], [0, 0, 20, 50], [0, 0, 20, 50]]
    assert imported.notes[:4] == (
        "rotated boxes, replaced by the upright box round them: 1",
        "boxes more than a pixel over the edge of the picture, clipped to it: 1",
        "boxes with nothing inside the picture, left out: 1",
        "shapes that are no boxes (polygon), left out: 1",
    )


def test_repeated_boxes_and_labels_without_a_name(tmp_path):
    box = '<box label="run" xtl="0" ytl="0" xbr="20" ybr="20"/>'
    image = (
        f'<image id="0" name="frame_000000" width="200" height="100">{box}{box}'
        '<box label="" xtl="0" ytl="0" xbr="9" ybr="9"/></image>'
    )
    imported = read_export(tmp_path, export_xml(task_xml(WALK_RUN), image))
    assert len(rows_of(imported)) == 1
    assert imported.notes == (
        "rows that repeat another in full, left out: 1",
        "boxes without an action, left out: 1",
    )


def test_project_of_two_videos(tmp_path):
    tasks = task_xml(source="a.mp4") + task_xml(source="b.mkv").replace("<id>7", "<id>8")
    tasks += task_xml(source="c.mkv").replace("<id>7", "<id>9")
    meta = f"<project><id>1</id><tasks>{tasks}</tasks><labels>{WALK_RUN}</labels></project>"
    body = track_xml(0, "walk", box_xml(0, (0, 0, 20, 20)), more=' task_id="7" subset="default"')
    body += track_xml(1, "run", box_xml(25, (0, 0, 20, 20)), more=' task_id="8" subset="default"')
    rates = {"a": 30, "b": 25}
    imported = read_export(tmp_path, export_xml(meta, body), fps=rates.__getitem__)
    assert [row[:2] + row[6:] for row in rows_of(imported)] == [["a", 0.0, 1, 0], ["b", 1.0, 2, 1]]
    assert imported.notes[0] == "tasks without a box, left out: 1"
    found = error_of(tmp_path, export_xml(meta, body), video_id="z")
    assert "a second video, 'b' after 'a', and one video id (z) was given" in found
    found = error_of(tmp_path, export_xml(meta, body.replace('task_id="8"', 'task_id="5"')))
    assert "F:6: <track> is of task '5', but <meta> lists the tasks 7, 8, 9" in found


def test_job_and_version_1_0(tmp_path):
    meta = (
        "<job><id>3</id><size>31</size><labels><label><name>person</name><attributes>"
        "<attribute>~radio=action:sit,stand</attribute></attributes></label></labels></job>"
        "<source>folder/clip.mp4</source>"
    )
    body = track_xml(0, "person", box_xml(30, (0, 0, 20, 20), inside=value_xml("action", "stand")))
    sizes = {"clip": (100, 200)}
    imported = read_export(tmp_path, export_xml(meta, body), frame_size=sizes.__getitem__)
    assert [row[:2] + row[4:7] for row in rows_of(imported)] == [["clip", 1.0, 0.1, 0.2, 2]]
    assert imported.annotations.empty_keyframes["timestamp"].tolist() == [0.0]
    found = error_of(tmp_path, export_xml(meta, body))
    assert "does not state the frame size of video clip; give it with --frame-size" in found


def test_images(tmp_path):
    imported = read_export(tmp_path, export_xml(task_xml(WALK_RUN), IMAGES))
    assert rows_of(imported) == [
        ["clip", 0.0, 0.0, 0.0, 0.1, 0.2, 2, -1],
        ["clip", 1.0, 0.0, 0.0, 0.05, 0.2, 1, -1],
    ]
    assert imported.annotations.empty_keyframes["timestamp"].tolist() == [2.0]
    assert "boxes on images between the keyframes, left out: 1" in imported.notes


def test_images_of_several_videos_numbered_from_1(tmp_path):
    body = IMAGES.replace("frame_0000", "-5KQ/0000").replace("000000", "000001")
    body = (
        body.replace("000030", "000031")
        .replace("000060", "000061")
        .replace("-5KQ/000061", "v_000061.jpg")
    )
    imported = read_export(tmp_path, export_xml(task_xml(WALK_RUN), body), first_frame_number=1)
    assert [row[:2] for row in rows_of(imported)] == [["-5KQ", 0.0], ["-5KQ", 1.0]]
    assert imported.annotations.empty_keyframes.to_numpy().tolist() == [["v", 2.0, 3]]
    found = error_of(
        tmp_path,
        export_xml(task_xml(WALK_RUN), body.replace("000001", "000000")),
        first_frame_number=1,
    )
    assert "frame 0 of '-5KQ/000000' is below the first frame number, 1" in found
    found = error_of(
        tmp_path, export_xml(task_xml(WALK_RUN), IMAGES.replace("frame_000030", "picture"))
    )
    assert "the image's name 'picture' does not end in a frame number" in found
    found = error_of(
        tmp_path, export_xml(task_xml(WALK_RUN), IMAGES.replace("frame_000030", "frame_15"))
    )
    assert "a second image of frame 15 of video clip, after line 5" in found


def test_images_whose_attribute_names_the_person(tmp_path):
    person = label_xml(
        "person", attribute_xml("person id", "text"), attribute_xml("action", "text")
    )
    body = "".join(
        f'<image id="0" name="frame_{frame:06d}" width="200" height="100"><box label="person" '
        f'xtl="0" ytl="0" xbr="20" ybr="{20 + i}">{value_xml("person id", name)}'
        f"{value_xml('action', 'sit')}</box></image>"
        for i, (frame, name) in enumerate([(0, "Zoe"), (30, "Ann"), (60, "Zoe")])
    )
    imported = read_export(tmp_path, export_xml(task_xml(person), body))
    assert [row[7] for row in rows_of(imported)] == [0, 1, 0]
    assert imported.notes == ("persons numbered in order of appearance in their video: 2",)


# Laws


def test_interpolation_law_frames_written_or_left_out(tmp_path):
    # All frames of the interpolation written, or its ends alone: the same rows.
    def corners(frame):
        return (frame * 0.5, frame * 0.25, 40 + frame * 0.5, 30 + frame * 0.25)

    ends = [box_xml(f, corners(f)) for f in (0, 60)]
    every = [box_xml(f, corners(f), key=int(f in (0, 60))) for f in range(61)]
    some = [box_xml(f, corners(f), key=int(f in (0, 60))) for f in (0, 7, 31, 60)]
    task = task_xml(WALK_RUN)
    tables = [
        rows_of(
            read_export(
                tmp_path,
                export_xml(task, track_xml(0, "walk", *boxes)),
                keyframe_interval_seconds=0.1,
            )
        )
        for boxes in (ends, every, some)
    ]
    assert len(tables[0]) == 21
    for table in tables[1:]:
        for row, other in zip(tables[0], table, strict=True):
            assert row == pytest.approx(other)


def test_zip_gives_the_same_and_the_table_reads_back(tmp_path):
    text = export_xml(task_xml(WALK_RUN), IMAGES)
    plain = read_export(tmp_path, text)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", text)
        archive.writestr("images/frame_000000.xml", "<other/>")
    packed = read_cvat(tmp_path / "a.zip", ImportOptions(fps=fps_of(30)))
    assert rows_of(packed) == rows_of(plain)
    write_annotations(plain.annotations, tmp_path / "out.csv")
    again = read_annotations(tmp_path / "out.csv", action_ids=plain.label_map.action_ids)
    assert len(again.rows) == 2
    assert (
        again.empty_keyframes["line"].tolist() == plain.annotations.empty_keyframes["line"].tolist()
    )
