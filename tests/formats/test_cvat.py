"""CVAT's exports into AVA form: both formats, both ways to name actions, every fault."""

import contextlib
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError, VideoError
from x3d_det.formats.exports.cvat import read_cvat
from x3d_det.formats.exports.imported import ImportOptions
from x3d_det.io.ava_csv import read_annotations, write_annotations
from x3d_det.io.label_map import LabelMap


def _fps(rate):
    return lambda video_id: rate


def _label(name, *attributes):
    return f"<label><name>{name}</name><attributes>{''.join(attributes)}</attributes></label>"


def _attribute(name, kind, values=""):
    return (
        f"<attribute><name>{name}</name><mutable>True</mutable><input_type>{kind}</input_type>"
        f"<default_value></default_value><values>{values}</values></attribute>"
    )


def _task(labels="", *, stop=60, extra="", source="clip.mp4", size="<width>200</width>"):
    return (
        f"<task><id>7</id><name>my task</name><size>61</size><mode>interpolation</mode>"
        f"<start_frame>0</start_frame><stop_frame>{stop}</stop_frame>{extra}"
        f"<labels>{labels}</labels><original_size>{size}<height>100</height></original_size>"
        f"<source>{source}</source></task>"
    )


def _xml(meta, body=""):
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        f"<meta>{meta}<dumped>2024</dumped></meta>\n{body}\n</annotations>\n"
    )


def _box(frame, corners, *, outside=0, key=1, inside=""):
    x1, y1, x2, y2 = corners
    return (
        f'<box frame="{frame}" keyframe="{key}" outside="{outside}" occluded="0" xtl="{x1}" '
        f'ytl="{y1}" xbr="{x2}" ybr="{y2}" z_order="0">{inside}</box>\n'
    )


def _track(track_id, label, *boxes, more=""):
    return f'<track id="{track_id}" label="{label}" source="manual"{more}>{"".join(boxes)}</track>'


def _value(name, value):
    return f'<attribute name="{name}">{value}</attribute>'


def _file(tmp_path, text, name="a.xml"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _read(tmp_path, text, **options):
    options.setdefault("fps", _fps(30))
    return read_cvat(_file(tmp_path, text), ImportOptions(**options))


def _rows(imported):
    columns = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id"]
    return imported.annotations.rows[columns].to_numpy().tolist()


def _error(tmp_path, text, **options):
    with pytest.raises(DataError) as caught:
        _read(tmp_path, text, **options)
    return str(caught.value).replace(str(tmp_path / "a.xml"), "F")


WALK_RUN = _label("walk") + _label("run")


# Worked by hand


def test_each_label_an_action_with_every_frame_written(tmp_path):
    # 30 frames a second: keyframes are frames 0, 30 and 60. The box moves 1 pixel a frame
    # from frame 25 to 59 (each frame written), so at frame 30 it has moved 5 pixels.
    moving = [_box(f, (10 + f - 25, 20, 50 + f - 25, 60), key=int(f == 25)) for f in range(25, 60)]
    imported = _read(tmp_path, _xml(_task(WALK_RUN), _track(3, "run", *moving)))
    assert _rows(imported) == [["clip", 1.0, 15 / 200, 0.2, 55 / 200, 0.6, 2, 3]]
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
        _track(0, "walk", _box(20, (0, 0, 40, 40)), _box(60, (40, 20, 80, 60)))
        + _track(1, "walk", _box(20, (0, 0, 40, 40)), _box(35, (99, 0, 199, 40), outside=1))
        + _track(2, "run", _box(0, (0, 0, 20, 20)), _box(15, (20, 0, 40, 20)))
    )
    rows = _rows(_read(tmp_path, _xml(_task(WALK_RUN), body)))
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
    boxes = [_box(f, (0, 0, 40, 40)) for f in (29, 30, 31)]
    rows = _rows(_read(tmp_path, _xml(_task(WALK_RUN), _track(0, "walk", *boxes))))
    assert [row[1] for row in rows] == [1.0]


def test_gap_of_an_absent_person_does_not_make_keyframes_alone(tmp_path):
    # Frames 29 to 30, absent from 31, back at 40 and 41: every present frame is written.
    boxes = [
        *(_box(29, (0, 0, 40, 40)), _box(30, (0, 0, 40, 40)), _box(31, (0, 0, 40, 40), outside=1)),
        *(_box(40, (0, 0, 40, 40)), _box(41, (0, 0, 40, 40))),
    ]
    rows = _rows(_read(tmp_path, _xml(_task(WALK_RUN), _track(0, "walk", *boxes))))
    assert [row[1] for row in rows] == [1.0]


def test_start_frame_and_frame_step_count_as_the_video_does(tmp_path):
    # The task shows frames 100, 110, ... 160 of a video of 25 a second: seconds 4 to 6.4.
    # Second 5 is frame 125, halfway between 120 and 130; second 6 is frame 150 itself.
    task = _task(WALK_RUN, extra="<frame_filter>step=10</frame_filter>").replace(
        "<start_frame>0</start_frame><stop_frame>60",
        "<start_frame>100</start_frame><stop_frame>160",
    )
    boxes = [_box(f, (f - 100, 0, f - 60, 40)) for f in range(100, 161, 10)]
    rows = _rows(_read(tmp_path, _xml(task, _track(0, "walk", *boxes)), fps=_fps(25)))
    assert [(row[1], row[2] * 200) for row in rows] == [(4.0, 0.0), (5.0, 25.0), (6.0, 50.0)]


def test_a_rate_that_is_no_whole_number_takes_the_nearest_frame(tmp_path):
    # 29.97: second 1 is frame 29.97, shown by frame 30, where the person comes in.
    body = _track(0, "walk", _box(30, (0, 0, 40, 40)), _box(31, (0, 0, 40, 40)))
    imported = _read(tmp_path, _xml(_task(WALK_RUN), body), fps=_fps(30000 / 1001))
    assert [row[1] for row in _rows(imported)] == [1.0]


def test_interval_and_start_of_the_film(tmp_path):
    boxes = [_box(f, (f, 0, f + 40, 40)) for f in range(61)]
    text = _xml(_task(WALK_RUN), _track(0, "walk", *boxes))
    rows = _rows(_read(tmp_path, text, keyframe_interval_seconds=0.5, video_start_seconds=900))
    assert [(row[1], row[2] * 200) for row in rows] == [
        *((900.0, 0.0), (900.5, 15.0), (901.0, 30.0), (901.5, 45.0), (902.0, 60.0))
    ]
    every = _rows(_read(tmp_path, text, keyframe_interval_seconds=0))
    assert [row[1] for row in every] == [round(f / 30, 6) for f in range(61)]


def test_person_with_checkboxes(tmp_path):
    person = _label(
        "person",
        _attribute("stand", "checkbox", "false"),
        _attribute("track_id", "text"),
        _attribute("talk to", "checkbox", "false"),
        _attribute("age", "number"),
    )
    stand_talk = _value("stand", "true") + _value("talk to", "true")
    body = _track(
        5,
        "person",
        _box(0, (0, 0, 20, 20), inside=stand_talk),
        # an attribute that the next box does not state holds on
        _box(30, (0, 0, 20, 20), inside=_value("stand", "false")),
        _box(60, (0, 0, 20, 20), inside=_value("talk to", "false")),
    ) + _track(6, "car", _box(0, (0, 0, 90, 90)), _box(1, (0, 0, 90, 90)))
    imported = _read(tmp_path, _xml(_task(person + _label("car")), body))
    assert [(row[1], row[6]) for row in _rows(imported)] == [(0.0, 1), (0.0, 2), (1.0, 2)]
    assert dict(imported.label_map.names) == {1: "stand", 2: "talk to"}
    assert imported.notes == (
        "boxes without an action, left out: 1",
        "boxes of other labels than persons, left out: 1",
    )


def test_person_with_a_select(tmp_path):
    values = "__undefined__\nsit\nlie &amp; sleep"
    person = _label("player", _attribute("action", "select", values), _attribute("x", "text"))
    chosen = [_value("action", v) for v in ("sit", "__undefined__", "lie &amp; sleep")]
    boxes = [_box(30 * i, (0, 0, 20, 20), inside=value) for i, value in enumerate(chosen)]
    imported = _read(tmp_path, _xml(_task(person), _track(0, "player", *boxes)))
    assert [(row[1], row[6]) for row in _rows(imported)] == [(0.0, 1), (2.0, 2)]
    assert dict(imported.label_map.names) == {1: "sit", 2: "lie & sleep"}


def test_free_text_and_label_map(tmp_path):
    person = _label("person", _attribute("doing", "text"), _attribute("note", "text"))
    text = _value("doing", "watch (e.g., TV), sit;walk")
    body = _track(0, "person", _box(0, (0, 0, 20, 20), inside=text), _box(1, (0, 0, 20, 20)))
    xml = _xml(_task(person), body)
    assert "2 attributes that could hold actions ('doing', 'note')" in _error(tmp_path, xml)
    label_map = LabelMap({7: "walk", 11: "sit", 60: "watch (e.g., TV)"})
    imported = _read(tmp_path, xml, action_attribute="doing", label_map=label_map)
    assert [row[6] for row in _rows(imported)] == [60, 11, 7]
    assert imported.label_map is label_map
    found = _error(tmp_path, xml, action_attribute="doing", label_map=LabelMap({1: "wallk"}))
    assert (
        "F:5: action 'walk' (1 boxes in all) is not in the label map; did you mean wallk?" in found
    )
    assert len(found.splitlines()) == 3
    own = _read(tmp_path, xml, action_attribute="doing")
    assert dict(own.label_map.names) == {1: "watch (e.g., TV)", 2: "sit", 3: "walk"}


def test_options_that_the_labels_do_not_have(tmp_path):
    person = _label("worker", _attribute("task", "select", "dig\nrest")) + _label("truck")
    body = _track(0, "worker", _box(0, (0, 0, 9, 9), inside=_value("task", "rest")))
    xml = _xml(_task(person), body)
    assert [row[6] for row in _rows(_read(tmp_path, xml))] == [1]  # the label is the action
    assert [row[6] for row in _rows(_read(tmp_path, xml, person_label="worker"))] == [2]
    found = _error(tmp_path, xml, person_label="wroker")
    assert "F:4: there is no label 'wroker'; did you mean worker?" in found
    found = _error(tmp_path, xml, person_label="worker", action_attribute="tsk")
    assert "no attribute 'tsk' for actions (it has: 'task'); did you mean task?" in found


def test_rotated_outside_and_other_shapes(tmp_path):
    # A box of 40 x 20 round (60, 50), turned by 90 degrees, lies in one of 20 x 40.
    turned = _box(0, (40, 40, 80, 60)).replace("z_order", 'rotation="90.00" z_order')
    body = (
        _track(0, "walk", turned)
        + _track(1, "walk", _box(0, (-30, -3, 20, 50)))
        + _track(2, "walk", _box(0, (300, 0, 320, 50)))
        + _track(3, "walk", _box(0, (-0.5, 0, 20, 50)))
        + '<track id="4" label="walk"><polygon frame="0" points="1,2;3,4"/></track>'
    )
    imported = _read(tmp_path, _xml(_task(WALK_RUN), body))
    rows = [
        [round(v * s, 6) for v, s in zip(row[2:6], (200, 100) * 2, strict=True)]
        for row in _rows(imported)
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
    imported = _read(tmp_path, _xml(_task(WALK_RUN), image))
    assert len(_rows(imported)) == 1
    assert imported.notes == (
        "rows that repeat another in full, left out: 1",
        "boxes without an action, left out: 1",
    )


def test_project_of_two_videos(tmp_path):
    tasks = _task(source="a.mp4") + _task(source="b.mkv").replace("<id>7", "<id>8")
    tasks += _task(source="c.mkv").replace("<id>7", "<id>9")
    meta = f"<project><id>1</id><tasks>{tasks}</tasks><labels>{WALK_RUN}</labels></project>"
    body = _track(0, "walk", _box(0, (0, 0, 20, 20)), more=' task_id="7" subset="default"')
    body += _track(1, "run", _box(25, (0, 0, 20, 20)), more=' task_id="8" subset="default"')
    rates = {"a": 30, "b": 25}
    imported = _read(tmp_path, _xml(meta, body), fps=rates.__getitem__)
    assert [row[:2] + row[6:] for row in _rows(imported)] == [["a", 0.0, 1, 0], ["b", 1.0, 2, 1]]
    assert imported.notes[0] == "tasks without a box, left out: 1"
    found = _error(tmp_path, _xml(meta, body), video_id="z")
    assert "a second video, 'b' after 'a', and one video id (z) was given" in found
    found = _error(tmp_path, _xml(meta, body.replace('task_id="8"', 'task_id="5"')))
    assert "F:6: <track> is of task '5', but <meta> lists the tasks 7, 8, 9" in found


def test_job_and_version_1_0(tmp_path):
    meta = (
        "<job><id>3</id><size>31</size><labels><label><name>person</name><attributes>"
        "<attribute>~radio=action:sit,stand</attribute></attributes></label></labels></job>"
        "<source>folder/clip.mp4</source>"
    )
    body = _track(0, "person", _box(30, (0, 0, 20, 20), inside=_value("action", "stand")))
    sizes = {"clip": (100, 200)}
    imported = _read(tmp_path, _xml(meta, body), frame_size=sizes.__getitem__)
    assert [row[:2] + row[4:7] for row in _rows(imported)] == [["clip", 1.0, 0.1, 0.2, 2]]
    assert imported.annotations.empty_keyframes["timestamp"].tolist() == [0.0]
    found = _error(tmp_path, _xml(meta, body))
    assert "does not state the frame size of video clip; give it with --frame-size" in found


IMAGES = (
    '<image id="0" name="frame_000000" width="200" height="100">'
    '<box label="run" occluded="0" xtl="0" ytl="0" xbr="20" ybr="20" z_order="0"></box></image>'
    '<image id="15" name="frame_000015" width="200" height="100">'
    '<box label="walk" occluded="0" xtl="0" ytl="0" xbr="20" ybr="20"></box></image>'
    '<image id="30" name="frame_000030" width="400" height="100">'
    '<box label="walk" occluded="0" xtl="0" ytl="0" xbr="20" ybr="20"></box></image>'
    '<image id="60" name="frame_000060" width="200" height="100"></image>'
)


def test_images(tmp_path):
    imported = _read(tmp_path, _xml(_task(WALK_RUN), IMAGES))
    assert _rows(imported) == [
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
    imported = _read(tmp_path, _xml(_task(WALK_RUN), body), first_frame_number=1)
    assert [row[:2] for row in _rows(imported)] == [["-5KQ", 0.0], ["-5KQ", 1.0]]
    assert imported.annotations.empty_keyframes.to_numpy().tolist() == [["v", 2.0, 3]]
    found = _error(
        tmp_path, _xml(_task(WALK_RUN), body.replace("000001", "000000")), first_frame_number=1
    )
    assert "frame 0 of '-5KQ/000000' is below the first frame number, 1" in found
    found = _error(tmp_path, _xml(_task(WALK_RUN), IMAGES.replace("frame_000030", "picture")))
    assert "the image's name 'picture' does not end in a frame number" in found
    found = _error(tmp_path, _xml(_task(WALK_RUN), IMAGES.replace("frame_000030", "frame_15")))
    assert "a second image of frame 15 of video clip, after line 5" in found


def test_images_whose_attribute_names_the_person(tmp_path):
    person = _label("person", _attribute("person id", "text"), _attribute("action", "text"))
    body = "".join(
        f'<image id="0" name="frame_{frame:06d}" width="200" height="100"><box label="person" '
        f'xtl="0" ytl="0" xbr="20" ybr="{20 + i}">{_value("person id", name)}'
        f"{_value('action', 'sit')}</box></image>"
        for i, (frame, name) in enumerate([(0, "Zoe"), (30, "Ann"), (60, "Zoe")])
    )
    imported = _read(tmp_path, _xml(_task(person), body))
    assert [row[7] for row in _rows(imported)] == [0, 1, 0]
    assert imported.notes == ("persons numbered in order of appearance in their video: 2",)


# Laws


def test_interpolation_law_frames_written_or_left_out(tmp_path):
    # All frames of the interpolation written, or its ends alone: the same rows.
    def corners(frame):
        return (frame * 0.5, frame * 0.25, 40 + frame * 0.5, 30 + frame * 0.25)

    ends = [_box(f, corners(f)) for f in (0, 60)]
    every = [_box(f, corners(f), key=int(f in (0, 60))) for f in range(61)]
    some = [_box(f, corners(f), key=int(f in (0, 60))) for f in (0, 7, 31, 60)]
    task = _task(WALK_RUN)
    tables = [
        _rows(_read(tmp_path, _xml(task, _track(0, "walk", *boxes)), keyframe_interval_seconds=0.1))
        for boxes in (ends, every, some)
    ]
    assert len(tables[0]) == 21
    for table in tables[1:]:
        for row, other in zip(tables[0], table, strict=True):
            assert row == pytest.approx(other)


def test_zip_gives_the_same_and_the_table_reads_back(tmp_path):
    text = _xml(_task(WALK_RUN), IMAGES)
    plain = _read(tmp_path, text)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations.xml", text)
        archive.writestr("images/frame_000000.xml", "<other/>")
    packed = read_cvat(tmp_path / "a.zip", ImportOptions(fps=_fps(30)))
    assert _rows(packed) == _rows(plain)
    write_annotations(plain.annotations, tmp_path / "out.csv")
    again = read_annotations(tmp_path / "out.csv", action_ids=plain.label_map.action_ids)
    assert len(again.rows) == 2
    assert (
        again.empty_keyframes["line"].tolist() == plain.annotations.empty_keyframes["line"].tolist()
    )


# Faults


def test_all_faults_at_once_with_their_lines(tmp_path):
    body = "\n".join(
        [
            _track(0, "walk", _box(0, (20, 0, 10, 20))),
            _track(1, "walk", _box(0, (0, 0, "wide", 20))),
            _track(2, "walk", _box("x", (0, 0, 9, 20))),
            _track(3, "walk", _box(0, (0, 0, 9, 20)).replace('ybr="20"', "")),
            _track(4, "walk", _box(0, (0, 0, 9, 20), outside="maybe")),
            _track(5, "walk", _box(0, (0, 0, 9, 20)), _box(0, (0, 0, 9, 20))),
            _track(6, "jump", _box(0, (0, 0, 9, 20))),
            '<track id="7"><box frame="0" xtl="0" ytl="0" xbr="9" ybr="1e999"/></track>',
        ]
    )
    found = _error(tmp_path, _xml(_task(WALK_RUN), body))
    for text in (
        "F:5: the box from (20, 0) to (10, 20) has no area",
        "F:7: xbr is 'wide'; it must be a finite number.",
        "F:9: frame is 'x'; it must be a whole number from 0.",
        "F:11: <box> has no ybr; export the task again.",
        "F:13: outside is 'maybe'; it must be 0 or 1.",
        "F:16: the track has a second box at frame 0",
        "F:18: action 'jump' (1 boxes in all) is not in the export's own list of actions",
        "F:20: ybr is '1e999'; it must be a finite number.",
    ):
        assert text in found
    assert len(found.splitlines()) == 8


def test_many_faults_are_counted(tmp_path):
    boxes = [_box(f, (20, 0, 10, 20)) for f in range(0, 750, 30)]
    found = _error(
        tmp_path,
        _xml(
            _task(WALK_RUN, stop=900),
            "".join(_track(i, "walk", box) for i, box in enumerate(boxes)),
        ),
    )
    assert len(found.splitlines()) == 21
    assert "and 5 more faults" in found


def test_checkbox_that_is_neither(tmp_path):
    person = _label("person", _attribute("sit", "checkbox"))
    body = _track(0, "person", _box(0, (0, 0, 9, 9), inside=_value("sit", "perhaps")))
    found = _error(tmp_path, _xml(_task(person), body))
    assert "F:5: the checkbox 'sit' is 'perhaps'; it must be true or false." in found


def test_rate_and_size_that_cannot_be(tmp_path):
    body = _track(0, "walk", _box(0, (0, 0, 9, 9))) * 2
    text = _xml(_task(WALK_RUN), body)
    assert "F:4: the export does not state the frame rate of video clip" in _error(
        tmp_path, text, fps=None
    )
    found = _error(tmp_path, text, fps=_fps(0))
    assert "the frame rate of video clip is 0.0" in found
    assert len(found.splitlines()) == 1

    def absent(video_id):
        raise VideoError(f"videos/{video_id}.mp4: there is no such video file.")

    assert "videos/clip.mp4: there is no such video file" in _error(tmp_path, text, fps=absent)
    assert "closer than the frames" in _error(tmp_path, text, keyframe_interval_seconds=0.01)
    assert "keyframe_interval_seconds is -1" in _error(tmp_path, text, keyframe_interval_seconds=-1)
    assert "video_start_seconds is nan" in _error(tmp_path, text, video_start_seconds=float("nan"))
    assert "first_frame_number is -1" in _error(tmp_path, text, first_frame_number=-1)
    flat = _xml(_task(WALK_RUN, size="<width>0</width>"), body)
    assert "the frame is 0 x 100 pixels" in _error(tmp_path, flat)
    huge = _xml(_task(WALK_RUN, stop=10**14), body)
    assert "is not in 0 to 604,800 (a week)" in _error(tmp_path, huge)
    many = _xml(_task(WALK_RUN, stop=6 * 10**6), body)
    assert "more than 1,000,000 keyframes" in _error(tmp_path, many, keyframe_interval_seconds=0.1)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("a,b.mp4", "holds ','"),
        ("a&quot;b.mp4", "holds '\"'"),
        ("a..mp4.b", "holds '..'"),
    ],
)
def test_video_names_that_ava_cannot_carry(tmp_path, source, what):
    body = _track(0, "walk", _box(0, (0, 0, 9, 9))) * 2
    text = _xml(_task(WALK_RUN, source=source), body)
    found = _error(tmp_path, text)
    assert what in found
    assert len(found.splitlines()) == 1
    assert _rows(_read(tmp_path, text, video_id="good"))[0][0] == "good"
    assert "the video's name 'a/b' holds '/'" in _error(tmp_path, text, video_id="a/b")


def test_nothing_to_import(tmp_path):
    found = _error(tmp_path, _xml(_task(WALK_RUN)))
    assert "no box with an action stands on any of the 0 annotated keyframes" in found
    between = _error(tmp_path, _xml(_task(WALK_RUN), _track(0, "walk", _box(3, (0, 0, 9, 9)))))
    assert "on any of the 3 annotated keyframes" in between
    assert "has no task, job or project" in _error(tmp_path, _xml(""))
    found = _error(tmp_path, f"<annotations>{IMAGES}</annotations>")
    assert "F:1: <image> comes before <meta>" in found
    assert "the outermost element is <html>, not <annotations>" in _error(tmp_path, "<html/>")


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;">]>'
    "<annotations>&lol2;</annotations>"
)
EXTERNAL = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    "<annotations>&e;</annotations>"
)


@pytest.mark.parametrize(
    "text", [LAUGHS, EXTERNAL, "<!DOCTYPE x SYSTEM 'http://h/x'><annotations/>"]
)
def test_entities_are_refused_in_one_line(tmp_path, text):
    found = _error(tmp_path, text)
    assert "declares a document type or entities" in found
    assert "\n" not in found


def test_files_that_are_no_xml(tmp_path):
    assert "F:1: no XML: no element found" in _error(tmp_path, "")
    assert "F:2: no XML: mismatched tag" in _error(tmp_path, "<annotations>\n<a></annotations>")
    assert "no readable XML" in _error(tmp_path, '<?xml version="1.0" encoding="gbk"?><a/>')
    deep = "<annotations>" + "<a>" * 100 + "</a>" * 100 + "</annotations>"
    assert "deeper than 64 elements" in _error(tmp_path, deep)
    with pytest.raises(DataError, match=r"cannot read .*absent\.xml: No such file"):
        read_cvat(tmp_path / "absent.xml", ImportOptions(fps=_fps(30)))


def test_zips_that_cannot_be_read(tmp_path, monkeypatch):
    def packed(**members):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name.replace("__", "."), content)
        with pytest.raises(DataError) as caught:
            read_cvat(tmp_path / "a.zip", ImportOptions(fps=_fps(30)))
        return str(caught.value)

    assert "holds 0 files that end in .xml (none)" in packed(a__txt="")
    assert "holds 2 files that end in .xml ('a.xml', 'b.xml')" in packed(a__xml="", b__xml="")
    monkeypatch.setattr("x3d_det.formats.foreign_files.MAX_FILE_BYTES", 1000)
    assert "a.zip/a.xml holds 1,001 bytes; at most 1,000 are read" in packed(a__xml=" " * 1001)
    (tmp_path / "b.xml").write_text(" " * 1001)
    with pytest.raises(DataError, match="holds 1,001 bytes"):
        read_cvat(tmp_path / "b.xml", ImportOptions(fps=_fps(30)))
    damaged = bytearray((tmp_path / "a.zip").read_bytes())
    damaged[45] ^= 0xFF
    monkeypatch.undo()
    (tmp_path / "a.zip").write_bytes(bytes(damaged))
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_cvat(tmp_path / "a.zip", ImportOptions(fps=_fps(30)))


# Mutations

PERSON = _label("person", _attribute("sit", "checkbox"), _attribute("id", "text"))
SEEDS = [
    _xml(
        _task(PERSON, extra="<frame_filter>step=2</frame_filter>"),
        _track(
            0,
            "person",
            _box(0, (0, 0, 9, 9), inside=_value("sit", "true")),
            _box(30, (5, 5, 19, 19)),
            _box(40, (5, 5, 19, 19), outside=1),
        ),
    ).encode(),
    _xml(_task(WALK_RUN), IMAGES).encode(),
]
TOKENS = [b"", b"-1", b"1e400", b"nan", b"\xff", b"<", b'"', b"0", b"</track>", b"<box/>", b"&x;"]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutations_end_in_a_result_or_a_data_error(tmp_path, data):
    text = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.integers(0, 12))
        text[start:end] = data.draw(st.sampled_from(TOKENS) | st.binary(max_size=3))
    with contextlib.suppress(DataError):
        boxes = _read(tmp_path, bytes(text)).annotations.rows[["x1", "y1", "x2", "y2"]].to_numpy()
        assert ((boxes >= 0) & (boxes <= 1)).all()
        assert (boxes[:, :2] < boxes[:, 2:]).all()
