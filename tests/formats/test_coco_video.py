"""COCO-like json of videos into AVA form: CocoVID, TAO, YouTube-VIS, every fault."""

import contextlib
import copy
import json
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imported_rows import rows_of
from mutations import with_another_value

from x3d_det.errors import DataError
from x3d_det.formats.exports.coco_video import read_coco_video
from x3d_det.formats.exports.imported import ImportOptions
from x3d_det.io.label_map import LabelMap

CATEGORIES = [{"id": 4, "name": "sit"}, {"id": 9, "name": "walk"}]


def _path(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _read(tmp_path, content, **options):
    return read_coco_video(_path(tmp_path, content), ImportOptions(**options))


def _error(tmp_path, content, **options):
    with pytest.raises(DataError) as caught:
        _read(tmp_path, content, **options)
    return str(caught.value).replace(str(tmp_path / "a.json"), "F")


def _cocovid(annotations, *, fps=10, categories=CATEGORIES, num_images=21):
    """One video `v` of 200 x 100; image 100 + n is frame n."""
    video = {"id": 1, "name": "train/v.mp4", "width": 200, "height": 100, "fps": fps}
    if fps is None:
        del video["fps"]
    images = [
        {"id": 100 + n, "video_id": 1, "frame_id": n, "file_name": f"v/{n + 1:06d}.jpg"}
        for n in range(num_images)
    ]
    for image in images:
        image |= {"width": 200, "height": 100}
    return {
        "videos": [video],
        "images": images,
        "categories": categories,
        "annotations": [{"id": i, **annotation} for i, annotation in enumerate(annotations)],
    }


def _box(frame, x=20, category=9, **more):
    return {"image_id": 100 + frame, "bbox": [x, 10, 40, 20], "category_id": category, **more}


# Worked by hand


def test_cocovid(tmp_path):
    # 10 frames a second: keyframes are frames 0, 10 and 20.
    annotations = [
        _box(10, instance_id=3),
        _box(10, x=100, category=4, instance_id=2),
        _box(11, instance_id=3),
        _box(20, instance_id=3, iscrowd=1),
        _box(20, instance_id=4, iscrowd=0),
    ]
    imported = _read(tmp_path, _cocovid(annotations), video_start_seconds=900)
    assert rows_of(imported) == [
        ["v", 901.0, 0.5, 0.1, 0.7, 0.3, 4, 2],
        ["v", 901.0, 0.1, 0.1, 0.3, 0.3, 9, 3],
        ["v", 902.0, 0.1, 0.1, 0.3, 0.3, 9, 4],
    ]
    assert dict(imported.label_map.names) == {4: "sit", 9: "walk"}
    assert imported.annotations.empty_keyframes.to_numpy().tolist() == [["v", 900.0, 4]]
    assert imported.notes == (
        "boxes round several people (iscrowd), left out: 1",
        "boxes between the keyframes, left out: 1",
        "annotated keyframes without a person, listed as empty: 1",
    )


def test_rate_from_the_caller_and_all_frames(tmp_path):
    content = _cocovid([_box(5), _box(7)], fps=None)
    assert "F: videos[0]: the export does not state the frame rate of video v" in _error(
        tmp_path, content
    )
    imported = _read(tmp_path, content, fps=lambda video_id: {"v": 5}[video_id])
    assert [row[1] for row in rows_of(imported)] == [1.0]
    every = _read(tmp_path, content, fps=lambda video_id: 5, keyframe_interval_seconds=0)
    assert [row[1] for row in rows_of(every)] == [1.0, 1.4]


def test_tao(tmp_path):
    # One annotated frame a second at 30 a second, frame_index counting the video's frames;
    # the category stands with the track.
    content = {
        "videos": [{"id": 1, "name": "train/YFCC/v_7", "width": 200, "height": 100}],
        "images": [
            {"id": n, "video_id": 1, "frame_index": 30 * n + n, "file_name": f"x/f{n}.jpg"}
            for n in range(4)
        ],
        "tracks": [{"id": 71, "category_id": 4, "video_id": 1}],
        "categories": CATEGORIES,
        "annotations": [
            {"id": 1, "image_id": n, "track_id": 71, "bbox": [20, 10, 40, 20]} for n in range(4)
        ],
    }
    imported = _read(tmp_path, content, fps=lambda video_id: 30)
    # Frame 31 is 1/30 s after second 1, frame 93 is 0.1 s after second 3: both near enough.
    assert [(row[0], row[1], row[6], row[7]) for row in rows_of(imported)] == [
        ("v_7", float(n), 4, 71) for n in range(4)
    ]
    content["annotations"][0]["track_id"] = 72
    assert "annotations[0]: the annotation and its track have no category_id" in _error(
        tmp_path, content, fps=lambda video_id: 30
    )


def test_youtube_vis(tmp_path):
    # Every fifth frame of 30 a second; file names carry the video's frame numbers.
    video = {"id": 1, "width": 200, "height": 100, "length": 7}
    video["file_names"] = [f"0043f0/{5 * n:05d}.jpg" for n in range(7)]
    boxes = [None, [0, 0, 20, 20], None, [0, 0, 20, 20], None, None, [20, 10, 40, 20]]
    track = {"id": 12, "video_id": 1, "category_id": 9, "bboxes": boxes, "iscrowd": 0}
    content = {"videos": [video], "categories": CATEGORIES, "annotations": [track]}
    imported = _read(tmp_path, content, fps=lambda video_id: 30)
    assert rows_of(imported) == [["0043f0", 1.0, 0.1, 0.1, 0.3, 0.3, 9, 12]]
    assert imported.annotations.empty_keyframes["timestamp"].tolist() == [0.0]
    track["bboxes"] = boxes[1:]
    found = _error(tmp_path, content, fps=lambda video_id: 30)
    assert "annotations[0].bboxes: found 6 boxes; video 0043f0 has 7 frames" in found
    del video["file_names"]
    video["name"], track["bboxes"] = "w", boxes
    imported = _read(tmp_path, content, fps=lambda video_id: 6)
    assert [row[:2] for row in rows_of(imported)] == [["w", 1.0]]
    video["length"] = 10**9
    found = _error(tmp_path, content, fps=lambda video_id: 6)
    assert "videos[0].length: found 1,000,000,000; at most 1,000,000" in found


def test_actions_in_a_list_and_in_attributes(tmp_path):
    people = [{"id": 1, "name": "person"}]
    listed = [_box(0, category=1, actions=["sit", "talk to"]), _box(10, category=1, actions=[])]
    imported = _read(tmp_path, _cocovid(listed, categories=people))
    assert [row[6] for row in rows_of(imported)] == [1, 2]
    assert dict(imported.label_map.names) == {1: "sit", 2: "talk to"}
    assert "boxes without an action, left out: 1" in imported.notes

    flags = [
        _box(0, category=1, attributes={"occluded": True, "sit": False, "walk": True}),
        _box(10, category=1, attributes={"sit": True, "walk": True, "track_id": 5}),
    ]
    imported = _read(tmp_path, _cocovid(flags, categories=people))
    assert [row[6:] for row in rows_of(imported)] == [[2, -1], [1, 5], [2, 5]]
    assert dict(imported.label_map.names) == {1: "sit", 2: "walk"}

    chosen = [
        _box(0, category=1, attributes={"action": "walk, sit", "side": "left"}),
        _box(10, category=2, attributes={"action": "sit"}),
        _box(20, category=1, attributes={"action": ""}),
    ]
    categories = [*people, {"id": 2, "name": "dog"}]
    content = _cocovid(chosen, categories=categories)
    imported = _read(tmp_path, content, action_attribute="action", person_label="person")
    assert [(row[1], row[6]) for row in rows_of(imported)] == [(0.0, 1), (0.0, 2)]
    assert "boxes of other categories than persons, left out: 1" in imported.notes
    found = _error(tmp_path, content, person_label="persn")
    assert "F: categories: there is no category 'persn'; did you mean person?" in found


def test_actions_as_category_ids(tmp_path):
    imported = _read(tmp_path, _cocovid([_box(0, actions=[9, 4])]))
    assert list(imported.label_map.names.values()) == ["walk", "sit"]
    found = _error(tmp_path, _cocovid([_box(0, actions=[9, 5])]))
    assert found == "F: annotations[0].actions[1]: there is no category 5."


def test_person_among_the_categories_is_no_action(tmp_path):
    categories = [{"id": 1, "name": "person"}, *CATEGORIES]
    imported = _read(tmp_path, _cocovid([_box(0), _box(10, category=1)], categories=categories))
    assert [row[6] for row in rows_of(imported)] == [9]
    assert dict(imported.label_map.names) == {4: "sit", 9: "walk"}


def test_category_ids_from_0_and_label_map(tmp_path):
    categories = [{"id": 0, "name": "sit"}, {"id": 1, "name": "walk"}]
    content = _cocovid([_box(0, category=1)], categories=categories)
    imported = _read(tmp_path, content)
    assert [row[6] for row in rows_of(imported)] == [2]
    assert imported.notes[0] == "categories numbered anew from 1: 2"
    label_map = LabelMap({12: "walk"})
    assert [row[6] for row in rows_of(_read(tmp_path, content, label_map=label_map))] == [12]
    with pytest.raises(DataError, match="the label map names 'walk' twice, as 3 and 12"):
        _read(tmp_path, content, label_map=LabelMap({3: "walk", 12: "walk"}))


def test_frame_numbers_from_1_and_from_file_names(tmp_path):
    content = _cocovid([_box(10)])
    for image in content["images"]:
        del image["frame_id"]  # the file names count from 000001
    assert [row[1] for row in rows_of(_read(tmp_path, content, first_frame_number=1))] == [1.0]
    content["images"][0]["file_name"] = "v/0.jpg"
    found = _error(tmp_path, content, first_frame_number=1)
    assert found == "F: images[0].file_name: frame 0 is below the first frame number, 1."
    content["images"][0]["file_name"] = "v/first.jpg"
    assert "images[0].file_name: found 'v/first.jpg'; without frame_id" in _error(tmp_path, content)


def test_size_from_images_videos_or_the_caller(tmp_path):
    content = _cocovid([_box(0)])
    content["images"][0] |= {"width": 400}
    assert rows_of(_read(tmp_path, content))[0][2:6] == [0.05, 0.1, 0.15, 0.3]
    for holder in [*content["images"], *content["videos"]]:
        del holder["width"]
    assert "does not state the frame size of video v" in _error(tmp_path, content)
    rows = rows_of(_read(tmp_path, content, frame_size=lambda video_id: (100, 800)))
    assert rows[0][2:6] == [0.025, 0.1, 0.075, 0.3]


# Laws


def test_order_of_annotations_does_not_matter(tmp_path):
    annotations = [_box(10 * (i % 3), x=i, instance_id=i) for i in range(9)]
    tables = [
        rows_of(_read(tmp_path, _cocovid(order))) for order in (annotations, annotations[::-1])
    ]
    assert tables[0] == tables[1]


def test_the_same_track_as_youtube_vis_or_as_images(tmp_path):
    frames = _cocovid([_box(n, x=n, instance_id=5) for n in range(0, 21, 2)])
    track = copy.deepcopy(frames)
    boxes = [[n, 10, 40, 20] if n % 2 == 0 else None for n in range(21)]
    track["annotations"] = [{"id": 5, "video_id": 1, "category_id": 9, "bboxes": boxes}]
    del track["images"]
    track["videos"][0]["file_names"] = [f"v/{n}.jpg" for n in range(21)]
    assert rows_of(_read(tmp_path, frames)) == rows_of(_read(tmp_path, track))


def test_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("annotations/instances.json", json.dumps(_cocovid([_box(0)])))
    assert len(rows_of(read_coco_video(tmp_path / "a.zip"))) == 1


# Faults


def test_all_faults_at_once_with_their_places(tmp_path):
    content = _cocovid(
        [
            _box(0, image_id=5),
            _box(0, category=5),
            _box(0, bbox=[0, 0, 5]),
            _box(0, bbox=[0, 0, 5, 0]),
            _box(0, bbox=[0, 0, 5, True]),
            {"image_id": 100},
            _box(0, bbox=[0, 0, 1e300, 5]),
        ]
    )
    content["annotations"][0]["image_id"] = 5
    content["videos"] += [{"id": 1, "name": "w"}, {"id": 2, "name": "other/v.avi"}, {"id": 3}]
    content["images"] += [
        {"id": 100, "video_id": 1, "frame_id": 50},
        {"id": 500, "video_id": 1, "frame_id": 1},
        {"id": 501, "video_id": 8, "frame_id": 1},
        {"id": 502, "video_id": 1, "frame_id": 1.5},
    ]
    found = _error(tmp_path, content)
    for text in (
        "F: videos[1]: a second video has the id 1; give each its own.",
        "F: videos[2]: a second video is called v; rename one of them.",
        "F: videos[3]: the export does not name its video; give --video-id.",
        "F: images[21]: a second image has the id 100",
        "F: images[22]: a second image of frame 1 of video v",
        "F: images[23].video_id: there is no video with the id '8'.",
        "F: images[24].frame_id: found 1.5; it must be a whole number from 0.",
        "F: annotations[0].image_id: there is no image with the id '5'.",
        "F: annotations[1].category_id: there is no category 5.",
        "F: annotations[2].bbox: found 3 numbers; there must be 4.",
        "F: annotations[3].bbox: the box from (0, 0) to (5, 0) has no area",
        "F: annotations[4].bbox[3]: found True; it must be a number.",
        "F: annotations[5]: there is no 'bbox'; export it again.",
        "F: annotations[6].bbox[2]: found 1e+300; it must be a finite number.",
    ):
        assert text in found
    assert len(found.splitlines()) == 14


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"videos": None}, "F: videos: found None; it must be a list."),
        ({"categories": [{"id": 1}]}, "F: categories[0]: there is no 'name'"),
        ({"categories": [*CATEGORIES, {"id": 5, "name": "sit"}]}, "two categories have one name"),
        ({"annotations": []}, "no box with an action stands on any of the 3 annotated keyframes"),
        ({"images": []}, "there is no image with the id '100'"),
        ({"videos": [{"id": 1, "name": "v", "fps": 0}]}, "the frame rate of video v is 0.0"),
        ({"videos": [{"id": 1, "name": "v", "fps": "30"}]}, "videos[0].fps: found '30'"),
    ],
)
def test_parts_that_are_missing_or_wrong(tmp_path, change, what):
    assert what in _error(tmp_path, {**_cocovid([_box(0)]), **change})


def test_files_that_are_no_json_of_videos(tmp_path):
    assert "F:1: no JSON: Expecting value, column 1." in _error(tmp_path, "<xml/>")
    assert "F: there is no 'categories'" in _error(tmp_path, "{}")
    assert "F: found []; it must be an object." in _error(tmp_path, "[]")


# Mutations

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 120) | st.floats() | st.sampled_from(["1", "v"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "name"]), inner)
    ),
    max_leaves=4,
)
SMALL = _cocovid([_box(1, instance_id=3, attributes={"sit": True})], num_images=3)
VIS = {
    "videos": [{"id": 1, "name": "v", "height": 9, "width": 9, "fps": 2, "file_names": ["0.jpg"]}],
    "categories": [{"id": 1, "name": "person"}],
    "annotations": [
        {"id": 3, "video_id": 1, "category_id": 1, "bboxes": [[0, 0, 5, 5]], "actions": ["sit"]}
    ],
}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(root=with_another_value([SMALL, VIS], JSON))
def test_any_value_in_any_place_ends_in_a_result_or_a_data_error(tmp_path, root):
    with contextlib.suppress(DataError):
        rows = _read(tmp_path, root, keyframe_interval_seconds=0).annotations.rows
        boxes = rows[["x1", "y1", "x2", "y2"]].to_numpy()
        assert ((boxes >= 0) & (boxes <= 1)).all()
        assert (boxes[:, :2] < boxes[:, 2:]).all()
