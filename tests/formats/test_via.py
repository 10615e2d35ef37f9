"""VIA's exports into AVA form: versions 2 and 3, json and csv, each kind of attribute."""

import csv
import io
import json

from imported_rows import rows_of
from via_files import (
    ACTION_2,
    attribute_3,
    error_of,
    image_2,
    mark_3,
    project_2,
    project_3,
    read_export,
    region_2,
)

from x3d_det.io.label_map import LabelMap

# VIA 3


def test_a_project_of_version_3(tmp_path):
    # A box of 40 x 20 at (20, 10) on a frame of 200 x 100.
    marks = {
        "1_a": mark_3([2], [2, 20, 10, 40, 20], {"1": "1,3", "2": "5"}),
        "1_b": mark_3([3.48], [2, 100, 50, 100, 50], {"1": "2", "2": "6"}),
        "1_c": mark_3([1, 4], [], {"1": "2"}),
        "1_d": mark_3([1, 4], [2, 0, 0, 9, 9], {"1": "2"}),
        "1_e": mark_3([2], [7, 0, 0, 9, 9, 4, 4], {"1": "2"}),
        "1_f": mark_3([2], [2, 0, 0, 9, 9], {"1": "", "2": ""}),
    }
    imported = read_export(tmp_path, project_3(marks), fps=None, video_start_seconds=900)
    assert rows_of(imported) == [
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
        str(i): mark_3([second], [2, 0, 0, 10 + i, 10], {"1": "1", "2": str(i)})
        for i, second in enumerate([1.007, 1.004, 1.05, 2.4])
    }
    project = project_3(marks)
    assert [row[1] for row in rows_of(read_export(tmp_path, project))] == [1.004, 1.004, 1.05, 2.4]
    # With keyframes at whole seconds: the nearest instant within 0.1 s stands for second 1.
    imported = read_export(tmp_path, project, keyframe_interval_seconds=1)
    assert [(row[1], row[7]) for row in rows_of(imported)] == [(1.0, 0), (1.0, 1)]
    assert imported.notes == ("boxes between the keyframes, left out: 2",)


def test_attributes_of_each_kind_of_version_3(tmp_path):
    marks = {
        "a": mark_3([1], [2, 0, 0, 10, 10], {"7": "sit, talk to (e.g., a dog)"}),
        "b": mark_3([2], [2, 0, 0, 10, 10], {"8": "1"}),
        "c": mark_3([3], [2, 0, 0, 10, 10], {"9": "0"}),
    }
    attributes = {
        "7": attribute_3("free", 1),
        "8": attribute_3("pose", 4, {"0": "stand", "1": "lie"}),
        "9": attribute_3("mood", 3, {"0": "laugh"}),
        "10": attribute_3("scene", 1, anchor="FILE1_Z2_XY0"),
    }
    project = project_3(marks, attributes)
    found = error_of(tmp_path, project)
    assert "a region has 3 attributes that could hold actions ('free', 'pose', 'mood')" in found

    def actions(attribute):
        imported = read_export(tmp_path, project, action_attribute=attribute)
        names = imported.label_map.names
        return [names[row[6]] for row in rows_of(imported)], list(names.values())

    assert actions("free") == (["sit", "talk to (e.g., a dog)"],) * 2
    assert actions("pose") == (["lie"], ["stand", "lie"])
    assert actions("pose,mood") == (["lie", "laugh"], ["stand", "lie", "laugh"])
    assert "no attribute 'moods' for actions" in error_of(
        tmp_path, project, action_attribute="moods"
    )


def test_images_in_version_3(tmp_path):
    files = {
        "1": {"fid": 1, "fname": "v/frame_000030.jpg", "type": 2, "loc": 1, "src": ""},
        "2": {"fid": 2, "fname": "v/frame_000060.jpg", "type": 2, "loc": 1, "src": ""},
    }
    marks = {"a": mark_3([], [2, 0, 0, 10, 10], {"1": "2"})}
    imported = read_export(tmp_path, project_3(marks, **files))
    assert [row[:2] for row in rows_of(imported)] == [["v", 1.0]]
    assert imported.annotations.empty_keyframes.to_numpy().tolist() == [["v", 2.0, 2]]


def test_csv_of_version_3(tmp_path):
    attributes = {"1": attribute_3("action", 2, {"1": "sit", "2": "walk"})}

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
    imported = read_export(tmp_path, "\n".join(lines))
    assert rows_of(imported) == [
        ["b", 1.5, 0.1, 0.1, 0.3, 0.3, 1, -1],
        ["b", 1.5, 0.1, 0.1, 0.3, 0.3, 2, -1],
    ]
    found = error_of(tmp_path, "\n".join([*lines, '"y",1,2']))
    assert found == "F:5: the line has 3 columns; VIA 3's csv has 6."
    found = error_of(tmp_path, "\n".join(lines).replace("[1.5]", '[""x""]'))
    assert "F:4: [0]: found 'x'; it must be a number." in found


# VIA 2


def test_a_project_of_version_2(tmp_path):
    images = {
        "a": image_2("clip_000000.jpg", region_2(20, 10, 40, 20, {"action": {"s": True}, "id": 4})),
        "b": image_2("clip_000015.jpg", region_2(20, 10, 40, 20, {"action": {"s": True}})),
        "c": image_2(
            "clip_000030.jpg",
            region_2(100, 50, 100, 50, {"action": {"w": True, "s": False, "run": True}, "id": "9"}),
            region_2(0, 0, 9, 9, {"action": {"w": True}}, name="ellipse"),
        ),
        "d": image_2("clip_000060.jpg"),
    }
    attributes = {**ACTION_2, "id": {"type": "text"}}
    imported = read_export(tmp_path, project_2(images, attributes))
    assert rows_of(imported) == [
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
    images = {"a": image_2("c_0.jpg", region_2(0, 0, 9, 9, {"action": {"s": True, "w": True}}))}
    project = project_2(images, ACTION_2)
    imported = read_export(tmp_path, project, label_map=LabelMap({5: "sit", 6: "w"}))
    assert [row[6] for row in rows_of(imported)] == [5, 6]
    found = error_of(tmp_path, project, label_map=LabelMap({5: "sit", 6: "walks"}))
    assert "action 'walk' (1 boxes in all) is not in the label map; did you mean walks?" in found


def test_annotations_alone_and_version_1_and_csv_agree(tmp_path):
    first = region_2(20, 10, 40, 20, {"action": "sit", "track": "1"})
    second = region_2(30, 10, 40, 20, {"action": "walk;sit", "track": "2"})
    images = {"v_0.jpg1": image_2("v_0.jpg", first, second), "v_30.jpg1": image_2("v_30.jpg")}
    rows = rows_of(read_export(tmp_path, images))
    assert [row[6:] for row in rows] == [[1, 1], [2, 2], [1, 2]]

    old = json.loads(json.dumps(images))
    old["v_0.jpg1"]["regions"] = {"0": first, "1": second}
    assert rows_of(read_export(tmp_path, old)) == rows

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = "filename,file_size,file_attributes,region_count,region_id"
    writer.writerow([*header.split(","), "region_shape_attributes", "region_attributes"])
    for index, region in enumerate((first, second)):
        parts = (json.dumps(region["shape_attributes"]), json.dumps(region["region_attributes"]))
        writer.writerow(["v_0.jpg", 1, "{}", 2, index, *parts])
    writer.writerow(["v_30.jpg", 1, "{}", 0, 0, "{}", "{}"])
    for text in (out.getvalue(), "#" + out.getvalue(), out.getvalue().replace("\n", "\r\n")):
        imported = read_export(tmp_path, text)
        assert rows_of(imported) == rows
        assert imported.annotations.empty_keyframes["timestamp"].tolist() == [1.0]
    found = error_of(tmp_path, out.getvalue() + 'v_60.jpg,1,{},1,0,"{""x"":",{}\nv,1\n')
    assert "F:5: no JSON: Expecting value, column 6." in found
    assert "F:6: the line has 2 columns; VIA 2's csv has 7." in found


def test_names_with_quotes_and_line_breaks(tmp_path):
    name = 'say "hi"\nloudly'
    images = {"a": image_2("c_0.jpg", region_2(0, 0, 9, 9, {"action": {"q": True}}))}
    attributes = {"action": {"type": "checkbox", "options": {"q": name}}}
    imported = read_export(tmp_path, project_2(images, attributes))
    assert dict(imported.label_map.names) == {1: name}


def test_row_order_of_regions_does_not_matter_to_the_boxes(tmp_path):
    regions = [region_2(i, 0, 9, 9, {"action": {"s": True}, "track": i}) for i in range(4)]
    tables = [
        rows_of(read_export(tmp_path, project_2({"a": image_2("c_0.jpg", *order)}, ACTION_2)))
        for order in (regions, regions[::-1])
    ]
    assert tables[0] == tables[1]
