"""The form of a file, told from suffix and content; doubt is an error with the candidates."""

import json
import pickle
import zipfile

import pytest

from x3d_det.errors import DataError
from x3d_det.formats.convert import form_named, form_of, form_to_write
from x3d_det.formats.registry import FORMS

BOX = "0.1,0.2,0.3,0.4"


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("a.csv", f"v,0902,{BOX},12,0\nv,0903\n", "ava"),
        ("a.csv", f"v,0902,{BOX},12\n", "ava-v1.0"),
        ("a.csv", f"v,17.5,{BOX},12\nv,18.0\n", "ava-kinetics"),
        ("a.csv", f"v,0902,{BOX},,0.9\n", "person-boxes"),
        ("a.csv", f"v,0902,{BOX},-1,0.9\nv,0903,{BOX},12,0.9\n", "person-boxes"),
        ("a.csv", f"v\t0902\t{BOX}\t\t0.9\n".replace(",", "\t"), "person-boxes"),
        ("a.csv", f"v,0902,{BOX},12,0.9\nv,0902,{BOX},13,0.1\n", "detections"),
        ("a.csv", "v,0902\nw,0903\n", "keyframes"),
        ("a.csv", "v,1\nv,2\n", "keyframes"),
        ("a.txt", "0902\n0903\n", "included-seconds"),
        ("a.txt", "-5K\nabc\n", "video-ids"),
        ("a.txt", "756026\n", "video-ids"),
        ("a.txt", "-5K.mkv\nabc.mp4\n", "file-names"),
        ("a.csv", 'original_vido_id video_id frame_id path labels\nv 0 0 a.jpg ""\n', "frame-list"),
        ("a.csv", 'v\t0\t0\tv/1.jpg\t""\n', "frame-list"),
        ("a.pbtxt", 'label {\n  name: "a"\n  label_id: 1\n}\n', "pbtxt"),
        ("a.pbtxt", 'item {\n  name: "a"\n  id: 1\n}\n', "pbtxt-item"),
        ("a.txt", "1: bend/bow, at the waist\n2: crawl\n", "label-text"),
        ("a.csv", "action_id,name,group\n1,a,b\n", "label-csv"),
        ("a.csv", "1,bend\n", "label-csv"),
        ("a.json", '{"1": "a"}', "label-json"),
        ("a.json", '["a"]', "label-json"),
        ("a.json", '[{"image_id": 1}]', "coco-results"),
        ("a.json", '{"images": [], "annotations": [], "categories": []}', "coco"),
        (
            "a.json",
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}',
            "coco-persons",
        ),
        ("a.json", '{"videos": [], "images": [], "annotations": []}', "coco-video"),
        ("a.json", '{"_via_settings": {}, "_via_img_metadata": {}}', "via"),
        ("a.json", '{"project": {}, "config": {}, "metadata": {}}', "via"),
        ("a.json", '{"a.jpg1": {"filename": "a.jpg", "regions": []}}', "via"),
        ("a.csv", "filename,file_size,file_attributes,region_count\n", "via"),
        ("a.xml", "<annotations/>", "cvat"),
    ],
)
def test_the_form_is_told(tmp_path, name, text, form):
    path = tmp_path / name
    path.write_text(text)
    assert form_of(path).name == form


def test_binary_files_and_folders(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({}))
    assert form_of(tmp_path / "a.pkl").name == "mmaction2-proposals"
    assert form_of(tmp_path).name == "frames-folder"
    for name, member, form in (
        ("x.zip", "annotations.xml", "cvat"),
        ("j.zip", "instances.json", "coco-video"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, json.dumps({"videos": [], "annotations": []}))
        assert form_of(tmp_path / name).name == form


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", f"v,0902,{BOX},12,0.9\n", "may be person-boxes or detections; say which with"),
        (
            "a.csv",
            f"v,0902,{BOX},12,1.0000\n",
            "may be person-boxes or detections or result-ground-truth; say which",
        ),
        ("a.csv", "stand,12\nwalk,14\n", "may be keyframes or label-csv; say which"),
        ("a.csv", "a,b,c\n", "its form cannot be told"),
        ("a.csv", "", "its form cannot be told"),
        ("a.json", "{", "its form cannot be told"),
        ("a.json", "7", "its form cannot be told"),
    ],
)
def test_doubt_is_an_error(tmp_path, name, text, expected):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        form_of(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert expected in str(caught.value)


def test_a_missing_file_and_an_unknown_form(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: there is no such file or folder"):
        form_of(tmp_path / "none.csv")
    with pytest.raises(DataError, match="'mmaction2-proposal' is no form; did you mean mmaction2-"):
        form_named("mmaction2-proposal")


@pytest.mark.parametrize(
    ("source", "name", "target"),
    [
        ("ava-kinetics", "o.csv", "ava"),
        ("ava", "o.csv.gz", "ava"),
        ("ava", "o.json", "coco"),
        ("ava", "o.pkl", "mmaction2-proposals"),
        ("person-boxes", "o.json", "coco-persons"),
        ("mmaction2-proposals", "o.csv", "person-boxes"),
        ("keyframes", "o.txt", "included-seconds"),
        ("file-names", "o.txt", "video-ids"),
        ("frames-folder", "o.csv", "frame-list"),
        ("pbtxt", "o.json", "label-json"),
        ("detections", "o.csv", "detections"),
    ],
)
def test_the_form_to_write_follows_the_suffix(source, name, target):
    assert form_to_write(name, FORMS[source]).name == target


def test_a_suffix_that_says_nothing(tmp_path):
    with pytest.raises(DataError, match=r"o\.txt: its suffix does not say what ava shall become"):
        form_to_write("o.txt", FORMS["ava"])
    with pytest.raises(DataError, match=r"--to: pbtxt, pbtxt-item, label-csv, label-json, label-t"):
        form_to_write("o.yaml", FORMS["pbtxt"])


def test_real_files_are_told(shared_dir):
    folder = shared_dir / "ava"
    for name, form in (
        ("annotations/ava_val_v2.2_excerpt.csv", "ava"),
        ("annotations/ava_test_v1.0.csv", "ava-v1.0"),
        ("annotations/ava_kinetics_val_v1.0_first_12000_rows.csv", "ava-kinetics"),
        ("annotations/ava_val_excluded_timestamps_v2.2.csv", "keyframes"),
        ("annotations/ava_included_timestamps_v2.2.txt", "included-seconds"),
        ("annotations/ava_test_v2.2.txt", "video-ids"),
        ("annotations/ava_file_names_test_v2.1.txt", "file-names"),
        ("annotations/ava_action_list_v2.2.pbtxt", "pbtxt"),
        ("annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt", "pbtxt-item"),
        ("formats/custom_frame_list.csv", "frame-list"),
        ("formats/custom_frame_list_spoiled_by_spreadsheet.csv", "frame-list"),
        ("formats/custom_ground_truth.csv", "ava"),
        ("formats/custom_predicted_boxes_empty_label.csv", "person-boxes"),
        ("formats/custom_train_boxes_with_labels_crlf.csv", "person-boxes"),
        ("formats/mmaction2_proposals_sample.pkl", "mmaction2-proposals"),
        ("eval_cases/real/r01_slowfast_ava22_one_video/pred.csv", "detections"),
    ):
        assert form_of(folder / name).name == form, name
