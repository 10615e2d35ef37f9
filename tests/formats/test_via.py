"""Files of VIA 2 and VIA 3 into AVA form: json and csv, each kind of attribute, every fault."""

import contextlib
import csv
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutated

from x3d_det.errors import DataError
from x3d_det.formats.exports.imported import ImportOptions
from x3d_det.formats.exports.via import read_via
from x3d_det.io.label_map import LabelMap


def _size(video_id):
    return (100, 200)


def _path(tmp_path, content, name="a.json"):
    path = tmp_path / name
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _read(tmp_path, content, **options):
    options.setdefault("fps", lambda video_id: 30)
    options.setdefault("frame_size", _size)
    return read_via(_path(tmp_path, content), ImportOptions(**options))


def _rows(imported):
    columns = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id"]
    return imported.annotations.rows[columns].to_numpy().tolist()


def _error(tmp_path, content, **options):
    with pytest.raises(DataError) as caught:
        _read(tmp_path, content, **options)
    return str(caught.value).replace(str(tmp_path / "a.json"), "F")


def _project_3(metadata, attributes=None, **files):
    """A VIA 3 project of one attribute `1` (checkbox) and `2` (track), one file `1` a.mp4."""
    attribute = {
        "1": _attribute_3("action", 2, {"1": "sit", "2": "walk", "3": "talk to"}),
        "2": _attribute_3("track", 1),
    }
    files = files or {"1": {"fid": 1, "fname": "a.mp4", "type": 4, "loc": 1, "src": ""}}
    return {
        "project": {"pid": "__VIA_PROJECT_ID__", "vid_list": list(files)},
        "config": {},
        "attribute": attribute if attributes is None else attributes,
        "file": files,
        "view": {key: {"fid_list": [int(key)]} for key in files},
        "metadata": metadata,
    }


def _attribute_3(name, kind, options=None, anchor="FILE1_Z1_XY1"):
    return {
        "aname": name,
        "anchor_id": anchor,
        "type": kind,
        "desc": "",
        "options": options or {},
        "default_option_id": "",
    }


def _mark(seconds, xy, av, vid="1"):
    return {"vid": vid, "flg": 0, "z": seconds, "xy": xy, "av": av}


def _project_2(images, attributes):
    return {
        "_via_settings": {},
        "_via_img_metadata": images,
        "_via_attributes": {"region": attributes, "file": {}},
        "_via_data_format_version": "2.0.10",
    }


def _image(filename, *regions):
    return {"filename": filename, "size": -1, "regions": list(regions), "file_attributes": {}}


def _region(x, y, width, height, attributes, name="rect"):
    shape = {"name": name, "x": x, "y": y, "width": width, "height": height}
    return {"shape_attributes": shape, "region_attributes": attributes}


ACTION_2 = {"action": {"type": "checkbox", "options": {"s": "sit", "w": "walk", "run": ""}}}


# VIA 3


def test_a_project_of_version_3(tmp_path):
    # A box of 40 x 20 at (20, 10) on a frame of 200 x 100.
    marks = {
        "1_a": _mark([2], [2, 20, 10, 40, 20], {"1": "1,3", "2": "5"}),
        "1_b": _mark([3.48], [2, 100, 50, 100, 50], {"1": "2", "2": "6"}),
        "1_c": _mark([1, 4], [], {"1": "2"}),
        "1_d": _mark([1, 4], [2, 0, 0, 9, 9], {"1": "2"}),
        "1_e": _mark([2], [7, 0, 0, 9, 9, 4, 4], {"1": "2"}),
        "1_f": _mark([2], [2, 0, 0, 9, 9], {"1": "", "2": ""}),
    }
    imported = _read(tmp_path, _project_3(marks), fps=None, video_start_seconds=900)
    assert _rows(imported) == [
        ["a", 902.0, 0.1, 0.1, 0.3, 0.3, 1, 5],
        ["a", 902.0, 0.1, 0.1, 0.3, 0.3, 3, 5],
        ["a", 903.48, 0.5, 0.5, 1.0, 1.0, 2, 6],
    ]
    assert dict(imported.label_map.names) == {1: "sit", 2: "walk", 3: "talk to"}
    assert imported.annotations.empty_keyframes.empty
    assert imported.notes == (
        "marks without a box (stretches of time, notes), left out: 1",
        "boxes over a stretch of time, left out: 1",
        "shapes that are no rectangles (number 7), left out: 1",
        "boxes without an action, left out: 1",
    )


def test_stated_seconds_near_each_other_are_one_keyframe(tmp_path):
    marks = {
        str(i): _mark([second], [2, 0, 0, 10 + i, 10], {"1": "1", "2": str(i)})
        for i, second in enumerate([1.007, 1.004, 1.05, 2.4])
    }
    project = _project_3(marks)
    assert [row[1] for row in _rows(_read(tmp_path, project))] == [1.004, 1.004, 1.05, 2.4]
    # With keyframes at whole seconds: the nearest instant within 0.1 s stands for second 1.
    imported = _read(tmp_path, project, keyframe_interval_seconds=1)
    assert [(row[1], row[7]) for row in _rows(imported)] == [(1.0, 0), (1.0, 1)]
    assert imported.notes == ("boxes between the keyframes, left out: 2",)


def test_attributes_of_each_kind_of_version_3(tmp_path):
    marks = {
        "a": _mark([1], [2, 0, 0, 10, 10], {"7": "sit, talk to (e.g., a dog)"}),
        "b": _mark([2], [2, 0, 0, 10, 10], {"8": "1"}),
        "c": _mark([3], [2, 0, 0, 10, 10], {"9": "0"}),
    }
    attributes = {
        "7": _attribute_3("free", 1),
        "8": _attribute_3("pose", 4, {"0": "stand", "1": "lie"}),
        "9": _attribute_3("mood", 3, {"0": "laugh"}),
        "10": _attribute_3("scene", 1, anchor="FILE1_Z2_XY0"),
    }
    project = _project_3(marks, attributes)
    found = _error(tmp_path, project)
    assert "a region has 3 attributes that could hold actions ('free', 'pose', 'mood')" in found

    def actions(attribute):
        imported = _read(tmp_path, project, action_attribute=attribute)
        names = imported.label_map.names
        return [names[row[6]] for row in _rows(imported)], list(names.values())

    assert actions("free") == (["sit", "talk to (e.g., a dog)"],) * 2
    assert actions("pose") == (["lie"], ["stand", "lie"])
    assert actions("pose,mood") == (["lie", "laugh"], ["stand", "lie", "laugh"])
    assert "no attribute 'moods' for actions" in _error(tmp_path, project, action_attribute="moods")


def test_images_in_version_3(tmp_path):
    files = {
        "1": {"fid": 1, "fname": "v/frame_000030.jpg", "type": 2, "loc": 1, "src": ""},
        "2": {"fid": 2, "fname": "v/frame_000060.jpg", "type": 2, "loc": 1, "src": ""},
    }
    marks = {"a": _mark([], [2, 0, 0, 10, 10], {"1": "2"})}
    imported = _read(tmp_path, _project_3(marks, **files))
    assert [row[:2] for row in _rows(imported)] == [["v", 1.0]]
    assert imported.annotations.empty_keyframes.to_numpy().tolist() == [["v", 2.0, 2]]


def test_csv_of_version_3(tmp_path):
    attributes = {"1": _attribute_3("action", 2, {"1": "sit", "2": "walk"})}

    def quoted(value):
        return '"' + json.dumps(value).replace('"', '""') + '"'

    lines = [
        "# Exported using VGG Image Annotator",
        "# ATTRIBUTE = " + json.dumps(attributes),
        "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,"
        "metadata",
        f'"x",{quoted(["http://h/b.webm"])},0,{quoted([1.5])},{quoted([2, 20, 10, 40, 20])},'
        + quoted({"1": "1,2"}),
    ]
    imported = _read(tmp_path, "\n".join(lines))
    assert _rows(imported) == [
        ["b", 1.5, 0.1, 0.1, 0.3, 0.3, 1, -1],
        ["b", 1.5, 0.1, 0.1, 0.3, 0.3, 2, -1],
    ]
    found = _error(tmp_path, "\n".join([*lines, '"y",1,2']))
    assert found == "F:5: the line has 3 columns; VIA 3's csv has 6."
    found = _error(tmp_path, "\n".join(lines).replace("[1.5]", '[""x""]'))
    assert "F:4: [0]: found 'x'; it must be a number." in found


# VIA 2


def test_a_project_of_version_2(tmp_path):
    images = {
        "a": _image("clip_000000.jpg", _region(20, 10, 40, 20, {"action": {"s": True}, "id": 4})),
        "b": _image("clip_000015.jpg", _region(20, 10, 40, 20, {"action": {"s": True}})),
        "c": _image(
            "clip_000030.jpg",
            _region(100, 50, 100, 50, {"action": {"w": True, "s": False, "run": True}, "id": "9"}),
            _region(0, 0, 9, 9, {"action": {"w": True}}, name="ellipse"),
        ),
        "d": _image("clip_000060.jpg"),
    }
    attributes = {**ACTION_2, "id": {"type": "text"}}
    imported = _read(tmp_path, _project_2(images, attributes))
    assert _rows(imported) == [
        ["clip", 0.0, 0.1, 0.1, 0.3, 0.3, 1, 4],
        ["clip", 1.0, 0.5, 0.5, 1.0, 1.0, 2, 9],
        ["clip", 1.0, 0.5, 0.5, 1.0, 1.0, 3, 9],
    ]
    assert dict(imported.label_map.names) == {1: "sit", 2: "walk", 3: "run"}
    assert imported.annotations.empty_keyframes["timestamp"].tolist() == [2.0]
    assert imported.notes == (
        "shapes that are no rectangles (ellipse), left out: 1",
        "boxes between the keyframes, left out: 1",
        "annotated keyframes without a person, listed as empty: 1",
    )


def test_options_by_text_or_id_in_the_label_map(tmp_path):
    images = {"a": _image("c_0.jpg", _region(0, 0, 9, 9, {"action": {"s": True, "w": True}}))}
    project = _project_2(images, ACTION_2)
    imported = _read(tmp_path, project, label_map=LabelMap({5: "sit", 6: "w"}))
    assert [row[6] for row in _rows(imported)] == [5, 6]
    found = _error(tmp_path, project, label_map=LabelMap({5: "sit", 6: "walks"}))
    assert "action 'walk' (1 boxes in all) is not in the label map; did you mean walks?" in found


def test_annotations_alone_and_version_1_and_csv_agree(tmp_path):
    first = _region(20, 10, 40, 20, {"action": "sit", "track": "1"})
    second = _region(30, 10, 40, 20, {"action": "walk;sit", "track": "2"})
    images = {"v_0.jpg1": _image("v_0.jpg", first, second), "v_30.jpg1": _image("v_30.jpg")}
    rows = _rows(_read(tmp_path, images))
    assert [row[6:] for row in rows] == [[1, 1], [2, 2], [1, 2]]

    old = json.loads(json.dumps(images))
    old["v_0.jpg1"]["regions"] = {"0": first, "1": second}
    assert _rows(_read(tmp_path, old)) == rows

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = "filename,file_size,file_attributes,region_count,region_id"
    writer.writerow([*header.split(","), "region_shape_attributes", "region_attributes"])
    for index, region in enumerate((first, second)):
        parts = (json.dumps(region["shape_attributes"]), json.dumps(region["region_attributes"]))
        writer.writerow(["v_0.jpg", 1, "{}", 2, index, *parts])
    writer.writerow(["v_30.jpg", 1, "{}", 0, 0, "{}", "{}"])
    for text in (out.getvalue(), "#" + out.getvalue(), out.getvalue().replace("\n", "\r\n")):
        imported = _read(tmp_path, text)
        assert _rows(imported) == rows
        assert imported.annotations.empty_keyframes["timestamp"].tolist() == [1.0]
    found = _error(tmp_path, out.getvalue() + 'v_60.jpg,1,{},1,0,"{""x"":",{}\nv,1\n')
    assert "F:5: no JSON: Expecting value, column 6." in found
    assert "F:6: the line has 2 columns; VIA 2's csv has 7." in found


def test_names_with_quotes_and_line_breaks(tmp_path):
    name = 'say "hi"\nloudly'
    images = {"a": _image("c_0.jpg", _region(0, 0, 9, 9, {"action": {"q": True}}))}
    attributes = {"action": {"type": "checkbox", "options": {"q": name}}}
    imported = _read(tmp_path, _project_2(images, attributes))
    assert dict(imported.label_map.names) == {1: name}


def test_row_order_of_regions_does_not_matter_to_the_boxes(tmp_path):
    regions = [_region(i, 0, 9, 9, {"action": {"s": True}, "track": i}) for i in range(4)]
    tables = [
        _rows(_read(tmp_path, _project_2({"a": _image("c_0.jpg", *order)}, ACTION_2)))
        for order in (regions, regions[::-1])
    ]
    assert tables[0] == tables[1]


# Faults


def test_all_faults_at_once_with_their_places(tmp_path):
    good = {"1": "1"}
    marks = {
        "a": _mark([1], [2, 0, 0, 9], good),
        "b": _mark([1], [2, 0, 0, "9", 9], good),
        "c": _mark([1], [2, 0, 0, -9, 9], good),
        "d": _mark([], [2, 0, 0, 9, 9], good),
        "e": _mark([-1], [2, 0, 0, 9, 9], good),
        "f": _mark([1], [2, 0, 0, 9, 9], good, vid="77"),
        "g": _mark([1], [2, 0, 0, 9, 9], {"1": "5"}),
        "h": {"vid": "1", "z": [1]},
        "i": _mark([1], [2, 0, 0, 9, 9], {"1": True}),
    }
    found = _error(tmp_path, _project_3(marks))
    for text in (
        "F: metadata['a'].xy: found 4 numbers; there must be 5.",
        "F: metadata['b'].xy[3]: found '9'; it must be a number.",
        "F: metadata['c'].xy: the box from (0, 0) to (-9, 9) has no area",
        "F: metadata['d'].z: the box in a video has no second; draw it again.",
        "F: metadata['e'].xy: second -1 of the file is not in 0 to 604,800",
        "F: metadata['f'].vid: there is no view '77'; save it again.",
        "F: metadata['g'].xy: action '5' (1 boxes in all) is not in the export's own list",
        "F: metadata['h']: there is no 'xy'; export it again.",
        "F: metadata['i'].av['1']: found True; it must be text.",
    ):
        assert text in found
    assert len(found.splitlines()) == 9


def test_frame_size_and_rate_are_asked_for_once(tmp_path):
    regions = [_region(i, 0, 9, 9, {"action": {"s": True}}) for i in range(3)]
    project = _project_2({"a": _image("c_0.jpg", *regions)}, ACTION_2)
    found = _error(tmp_path, project, frame_size=None)
    assert "does not state the frame size of video c; give it with --frame-size, or" in found
    assert len(found.splitlines()) == 1
    found = _error(tmp_path, project, fps=None)
    assert "does not state the frame rate of video c" in found
    assert len(found.splitlines()) == 1
    assert "person_label is 'x', but VIA has no labels" in _error(
        tmp_path, project, person_label="x"
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "F:1: no JSON: Expecting property name"),
        ('{"metadata": 1, "metadata": 2}', "F: the key 'metadata' occurs twice in one object"),
        ('{"a": NaN}', "F: the JSON holds NaN; numbers must be finite."),
        ("[" * 100_000, "F: the JSON is nested too deeply"),
        ("9" * 5000, "no VIA file"),
        ('{"a": ' + "9" * 5000 + "}", "F: no usable JSON: Exceeds the limit"),
        ("{}", "F: no VIA project: it has no key, where VIA 2"),
        ('{"images": []}', "F: no VIA project: it has 'images', where"),
        ("[1]", "found [1]; it must be an object"),
        ("", "F:1: no VIA file: the first line is ''"),
        ("a,b\n1,2\n", "F:1: no VIA file: the first line is 'a,b'"),
        (b"\xff{", "F:1: byte 0xff is not UTF-8; save it as UTF-8."),
        ('"a', "F:1: the line cannot be split: unexpected end of data."),
    ],
)
def test_files_that_are_no_via(tmp_path, text, what):
    found = _error(tmp_path, text)
    assert what in found
    assert len(found.splitlines()) == 1


def test_images_without_boxes_and_image_names(tmp_path):
    found = _error(tmp_path, _project_2({"a": _image("c_0.jpg")}, ACTION_2))
    assert "no box with an action stands on any of the 1 annotated keyframes" in found
    region = _region(0, 0, 9, 9, {"action": {"s": True}})
    found = _error(tmp_path, _project_2({"a": _image("c.jpg", region)}, ACTION_2))
    assert found == (
        "F: _via_img_metadata['a']: the image's name 'c.jpg' does not end in a frame number; "
        "name images as in VIDEO/frame_000123.jpg."
    )
    twice = {"a": _image("c_0.jpg", region), "b": _image("c/0.jpg")}
    found = _error(tmp_path, _project_2(twice, ACTION_2))
    assert "'c/0.jpg' is a second image of frame 0 of video c, after 'c_0.jpg'" in found
    perhaps = _region(0, 0, 9, 9, {"action": {"s": "perhaps"}})
    found = _error(tmp_path, _project_2({"a": _image("c_0.jpg", perhaps)}, ACTION_2))
    assert ".region_attributes['action']['s']: found 'perhaps'; a checkbox must be true" in found


# Mutations

SEEDS = [
    json.dumps(
        _project_3(
            {
                "a": _mark([2], [2, 20, 10, 40, 20], {"1": "1,3", "2": "5"}),
                "b": _mark([1, 4], [], {"1": "2"}),
            }
        )
    ).encode(),
    json.dumps(
        _project_2(
            {"a": _image("c_0.jpg", _region(0, 0, 9, 9, {"action": {"s": True}, "id": 1}))},
            ACTION_2,
        )
    ).encode(),
    b"filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
    b'region_attributes\nv_0.jpg,1,{},1,0,"{""name"":""rect"",""x"":1,""y"":2,""width"":3,'
    b'""height"":4}","{""action"":""sit""}"\n',
]
TOKENS = [b"", b"-1", b"1e400", b"NaN", b"\xff", b"{}", b"[]", b'"', b"null", b"true", b'"a"', b","]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=mutated(SEEDS, TOKENS))
def test_mutations_end_in_a_result_or_a_data_error(tmp_path, text):
    with contextlib.suppress(DataError):
        boxes = _read(tmp_path, text).annotations.rows[["x1", "y1", "x2", "y2"]].to_numpy()
        assert ((boxes >= 0) & (boxes <= 1)).all()
        assert (boxes[:, :2] < boxes[:, 2:]).all()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 99) | st.floats() | st.sampled_from(["1", "a", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("12a"), inner),
    max_leaves=4,
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.sampled_from(SEEDS[:2]), value=JSON, data=st.data())
def test_any_value_in_any_place_ends_in_a_result_or_a_data_error(tmp_path, seed, value, data):
    root = here = json.loads(seed)
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        if not isinstance(here[key], dict | list) or data.draw(st.integers(0, 3)) == 0:
            here[key] = value
            break
        here = here[key]
    with contextlib.suppress(DataError):
        _read(tmp_path, root)
