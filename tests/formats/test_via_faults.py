"""VIA's exports with faults: all named at once with their places, and any mutation survived."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutated, with_another_value
from via_files import (
    ACTION_2,
    error_of,
    image_2,
    mark_3,
    project_2,
    project_3,
    read_export,
    region_2,
)

from x3d_det.errors import DataError


def test_all_faults_at_once_with_their_places(tmp_path):
    good = {"1": "1"}
    marks = {
        "a": mark_3([1], [2, 0, 0, 9], good),
        "b": mark_3([1], [2, 0, 0, "9", 9], good),
        "c": mark_3([1], [2, 0, 0, -9, 9], good),
        "d": mark_3([], [2, 0, 0, 9, 9], good),
        "e": mark_3([-1], [2, 0, 0, 9, 9], good),
        "f": mark_3([1], [2, 0, 0, 9, 9], good, vid="77"),
        "g": mark_3([1], [2, 0, 0, 9, 9], {"1": "5"}),
        "h": {"vid": "1", "z": [1]},
        "i": mark_3([1], [2, 0, 0, 9, 9], {"1": True}),
    }
    found = error_of(tmp_path, project_3(marks))
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
    regions = [region_2(i, 0, 9, 9, {"action": {"s": True}}) for i in range(3)]
    project = project_2({"a": image_2("c_0.jpg", *regions)}, ACTION_2)
    found = error_of(tmp_path, project, frame_size=None)
    assert "does not state the frame size of video c; give it with --frame-size, or" in found
    assert len(found.splitlines()) == 1
    found = error_of(tmp_path, project, fps=None)
    assert "does not state the frame rate of video c" in found
    assert len(found.splitlines()) == 1
    assert "person_label is 'x', but VIA has no labels" in error_of(
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
    found = error_of(tmp_path, text)
    assert what in found
    assert len(found.splitlines()) == 1


def test_images_without_boxes_and_image_names(tmp_path):
    found = error_of(tmp_path, project_2({"a": image_2("c_0.jpg")}, ACTION_2))
    assert "no box with an action stands on any of the 1 annotated keyframes" in found
    region = region_2(0, 0, 9, 9, {"action": {"s": True}})
    found = error_of(tmp_path, project_2({"a": image_2("c.jpg", region)}, ACTION_2))
    assert found == (
        "F: _via_img_metadata['a']: the image's name 'c.jpg' does not end in a frame number; "
        "name images as in VIDEO/frame_000123.jpg."
    )
    twice = {"a": image_2("c_0.jpg", region), "b": image_2("c/0.jpg")}
    found = error_of(tmp_path, project_2(twice, ACTION_2))
    assert "'c/0.jpg' is a second image of frame 0 of video c, after 'c_0.jpg'" in found
    perhaps = region_2(0, 0, 9, 9, {"action": {"s": "perhaps"}})
    found = error_of(tmp_path, project_2({"a": image_2("c_0.jpg", perhaps)}, ACTION_2))
    assert ".region_attributes['action']['s']: found 'perhaps'; a checkbox must be true" in found


# Mutations

SEEDS = [
    json.dumps(
        project_3(
            {
                "a": mark_3([2], [2, 20, 10, 40, 20], {"1": "1,3", "2": "5"}),
                "b": mark_3([1, 4], [], {"1": "2"}),
            }
        )
    ).encode(),
    json.dumps(
        project_2(
            {"a": image_2("c_0.jpg", region_2(0, 0, 9, 9, {"action": {"s": True}, "id": 1}))},
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
        boxes = read_export(tmp_path, text).annotations.rows[["x1", "y1", "x2", "y2"]].to_numpy()
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
@given(root=with_another_value([json.loads(seed) for seed in SEEDS[:2]], JSON))
def test_any_value_in_any_place_ends_in_a_result_or_a_data_error(tmp_path, root):
    with contextlib.suppress(DataError):
        read_export(tmp_path, root)
