"""Annotation pickles of tubes and files of what was found: read, written, faults by key."""

import numpy as np
import pytest
from tube_cases import annotations, tube, write_pickle

from x3d_det.errors import DataError
from x3d_det.formats.tube_files import (
    TUBE_DATASETS,
    read_frame_detections,
    read_tube_annotations,
    read_tubes,
    write_tube_dataset,
    write_tubes,
)
from x3d_det.io.ava_csv import read_annotations
from x3d_det.io.detection_tables import read_detection_table, write_detection_table
from x3d_det.io.label_map import read_label_map

SPORTS = TUBE_DATASETS["multisports"]

# The opcodes that Python 2.7 writes at protocol 2, put together by hand: `str` as SHORT_BINSTRING,
# an array by NumPy's `_reconstruct` with its bytes as a `str`.
PYTHON_2 = (
    b"\x80\x02}(U\x06labels]U\x03runaU\x07gttubes}U\x04pk/a}K\x00]"
    b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    b"(K\x01K\x01K\x05\x86cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
    b"J\xff\xff\xff\xffK\x00tb\x89U\x14"
    + np.array([[2, 1, 2, 3, 4]], "<f4").tobytes()
    + b"tbassU\x07nframes}U\x04pk/aK\x02sU\nresolution}U\x04pk/aK\x0aK\x14\x86s"
    b"U\x0ctrain_videos]]aU\x0btest_videos]]U\x04pk/aaau."
)


def _read(tmp_path, content=None, *, inclusive=True, protocol=2):
    path = write_pickle(tmp_path / "gt.pkl", content or annotations(), protocol=protocol)
    return read_tube_annotations(path, inclusive_corners=inclusive)


def _singh(**changes):
    """One video of UCF101-24 as pyannot.pkl has it; uint8, as there."""
    entry = {"label": 0, "sf": 2, "ef": 4, "boxes": np.array([[200, 100, 100, 90]] * 2, np.uint8)}
    return {
        "Diving/v_Diving_g01_c01": {"annotations": [entry | changes], "label": 0, "numf": 5},
        "Biking/v_Biking_g02_c01": {"annotations": [], "label": 1, "numf": 9},
    }


@pytest.mark.parametrize("protocol", range(6))
def test_act_layout(tmp_path, protocol):
    tubes = _read(tmp_path, protocol=protocol)
    assert tubes.labels == ("run", "swim")
    assert tubes.resolution["park/a"] == (100, 200)
    assert tubes.videos(1, "test") == ("pool/b",)
    found = [(t.video_id, t.label, t.frames.tolist(), t.boxes_px[0].tolist()) for t in tubes.tubes]
    assert found == [
        ("park/a", 0, [1, 2, 3], [10, 20, 29, 59]),
        ("pool/b", 1, [2, 3], [10, 20, 29, 59]),
        ("pool/b", 1, [1], [50, 20, 99, 79]),
    ]


def test_act_layout_written_by_python_2(tmp_path):
    path = tmp_path / "gt.pkl"
    path.write_bytes(PYTHON_2)
    tubes = read_tube_annotations(path, inclusive_corners=True)
    assert tubes.labels == ("run",)
    assert tubes.resolution == {"pk/a": (10, 20)}
    assert tubes.tubes[0].boxes_px.tolist() == [[1, 2, 3, 4]]


def test_singh_layout_with_a_test_list(tmp_path):
    """sf = 2, ef = 4 are frames 3 and 4; x + width is beyond what uint8 holds."""
    path = write_pickle(tmp_path / "pyannot.pkl", _singh())
    test_list = tmp_path / "testlist01.txt"
    test_list.write_text("Diving/v_Diving_g01_c01\nArchery/v_Archery_g01_c01.avi\n")
    tubes = read_tube_annotations(path, inclusive_corners=True, test_list=test_list)
    assert tubes.labels == ("Diving", "Biking")
    assert tubes.videos(1, "test") == ("Diving/v_Diving_g01_c01",)
    assert tubes.videos(1, "train") == ("Biking/v_Biking_g02_c01",)
    assert tubes.tubes[0].frames.tolist() == [3, 4]
    assert tubes.tubes[0].boxes_px[0].tolist() == [200, 100, 300, 190]
    assert tubes.resolution["Diving/v_Diving_g01_c01"] == (240, 320)


def test_singh_layout_with_class_names(tmp_path):
    content = {
        "db": _singh(),
        "classes": ["Diving", "Biking"],
        "trainvideos": ["Other/v", *_singh()],
    }
    content["trainvideos"].remove("Diving/v_Diving_g01_c01")
    tubes = _read(tmp_path, content)
    assert tubes.labels == ("Diving", "Biking")
    assert tubes.videos(1, "test") == ("Diving/v_Diving_g01_c01",)


GT = {"park/a": {0: [tube(1, (1, 2, 3, 4))]}, "pool/b": {}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": {"park/a": (100, 200)}}, "resolution has no entry for the video 'pool/b'"),
        ({"resolution": {"park/a": 5}}, r"resolution\['park/a'\] is 5; it must be \(height"),
        ({"nframes": {"park/a": 3}}, "nframes has no entry for the video 'pool/b'"),
        ({"nframes": {"park/a": 2.5}}, r"nframes\['park/a'\] is 2.5; it must be a whole number"),
        ({"nframes": {"park/a": float("nan")}}, r"nframes\['park/a'\] is nan"),
        ({"gttubes": {"park/a": {}}}, "gttubes has no entry for the video 'pool/b'"),
        ({"gttubes": [1]}, "gttubes is of type list; it must be a dict"),
        ({"labels": "run"}, "labels is of type str; it must be a list of names"),
        ({"labels": ["run", "run"]}, "labels names 'run' twice"),
        ({"test_videos": []}, "train_videos and test_videos must be lists with one list"),
        ({"test_videos": [["park/a"], []]}, "train_videos has 1 splits and test_videos 2"),
        ({"test_videos": [["park/a"]]}, "'park/a' is a training and a test video of split 1"),
        ({"gttubes": GT | {"pool/b": {2: []}}}, r"\['pool/b'\]\[2\]: label 2 is unknown; .* 2"),
        ({"gttubes": GT | {"pool/b": {0: 3}}}, r"\['pool/b'\]\[0\] is of type int; it must be"),
        ({"gttubes": GT | {"pool/b": {0: [np.ones((2, 4))]}}}, r"\[0\]\[0\] has the shape \(2, 4"),
        (
            {"gttubes": GT | {"pool/b": {0: [tube(0, (1, 2, 3, 4))]}}},
            r"gttubes\['pool/b'\]\[0\]\[0\]: frame 0 is no frame number; they count 1, 2, 3",
        ),
        (
            {"gttubes": GT | {"pool/b": {0: [tube(4, (1, 2, 3, 4), (1, 2, 3, 4))]}}},
            "frame 5 is behind the last of the video, 4",
        ),
        (
            {"gttubes": GT | {"pool/b": {0: [tube(1, (1, 2, 3, 4), (1, 2, 3, 4))[::-1]]}}},
            "frame 1 follows frame 2; the frames of a tube rise by 1",
        ),
        (
            {"gttubes": GT | {"pool/b": {0: [tube(2, (9, 2, 3, 4))]}}},
            "the box 9, 2, 3, 4 of frame 2 is inverted",
        ),
        (
            {"gttubes": GT | {"pool/b": {0: [tube(2, (1, 2, np.inf, 4))]}}},
            "holds a number that is not finite",
        ),
    ],
)  # fmt: skip
def test_faults_of_act_layout_name_the_key(tmp_path, change, message):
    with pytest.raises(DataError, match=f"gt.pkl.*{message}") as caught:
        _read(tmp_path, annotations(**change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "holds a value of type list; annotations of tubes are a dict with labels, gttubes"),
        ({"a": 1, "b": 2}, "has the keys 'a', 'b'; annotations of tubes"),
        ({"gttubes": {}}, "lacks the key 'labels'; it must have labels, gttubes, nframes"),
        (_singh(), "does not say which videos are for testing; name UCF101's testlist01.txt"),
        (_singh() | {"Golf/v": _singh()["Diving/v_Diving_g01_c01"]}, "'Diving' and, at 'Golf/v'"),
    ],
)
def test_wrong_layouts(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        _read(tmp_path, content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ef": 5}, r"\[annotations\]\[0\] has 2 boxes for the frames sf = 2 to ef = 5; .* have 3"),
        ({"label": 7}, r"\[annotations\]\[0\]\[label\]: label 7 is unknown; the file names 2"),
        ({"sf": 4, "ef": 6}, "frame 6 is behind the last of the video, 5"),
    ],
)
def test_faults_of_singh_layout(tmp_path, change, message):
    path = write_pickle(tmp_path / "pyannot.pkl", _singh(**change))
    test_list = tmp_path / "list.txt"
    test_list.write_text("Diving/v_Diving_g01_c01\n")
    with pytest.raises(DataError, match=message):
        read_tube_annotations(path, inclusive_corners=True, test_list=test_list)


def test_test_list_that_fits_nothing(tmp_path):
    path = write_pickle(tmp_path / "pyannot.pkl", _singh())
    (tmp_path / "list.txt").write_text("nobody\n")
    with pytest.raises(DataError, match=r"list.txt names no video of .*pyannot.pkl"):
        read_tube_annotations(path, inclusive_corners=True, test_list=tmp_path / "list.txt")
    with pytest.raises(DataError, match=r"test list .*none.txt cannot be read"):
        read_tube_annotations(path, inclusive_corners=True, test_list=tmp_path / "none.txt")


def test_there_is_no_such_split(tmp_path):
    with pytest.raises(DataError, match="has no split 2; it has 1"):
        _read(tmp_path).videos(2, "test")


def test_written_dataset_by_hand(tmp_path):
    """At 25 fps frame 2 is second 0.04. 200 x 100 pixels; corner 29 covers its pixel: 30 / 200."""
    written = write_tube_dataset(
        _read(tmp_path), tmp_path / "set", dataset=TUBE_DATASETS["ucf101_24"]
    )
    labels, train, val = written.files
    assert dict(read_label_map(labels).names) == {1: "run", 2: "swim"}
    assert train.read_text().splitlines()[1] == "a,0.040000,0.050000,0.200000,0.150000,0.600000,1,0"
    assert val.read_text().splitlines() == [
        "b,0000,0.250000,0.200000,0.500000,0.800000,2,1",
        "b,0.040000,0.050000,0.200000,0.150000,0.600000,2,0",
        "b,0.080000,0.050000,0.200000,0.150000,0.600000,2,0",
        "b,0.120000",  # frame 4: nobody acts
    ]
    assert len(read_annotations(train).rows) == 3
    assert written.summary[1] == "test: 1 videos, 3 keyframes with persons, 1 without, 3 boxes"


def test_continuous_corners_are_written_as_they_are(tmp_path):
    tubes = _read(tmp_path, inclusive=False)
    written = write_tube_dataset(tubes, tmp_path / "set", dataset=SPORTS, train_interval=2)
    assert written.files[1].read_text().splitlines() == [
        "a,0000,0.050000,0.200000,0.145000,0.590000,1,0",
        "a,0.080000,0.050000,0.200000,0.145000,0.590000,1,0",
    ]
    assert "keyframe_interval_seconds: 0.040000" in written.yaml


def test_boxes_are_cut_at_the_frame_and_refused_outside(tmp_path):
    over = annotations(gttubes=GT | {"pool/b": {0: [tube(1, (190, -5, 210, 50))]}})
    path = write_tube_dataset(_read(tmp_path, over), tmp_path / "set", dataset=SPORTS).files[2]
    assert path.read_text().startswith("b,0000,0.950000,0.000000,1.000000,0.51")
    outside = annotations(gttubes=GT | {"pool/b": {0: [tube(2, (250, 1, 260, 9))]}})
    with pytest.raises(DataError, match=r"'pool/b'.*250, 1, 260, 9 of frame 2 has nothing inside"):
        write_tube_dataset(_read(tmp_path, outside), tmp_path / "set", dataset=SPORTS)


def test_two_videos_of_one_bare_name(tmp_path):
    content = annotations(
        gttubes={"x/a": {0: [tube(1, (1, 2, 3, 4))]}, "y/a": {}},
        nframes={"x/a": 1, "y/a": 1}, resolution={"x/a": (9, 9), "y/a": (9, 9)},
        train_videos=[["x/a"]], test_videos=[["y/a"]],
    )  # fmt: skip
    tubes = _read(tmp_path, content)
    with pytest.raises(DataError, match="'x/a' and 'y/a' have one name without their folders"):
        write_tube_dataset(tubes, tmp_path / "set", dataset=SPORTS)
    (tmp_path / "d.csv").write_text("a,0000,0,0,1,1,1,0.5\n")
    with pytest.raises(DataError, match=r"d.csv:1: the video 'a' may be 'x/a' or 'y/a'"):
        read_frame_detections(tmp_path / "d.csv", tubes, fps=25)


def test_csv_detections_return_to_the_annotated_pixels(tmp_path):
    tubes = _read(tmp_path)
    (tmp_path / "d.csv").write_text(
        "b,0.04,0.05,0.2,0.15,0.6,2,0.5\npool/b,0.08,0.05,0.2,0.15,0.6,1,0.25\n"
    )
    found = read_frame_detections(tmp_path / "d.csv", tubes, fps=25)
    assert found.videos == ("pool/b",)
    assert found.frames.tolist() == [2, 3]
    assert found.labels.tolist() == [1, 0]
    np.testing.assert_allclose(found.boxes_px, [[10, 20, 29, 59]] * 2)
    (tmp_path / "d.csv").write_text("b,2,0.05,0.2,0.15,0.6,2,0.5\n")
    found = read_frame_detections(tmp_path / "d.csv", tubes, fps=25, timestamps="frames")
    assert found.frames.tolist() == [2]
    assert len(found.of_videos(["park/a"])) == 0


def test_parquet_detections_are_those_of_the_csv(tmp_path):
    tubes = _read(tmp_path)
    (tmp_path / "d.csv").write_text("b,0.04,0.05,0.2,0.15,0.6,2,0.5\n")
    rows = read_detection_table(tmp_path / "d.csv")
    write_detection_table(rows, tmp_path / "d.parquet")
    one, other = (
        read_frame_detections(tmp_path / name, tubes, fps=25) for name in ("d.csv", "d.parquet")
    )
    np.testing.assert_array_equal(one.boxes_px, other.boxes_px)
    write_detection_table(rows.assign(action_id=3), tmp_path / "d.parquet")
    with pytest.raises(DataError, match=r"d.parquet: row 0: label 3 is unknown"):
        read_frame_detections(tmp_path / "d.parquet", tubes, fps=25)


def test_empty_detections(tmp_path):
    (tmp_path / "d.csv").write_text("")
    assert len(read_frame_detections(tmp_path / "d.csv", _read(tmp_path), fps=25)) == 0
    path = write_pickle(tmp_path / "d.pkl", [])
    assert len(read_frame_detections(path, _read(tmp_path), fps=25)) == 0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("c,0.04,0,0,1,1,1,0.5", "d.csv:2: the video 'c' is not in .*gt.pkl, which has 2"),
        (
            "b,0.05,0,0,1,1,1,0.5",
            "d.csv:2: timestamp 0.05 is no frame: at 25 frames a second it is",
        ),
        ("b,0.16,0,0,1,1,1,0.5", "d.csv:2: frame 5 is outside the video 'pool/b', .* are 1 to 4"),
        ("b,-0.04,0,0,1,1,1,0.5", "d.csv:2: frame 0 is outside the video"),
        ("b,0.04,0,0,1,1,3,0.5", "d.csv:2: label 3 is unknown; the data set has 1 to 2"),
        ("b,0.04,0,0,1,1,1", "d.csv:2: the row has no finite score"),
        ("b,0.04,0.5,0,0.4,1,1,0.5", "d.csv:2: the box is inverted"),
    ],
)
def test_faults_of_csv_detections(tmp_path, row, message):
    (tmp_path / "d.csv").write_text(f"b,0000,0,0,1,1,1,0.5\n{row}\n")
    with pytest.raises(DataError, match=message):
        read_frame_detections(tmp_path / "d.csv", _read(tmp_path), fps=25)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a": 1}, "d.pkl is no list of frame detections; each row is video index, frame, label"),
        (
            [[1, 1, 0, 0.5, 1, 2, 3, 4]],
            "row 0: video index 1 is above 0; it counts the test videos",
        ),
        ([[0, 1.5, 0, 0.5, 1, 2, 3, 4]], r"row 0: \[0.0, 1.5, 0.0\] are no video index, frame"),
        ([[0, 1, 2, 0.5, 1, 2, 3, 4]], "row 0: label 2 is unknown; the data set has 0 to 1"),
    ],
)
def test_faults_of_pickled_detections(tmp_path, rows, message):
    path = write_pickle(tmp_path / "d.pkl", rows)
    with pytest.raises(DataError, match=message):
        read_frame_detections(path, _read(tmp_path), fps=25)


def test_tubes_survive_json(tmp_path):
    tubes = _read(tmp_path)
    write_tubes(tubes.tubes, tubes.labels, tmp_path / "t.json")
    again = read_tubes(tmp_path / "t.json", tubes)
    for one, other in zip(tubes.tubes, again, strict=True):
        assert (one.video_id, one.label, one.score) == (other.video_id, other.label, other.score)
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.boxes_px, other.boxes_px)


def test_pickled_tubes(tmp_path):
    rows = np.array([[2, 10, 20, 29, 59, 0.7], [3, 10, 20, 29, 59, 0.9]])
    path = write_pickle(tmp_path / "t.pkl", {0: [], 1: [("pool/b", 0.8, rows)]})
    (found,) = read_tubes(path, _read(tmp_path))
    assert (found.video_id, found.label, found.score) == ("pool/b", 1, 0.8)
    assert found.boxes_px.tolist() == [[10, 20, 29, 59]] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "t.json: found .*must be an object"),
        ("{}", "t.json: there is no 'tubes'"),
        ('{"tubes": [{"video": "b"}]}', r"t.json: tubes\[0\]: there is no 'boxes'"),
        ("TUBE:label=walk", r"tubes\[0\].label: label 'walk' is unknown"),
        ("TUBE:label=5", r"tubes\[0\].label: label 5 is unknown; the data set has 0 to 1"),
        ("TUBE:video=c", r"tubes\[0\]: the video 'c' is not in"),
        ("TUBE:first_frame=0", r"tubes\[0\]: frame 0 is no frame number"),
        ("TUBE:first_frame=5", r"tubes\[0\]: frame 5 is behind the last of 'pool/b', 4"),
        ("TUBE:boxes=[]", r"tubes\[0\]: frames of shape \(0,\)"),
        ("TUBE:boxes=[[1, 2, 3]]", r"tubes\[0\].boxes\[0\]: found 3 numbers; there must be 4"),
    ],
)
def test_faults_of_json_tubes(tmp_path, text, message):
    if text.startswith("TUBE:"):
        key, value = text.removeprefix("TUBE:").split("=")
        value = f'"{value}"' if value.isalpha() else value
        fields = {"video": '"b"', "label": '"run"', "score": "0.5", "first_frame": "1"}
        fields |= {"boxes": "[[1, 2, 3, 4]]", key: value}
        body = ", ".join(f'"{name}": {content}' for name, content in fields.items())
        text = f'{{"tubes": [{{{body}}}]}}'
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_tubes(tmp_path / "t.json", _read(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "t.pkl is no dict from label index to tubes, but list"),
        ({2: []}, "label 2 is unknown; the data set has 0 to 1"),
        ({0: [("pool/b", 0.5)]}, r"\[0\]\[0\] is no \(video, score, array of a row a frame\)"),
        ({0: [("pool/b", 0.5, [1, 2, 3])]}, r"\[0\]\[0\] has boxes of shape \(3,\)"),
    ],
)
def test_faults_of_pickled_tubes(tmp_path, content, message):
    path = write_pickle(tmp_path / "t.pkl", content)
    with pytest.raises(DataError, match=message):
        read_tubes(path, _read(tmp_path))
