"""COCO json: annotations, person boxes and results, as pycocotools loads them."""

import contextlib
import copy
import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError
from x3d_det.formats.coco import read_coco, write_coco_annotations
from x3d_det.formats.coco_persons import (
    read_coco_persons,
    write_coco_persons,
    write_coco_results,
)
from x3d_det.formats.person_boxes import PersonBoxes, read_labelled_person_boxes
from x3d_det.io.ava_csv import AvaAnnotations, read_annotations
from x3d_det.io.label_map import LabelMap, ava_label_map

ACTIONS = LabelMap({12: "stand", 80: "watch"}, {12: "PERSON_MOVEMENT"})
# Two keyframes of 200 x 100 pixels; the second is empty.
DATA_SET = {
    "images": [
        {"id": 7, "file_name": "film/0902.jpg", "width": 200, "height": 100},
        {"id": "b", "video": "a.b", "timestamp": 17.5, "width": 200, "height": 100},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 12, "bbox": [20, 10, 100, 50], "track_id": 3},
        {"id": 2, "image_id": 7, "category_id": 80, "bbox": [0, 0, 200.6, 100]},
    ],
    "categories": [{"id": 12, "name": "stand"}, {"id": 80, "name": "watch"}],
}


def _size(_video_id):
    return 100, 200


def _json(tmp_path, content, name="coco.json"):
    path = tmp_path / name
    path.write_text(json.dumps(content))
    return path


def _loaded(path):
    """Return pycocotools' view of a file, its talk swallowed."""
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_pixels_become_fractions(tmp_path):
    imported = read_coco(_json(tmp_path, DATA_SET))
    rows = imported.annotations.rows
    # 20 / 200, 10 / 100, (20 + 100) / 200, (10 + 50) / 100; the second reaches 0.6 px out
    assert rows.loc[0, ["x1", "y1", "x2", "y2"]].tolist() == [0.1, 0.1, 0.6, 0.6]
    assert rows.loc[1, ["x1", "y1", "x2", "y2"]].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert rows["person_id"].tolist() == [3, -1]
    assert rows["action_id"].tolist() == [12, 80]
    assert rows["timestamp"].tolist() == [902.0, 902.0]
    assert dict(imported.label_map.names) == {12: "stand", 80: "watch"}
    assert imported.annotations.empty_keyframes.iloc[0].tolist() == ["a.b", 17.5, 3]


def test_ids_from_zero_are_shifted_or_refused(tmp_path):
    content = copy.deepcopy(DATA_SET)
    content["categories"] = [{"id": 0, "name": "stand"}, {"id": 1, "name": "walk"}]
    content["annotations"] = [{"image_id": 7, "category_id": 0, "bbox": [0, 0, 10, 10]}]
    path = _json(tmp_path, content)
    with pytest.raises(DataError, match=r"category id 0 cannot be an action id .* --first-id 0"):
        read_coco(path)
    imported = read_coco(path, first_id=0)
    assert dict(imported.label_map.names) == {1: "stand", 2: "walk"}
    assert imported.annotations.rows["action_id"].tolist() == [1]


def test_crowds_are_counted(tmp_path):
    content = copy.deepcopy(DATA_SET)
    content["annotations"][1]["iscrowd"] = 1
    imported = read_coco(_json(tmp_path, content))
    assert len(imported.annotations.rows) == 1
    assert imported.notes == ("1 boxes of crowds (iscrowd) are left out",)


def _spoilt(key, index, **values):
    content = copy.deepcopy(DATA_SET)
    content[key][index] |= values
    return content


FAULTS = [
    ("[1, 2]", ": found [1, 2]; it must be an object"),
    ("{", ":1: no JSON"),
    ('{"images": []}', "there is no 'categories'"),
    (_spoilt("images", 1, id=7), "images[1].id: the id 7 occurs twice"),
    (_spoilt("images", 1, id=1.5), "images[1].id: found 1.5; an id is a number or text"),
    (
        _spoilt("images", 0, file_name="000123.jpg"),
        "images[0]: the file name '000123.jpg' does not say which second of which video",
    ),
    (_spoilt("images", 1, video="film", timestamp=902), "images[1]: is film,0902, as is images[0]"),
    (_spoilt("images", 1, video="../x"), "images[1]: the video id '../x' is no bare file name"),
    (_spoilt("images", 1, timestamp=-1), "images[1]: the timestamp -1 is negative"),
    (_spoilt("images", 0, width=None), "images[0]: states no width and height; give --frame-size"),
    (_spoilt("images", 0, width=0), "images[0]: the size is 0 x 100; it must be above 0"),
    (_spoilt("annotations", 1, image_id=8), "annotations[1]: image_id 8 is the id of no image"),
    (_spoilt("annotations", 1, image_id=True), "annotations[1]: image_id True is the id of no"),
    (_spoilt("annotations", 1, category_id=5), "annotations[1]: category_id 5 is the id of no cat"),
    (
        _spoilt("annotations", 0, track_id="x"),
        "annotations[0]: track_id is 'x'; it must be a whole",
    ),
    (
        _spoilt("annotations", 0, bbox=[1, 2, 3]),
        "annotations[0]: bbox is [1, 2, 3]; it must be four",
    ),
    (_spoilt("annotations", 0, bbox=[1, 2, 0, 4]), "width and height must be above 0"),
    (
        _spoilt("annotations", 0, bbox=[150, 10, 60, 50]),
        "annotations[0]: bbox [150, 10, 60, 50] reaches 10 pixels out of its 200 x 100 frame",
    ),
    (_spoilt("annotations", 0, bbox=[200, 10, 1, 50]), "bbox [200, 10, 1, 50] has no part in the"),
    (
        _spoilt("annotations", 1, category_id=12, bbox=[20, 10, 100, 50], track_id=3),
        "annotations[1]: repeats an earlier annotation",
    ),
    (_spoilt("categories", 1, id=12), "categories[1].id: the category id 12 occurs twice"),
    ({**DATA_SET, "annotations": [7]}, "annotations[0]: found 7; it must be an object"),
    ({**DATA_SET, "annotations": {}}, "annotations: found {}; it must be a list"),
    ({**DATA_SET, "images": [], "annotations": []}, "there is neither an annotation nor an image"),
]


@pytest.mark.parametrize(("content", "text"), FAULTS, ids=range(len(FAULTS)))
def test_faults_name_their_place(tmp_path, content, text):
    path = tmp_path / "coco.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError) as caught:
        read_coco(path)
    assert str(caught.value).startswith(f"{path}:")
    assert text in str(caught.value)


def test_a_key_twice_is_refused(tmp_path):
    path = tmp_path / "coco.json"
    path.write_text('{"images": [], "images": []}')
    with pytest.raises(DataError, match=r"the key 'images' occurs twice"):
        read_coco(path)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("ava_val_v2.2_excerpt.csv", (333, 777)),
        ("ava_kinetics_val_v1.0_first_12000_rows.csv", (1080, 1919)),
    ],
)
def test_real_annotations_come_back_exactly(shared_dir, tmp_path, name, size):
    annotations = read_annotations(shared_dir / "ava" / "annotations" / name)
    path = tmp_path / "coco.json"
    labels = ava_label_map(80)
    write_coco_annotations(annotations, path, label_map=labels, frame_size=lambda _video: size)
    imported = read_coco(path)
    drop = {"columns": "line"}
    pd.testing.assert_frame_equal(
        imported.annotations.rows.drop(**drop), annotations.rows.drop(**drop)
    )
    assert imported.label_map == labels
    boxed = set(zip(annotations.rows["video_id"], annotations.rows["timestamp"], strict=True))
    empty = annotations.empty_keyframes
    named = set(zip(empty["video_id"], empty["timestamp"], strict=True)) - boxed
    found = imported.annotations.empty_keyframes
    assert set(zip(found["video_id"], found["timestamp"], strict=True)) == named


def test_pycocotools_loads_what_is_written(tmp_path):
    imported = read_coco(_json(tmp_path, DATA_SET))
    path = tmp_path / "out.json"
    write_coco_annotations(
        imported.annotations, path, label_map=imported.label_map, frame_size=_size
    )
    coco = _loaded(path)
    assert coco.getImgIds() == [1, 2]
    assert coco.loadImgs(1)[0]["file_name"] == "film/0902.jpg"
    assert coco.loadImgs(2)[0]["file_name"] == "a.b/17.500000.jpg"
    first = coco.loadAnns(coco.getAnnIds(imgIds=1, catIds=12))[0]
    assert first["bbox"] == pytest.approx([20, 10, 100, 50])
    assert first["area"] == pytest.approx(5000)
    assert first["track_id"] == 3
    assert [cat["name"] for cat in coco.loadCats(coco.getCatIds())] == ["stand", "watch"]
    again = read_coco(path).annotations.rows
    pd.testing.assert_frame_equal(again, imported.annotations.rows)


def test_an_action_without_a_name_is_refused(tmp_path):
    imported = read_coco(_json(tmp_path, DATA_SET))
    with pytest.raises(DataError, match=r"action id 80 of .* is not in the label map"):
        write_coco_annotations(
            imported.annotations,
            tmp_path / "out.json",
            label_map=LabelMap({12: "stand"}),
            frame_size=_size,
        )
    assert not (tmp_path / "out.json").exists()


# Person boxes


def _boxes(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("v,0902,0.1,0.2,0.3,0.4,,0.9\nw,0903,0.1,0.2,0.3,0.7,,0.25\n")
    return read_labelled_person_boxes(path)


def test_person_boxes_with_scores_come_back(tmp_path):
    boxes = _boxes(tmp_path)
    empty = pd.DataFrame({"video_id": ["w"], "timestamp": [904.0], "line": [3]})
    path = tmp_path / "persons.json"
    write_coco_persons(PersonBoxes(boxes.rows, empty), path, frame_size=_size)
    found = read_coco_persons(path)
    pd.testing.assert_frame_equal(found.rows, boxes.rows)
    assert found.empty_keyframes[["video_id", "timestamp"]].iloc[0].tolist() == ["w", 904.0]
    assert found.notes == ()
    assert _loaded(path).loadCats(1)[0]["name"] == "person"


def test_results_count_the_images_of_a_data_set(tmp_path):
    boxes = _boxes(tmp_path)
    images, results = tmp_path / "persons.json", tmp_path / "results.json"
    write_coco_persons(boxes, images, frame_size=_size)
    write_coco_results(boxes.rows, results, images=images)
    loaded = _loaded(images).loadRes(json.loads(results.read_text()))
    assert [loaded.anns[number]["score"] for number in (1, 2)] == [0.9, 0.25]
    pd.testing.assert_frame_equal(read_coco_persons(results, images=images).rows, boxes.rows)
    with pytest.raises(DataError, match=r"results\.json: a list of COCO results .* --images"):
        read_coco_persons(results)
    other = boxes.rows.assign(timestamp=905.0)
    with pytest.raises(DataError, match=r"2 keyframes with boxes are no image of it; .* v,0905"):
        write_coco_results(other, tmp_path / "more.json", images=images)
    assert not (tmp_path / "more.json").exists()


def test_other_categories_crowds_and_missing_scores_are_told(tmp_path):
    content = copy.deepcopy(DATA_SET)
    content["categories"] = [{"id": 1, "name": "Person"}, {"id": 3, "name": "car"}]
    box = {"image_id": 7, "category_id": 1, "bbox": [20, 10, 100, 50]}
    content["annotations"] = [box, {**box, "category_id": 3}, {**box, "iscrowd": 1}]
    boxes = read_coco_persons(_json(tmp_path, content))
    assert boxes.rows["score"].tolist() == [1.0]
    assert boxes.notes == (
        "1 boxes of other categories than person are left out",
        "1 boxes of crowds (iscrowd) are left out",
        "1 boxes have no score; 1 is taken",
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"score": 2}, "score is 2; it must be a number from 0 to 1"),
        ({"score": None}, "score is None; it must be a number from 0 to 1"),
        ({"image_id": "x"}, "image_id 'x' is the id of no image"),
        ({"bbox": None}, "bbox is None; it must be four numbers"),
    ],
)
def test_faults_of_results(tmp_path, change, text):
    images = tmp_path / "persons.json"
    write_coco_persons(_boxes(tmp_path), images, frame_size=_size)
    good = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], "score": 0.5}
    path = _json(tmp_path, [good, {**good, **change}], "results.json")
    with pytest.raises(DataError) as caught:
        read_coco_persons(path, images=images)
    assert str(caught.value).startswith(f"{path}: [1]: ")
    assert text in str(caught.value)


def test_a_data_set_without_persons_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"found 2 categories \(stand, watch\), of which 0 are"):
        read_coco_persons(_json(tmp_path, DATA_SET))
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    with pytest.raises(DataError, match="there is no image in it"):
        read_coco_persons(_json(tmp_path, content))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.integers(0, 999_998)] * 2, st.integers(1, 80), st.integers(0, 5)),
        min_size=1,
        max_size=8,
        unique=True,
    ),
    st.integers(16, 4320),
    st.integers(16, 7680),
)
def test_what_is_written_is_read_whatever_the_size(tmp_path_factory, drawn, height, width):
    rows = pd.DataFrame(
        {
            "video_id": [f"v{second}" for *_, second in drawn],
            "timestamp": [float(second) for *_, second in drawn],
            "x1": [x / 1e6 for x, *_ in drawn],
            "y1": [y / 1e6 for _, y, *_ in drawn],
            "x2": [(x + 1) / 1e6 for x, *_ in drawn],
            "y2": 1.0,
            "action_id": np.array([action for *_, action, _ in drawn], np.int64),
            "person_id": np.arange(len(drawn)) - 1,
            "line": np.arange(1, len(drawn) + 1),
        }
    )
    path = tmp_path_factory.mktemp("coco") / "a.json"
    annotations = AvaAnnotations(rows, rows.iloc[:0][["video_id", "timestamp", "line"]], "drawn")
    write_coco_annotations(
        annotations, path, label_map=ava_label_map(80), frame_size=lambda _video: (height, width)
    )
    pd.testing.assert_frame_equal(read_coco(path).annotations.rows, rows)
