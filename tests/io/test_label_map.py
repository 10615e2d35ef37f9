"""Label maps: both pbtxt forms, AVA's own lists, and every error text."""

import pickle

import pytest

from x3d_det.errors import DataError
from x3d_det.io.label_map import (
    ACTION_GROUPS,
    LabelMap,
    ava_label_map,
    read_label_map,
    write_label_map,
)


def _file(tmp_path, text, name="map.pbtxt"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_label_form_has_names_and_groups(tmp_path):
    path = _file(
        tmp_path,
        'label {\n  name: "stand"\n  label_id: 12\n  label_type: PERSON_MOVEMENT\n}\n'
        'label {\n  name: "bend/bow (at the waist)"\n  label_id: 1\n}\n',
    )
    label_map = read_label_map(path)
    assert dict(label_map.names) == {1: "bend/bow (at the waist)", 12: "stand"}
    assert label_map.action_ids == (1, 12)
    assert dict(label_map.groups) == {12: "PERSON_MOVEMENT"}
    assert len(label_map) == 2


def test_item_form_and_windows_line_ends(tmp_path):
    path = _file(tmp_path, 'item {\r\n  name: "walk"\r\n  id: 14\r\n}\r\n')
    assert dict(read_label_map(path).names) == {14: "walk"}


def test_only_lines_that_begin_with_two_blanks_count(tmp_path):
    # The official reader skips every other indentation without a word.
    path = _file(tmp_path, '  name: "a"\n  id: 1\n   name: "b"\n\tid: 2\n name: "c"\n')
    assert dict(read_label_map(path).names) == {1: "a"}


def test_all_faults_are_reported_at_once(tmp_path):
    path = _file(
        tmp_path,
        '  name: "a"\n  id: 0\n  name: "b"\n  id: 7\n  name: "c"\n  id: 7\n  id: 8\n'
        '  name: d\n  name: "e"\n  id: x\n',
    )
    with pytest.raises(DataError) as caught:
        read_label_map(path)
    lines = str(caught.value).splitlines()
    assert lines == [
        f"{path}:2: id: 0: an action id is a whole number from 1 to 1,000,000.",
        f"{path}:6: id: 7: action id 7 occurs twice; give every action its own.",
        f'{path}:7: id: 8: no name stands before this id; put name: "..." above it.',
        f'{path}:8: name: d: a name stands in double quotes, as in name: "stand".',
        f"{path}:10: id: x: an action id is a whole number from 1 to 1,000,000.",
    ]


@pytest.mark.parametrize("text", ["", 'item { name: "a" id: 1 }\n', '\tname: "a"\n\tid: 1\n'])
def test_no_entry_is_an_error(tmp_path, text):
    with pytest.raises(DataError, match=r"no action found.*exactly two blanks"):
        read_label_map(_file(tmp_path, text))


def test_missing_file_and_other_encoding(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the label map .*none\.pbtxt: No such file"):
        read_label_map(tmp_path / "none.pbtxt")
    (tmp_path / "latin.pbtxt").write_bytes(b'  name: "caf\xe9"\n  id: 1\n')
    with pytest.raises(DataError, match=r"latin\.pbtxt: byte 12 is not UTF-8"):
        read_label_map(tmp_path / "latin.pbtxt")


def test_ava_lists():
    whole, evaluated = ava_label_map(80), ava_label_map(60)
    assert whole.action_ids == tuple(range(1, 81))
    assert len(evaluated) == 60
    assert evaluated.action_ids[-1] == 80
    assert 2 not in evaluated.names
    assert evaluated.names[79] == "talk to (e.g., self, a person, a group)"
    sizes = [sum(g == name for g in whole.groups.values()) for name in ACTION_GROUPS]
    assert sizes == [14, 49, 17]
    with pytest.raises(ValueError, match="num_classes is 61"):
        ava_label_map(61)


def test_ava_lists_equal_the_official_files(shared_dir):
    folder = shared_dir / "ava" / "annotations"
    official = read_label_map(folder / "ava_action_list_v2.2.pbtxt")
    assert dict(official.names) == dict(ava_label_map(80).names)
    assert dict(official.groups) == dict(ava_label_map(80).groups)
    evaluated = read_label_map(folder / "ava_action_list_v2.2_for_activitynet_2019.pbtxt")
    assert dict(evaluated.names) == dict(ava_label_map(60).names)
    assert not evaluated.groups


def test_written_map_reads_back(tmp_path):
    label_map = LabelMap({3: "run / jög", 1: "sit"}, {1: "PERSON_MOVEMENT"})
    write_label_map(label_map, tmp_path / "out.pbtxt")
    assert read_label_map(tmp_path / "out.pbtxt") == label_map
    assert pickle.loads(pickle.dumps(label_map)) == label_map
    with pytest.raises(DataError, match="action 1 holds a quote"):
        write_label_map(LabelMap({1: 'say "hi"'}), tmp_path / "out.pbtxt")


def test_label_map_refuses_impossible_ids():
    with pytest.raises(ValueError, match="action id 0 is not in 1 to"):
        LabelMap({0: "a"})
    with pytest.raises(ValueError, match="action id 4 has a group but no name"):
        LabelMap({1: "a"}, {4: "G"})
