"""Label maps as csv, json and text: every form that projects use, ids from 0, faults."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from x3d_det.errors import DataError
from x3d_det.io.label_map import LabelMap, ava_label_map, read_label_map, write_label_map


def _file(tmp_path, text, name):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


BOTH = {1: "bend/bow (at the waist)", 12: "stand"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.json", '{"1": "bend/bow (at the waist)", "12": "stand"}'),
        ("m.json", '{"stand": 12, "bend/bow (at the waist)": 1}'),
        ("m.json", '[{"id": 12, "name": "stand"}, {"id": 1, "name": "bend/bow (at the waist)"}]'),
        ("m.json", '{"images": [], "categories": [{"id": 12, "name": "stand"}, '
         '{"id": 1, "name": "bend/bow (at the waist)"}]}'),
        ("m.csv", "action_id,name\n1,bend/bow (at the waist)\n12,stand\n"),
        ("m.csv", "name,split,id\nstand,x,12\nbend/bow (at the waist),y,1\n"),
        ("m.csv", "\ufefflabel_id,label_name\r\n12,stand\r\n1,bend/bow (at the waist)\r\n"),
        ("m.csv", "1,bend/bow (at the waist)\n12,stand\n"),
        ("m.csv", "bend/bow (at the waist),1\nstand,12\n"),
        ("m.txt", "1: bend/bow (at the waist)\n\n12: stand\n"),
        ("m.pbtxt", 'item {\n  name: "bend/bow (at the waist)"\n  id: 1\n}\n'
         'item {\n  name: "stand"\n  id: 12\n}\n'),
    ],
)  # fmt: skip
def test_every_form_is_read(tmp_path, name, text):
    assert dict(read_label_map(_file(tmp_path, text, name)).names) == BOTH


def test_a_list_is_numbered_from_one_whatever_the_first_id(tmp_path):
    path = _file(tmp_path, '["bend", "crawl"]', "m.json")
    assert dict(read_label_map(path).names) == {1: "bend", 2: "crawl"}
    assert dict(read_label_map(path, first_id=0).names) == {1: "bend", 2: "crawl"}


def test_groups_of_csv_and_of_categories(tmp_path):
    path = _file(tmp_path, "id,name,label_type\n1,a,G\n2,b,\n", "m.csv")
    assert read_label_map(path) == LabelMap({1: "a", 2: "b"}, {1: "G"})
    categories = '[{"id": 1, "name": "a", "supercategory": "G"}, {"id": 2, "name": "b"}]'
    assert read_label_map(_file(tmp_path, categories, "m.json")) == LabelMap(
        {1: "a", 2: "b"}, {1: "G"}
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("m.json", '{"bend": 0, "crawl": 1}'),
        ("m.json", '{"0": "bend", "1": "crawl"}'),
        ("m.csv", "id,name\n0,bend\n1,crawl\n"),
        ("m.txt", "0: bend\n1: crawl\n"),
    ],
)
def test_class_indices_are_refused_or_shifted_on_demand(tmp_path, name, text):
    path = _file(tmp_path, text, name)
    with pytest.raises(DataError, match=r"id 0: an action id .* --first-id 0 adds 1 to each"):
        read_label_map(path)
    assert dict(read_label_map(path, first_id=0).names) == {1: "bend", 2: "crawl"}
    with pytest.raises(ValueError, match="first_id is 2"):
        read_label_map(path, first_id=2)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("m.json", "{", ":1: this is no json ("),
        ("m.json", "7", ": no label map; json label maps are"),
        ("m.json", "[]", ": no label map; json label maps are"),
        ("m.json", "{}", ": no action found; the label map is empty"),
        ("m.json", '{"1": "a", "2": 3}', ': the value of "2" is 3; all values must be names'),
        ("m.json", '{"a": 1, "b": true}', ': the value of "b" is True; all values must be'),
        ("m.json", '{"1": "a", "1": "b"}', ': "1": action id 1 occurs twice'),
        ("m.json", '{"a": 3, "b": 3}', ': "b": action id 3 occurs twice'),
        ("m.json", '{"x": "a"}', ': "x": id x: an action id is a whole number from 1'),
        ("m.json", '{"1": ""}', ': "1": action id 1 has no name'),
        ("m.json", '{"a": 2000000}', ': "a": id 2000000: an action id is a whole number from 1'),
        ("m.json", '[{"id": 1.5, "name": "a"}]', ": entry 0: id 1.5: an action id is a whole"),
        ("m.json", '[{"id": 1}]', ": entry 0: action id 1 has no name"),
        ("m.csv", "", ": no action found; the label map is empty"),
        ("m.csv", "a,b\n1,c\n", ":1: 'a,b' tells no id and no name; a label map in csv begins"),
        ("m.csv", "1,2\n3,4\n", ":1: '1,2' tells no id and no name"),
        ("m.csv", "id,name\n1,a,b\n", ":2: 3 columns ('1,a,b') where the first line has 2; a name"),
        ("m.csv", 'id,name\n1,"a\n', ":2: unexpected end of data; save the label map as plain"),
        ("m.csv", "id,name\nx,a\n", ":2: id x: an action id is a whole number"),
        ("m.csv", "id,name\n1,a\n1,b\n", ":3: action id 1 occurs twice"),
        ("m.txt", "1: a\nb\n", ":2: 'b' is not of the form 12: stand."),
        ("m.txt", "1: a\n1: b\n", ":2: action id 1 occurs twice"),
    ],
)
def test_faults_name_their_place(tmp_path, name, text, expected):
    path = _file(tmp_path, text, name)
    with pytest.raises(DataError) as caught:
        read_label_map(path)
    assert str(caught.value).startswith(f"{path}{expected}")


def test_official_lists_come_back_byte_for_byte(shared_dir, tmp_path):
    folder = shared_dir / "ava" / "annotations"
    for name, form in (
        ("ava_action_list_v2.2.pbtxt", "label"),
        ("ava_action_list_v2.2_for_activitynet_2019.pbtxt", "item"),
    ):
        write_label_map(read_label_map(folder / name), tmp_path / name, form=form)
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "form"), [("m.csv", None), ("m.json", None), ("m.txt", "text"), ("m.pbtxt", None)]
)
def test_ava_comes_back_from_every_form(tmp_path, name, form):
    whole = ava_label_map(80)
    write_label_map(whole, tmp_path / name, form=form)
    found = read_label_map(tmp_path / name)
    assert dict(found.names) == dict(whole.names)
    assert dict(found.groups) == (dict(whole.groups) if name in ("m.csv", "m.pbtxt") else {})


def test_json_is_what_other_projects_read(tmp_path):
    write_label_map(LabelMap({3: "run", 1: "sit"}), tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text()) == {"1": "sit", "3": "run"}


@pytest.mark.parametrize(
    ("form", "name", "text"),
    [
        ("item", 'a"b', "holds a quote or a line break"),
        ("text", "a\nb", "holds a line break"),
        ("csv", " a", "holds nothing, or blanks at its ends"),
        ("text", "", "holds nothing, or blanks at its ends"),
    ],
)
def test_names_that_a_form_cannot_carry(tmp_path, form, name, text):
    with pytest.raises(DataError, match=text):
        write_label_map(LabelMap({1: name}), tmp_path / "m", form=form)
    assert not (tmp_path / "m").exists()
    with pytest.raises(ValueError, match="form is 'xml'"):
        write_label_map(LabelMap({1: "a"}), tmp_path / "m", form="xml")


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.integers(1, 1_000_000),
        st.text(min_size=1, max_size=8).filter(lambda name: name == name.strip()),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["label", "item", "csv", "json", "text"]),
)
def test_what_is_written_is_read_or_refused(tmp_path_factory, names, form):
    suffix = {"csv": ".csv", "json": ".json"}.get(form, ".pbtxt")
    path = tmp_path_factory.mktemp("maps") / f"m{suffix}"
    try:
        write_label_map(LabelMap(names), path, form=form)
    except DataError:
        assert any(not name.isprintable() or '"' in name for name in names.values())
        return
    assert dict(read_label_map(path).names) == names
