"""Faults of actions, the label map and its names: found with file, line, value and remedy."""

import pytest
from small_dataset import MAP, TRAIN, VAL, append, assert_one, check, edit, found


def test_action_ids_that_the_model_has_no_output_for(tables):
    line = append(tables / TRAIN, *["v0,0908,0.1,0.2,0.3,0.9,4,0", "v0,0909,0.1,0.2,0.3,0.9,4,0"])
    assert_one(
        check(tables),
        "unknown_action",
        f"{TRAIN}:{line}",
        "action id 4 is above dataset.num_classes = 3 (2 rows from here on)",
        "raise dataset.num_classes",
    )


def test_action_ids_that_the_label_map_lacks(tables):
    line = append(tables / TRAIN, "v0,0908,0.1,0.2,0.3,0.9,4,0")
    report = check(tables, "dataset.num_classes=4")
    assert_one(
        report,
        "unknown_action",
        f"{TRAIN}:{line}",
        f"action id 4 (1 rows from here on) is not in set/{MAP}",
        "add it there with its name",
        severity="warning",
    )


def test_classes_without_annotations(tables):
    text = (tables / VAL).read_text().replace(",3,1\n", ",1,1\n")
    (tables / VAL).write_text(text)
    assert_one(
        check(tables),
        "missing_class",
        VAL,
        f"1 of 3 classes of set/{MAP} have no row here and cannot be scored: 3 sit down",
        severity="warning",
    )


def test_a_label_map_above_the_models_outputs(tables):
    report = check(tables, "dataset.num_classes=2")
    findings = found(report, "label_map")
    assert str(findings[0]).startswith(f"set/{MAP}:11: action id 3 (sit down) is above")
    assert [f.line for f in found(report, "unknown_action")] == [3, 3]
    assert_one(
        check(tables, "dataset.num_classes=5"),
        "label_map",
        MAP,
        "the highest action id is 3, dataset.num_classes = 5",
        severity="note",
    )


MAPS = [
    (2, "wave", 'wa"ve', "error", 2, "a name stands in double quotes"),
    (7, "2", "0", "error", 7, "an action id is a whole number from 1"),
    (7, "2", "1", "error", 7, "action id 1 occurs twice"),
    (2, "  name", "\tname", "error", 3, "no name stands before this id"),
    (2, "  name", "\tname", "warning", 2, "passed over; fields begin with exactly two blanks"),
    (7, "label_id", "label", "warning", 7, "passed over"),
    (7, "label_id", "label", "warning", 8, "the entry has no id and is passed over"),
    (4, "}", "", "warning", 5, "an entry begins inside another"),
    (5, "label {", "", "warning", 6, "the field stands outside an entry"),
    (12, "}", "", "warning", 12, "the file ends inside an entry"),
    (2, "wave", "wa\x0bve", "warning", 2, "the line holds '\\x0b', which is no text"),
    (4, "}", "}\n}", "warning", 5, "no entry is open here"),
    (6, "jump", "wave", "warning", 7, "actions 1 and 2 are both called 'wave'"),
    (6, "jump", " ", "warning", 7, "action 2 has no name"),
    (2, "  name", '  name: "x"\n  name', "warning", 3, "has this field already"),
    (2, "  name", "  label_type: A\n  name", "warning", 2, "put it below the id"),
]


@pytest.mark.parametrize("case", MAPS, ids=[f"{case[5][:30]}" for case in MAPS])
def test_faults_of_the_label_map(tables, case):
    line, old, new, severity, place, text = case
    edit(tables / MAP, line, old, new)
    findings = found(check(tables), "label_map")
    assert any(
        (f.severity, f.path, f.line) == (severity, f"set/{MAP}", place) and text in f.text
        for f in findings
    ), [str(finding) for finding in findings]


def test_a_label_map_that_is_no_text(tables):
    (tables / MAP).write_bytes(b"\xff\xfe")
    assert_one(check(tables), "label_map", MAP, "byte 0 is not UTF-8; save the label map as plain")


def test_names_that_are_not_avas(tables, shared_dir):
    official = shared_dir / "ava" / "annotations" / "ava_action_list_v2.2.pbtxt"
    text = official.read_text().replace('"dance"', '"danse"')
    (tables / MAP).write_text(text)
    line = text.splitlines().index('  name: "danse"') + 2
    report = check(tables, "dataset.num_classes=80")
    assert_one(
        report,
        "class_name",
        f"{MAP}:{line}",
        "action 4 is 'danse' here and 'dance' in AVA",
        severity="warning",
    )


def test_avas_sixty_classes_leave_twenty_unscored(tables, shared_dir):
    name = "ava_action_list_v2.2_for_activitynet_2019.pbtxt"
    (tables / MAP).write_text((shared_dir / "ava" / "annotations" / name).read_text())
    append(tables / TRAIN, "v0,0908,0.1,0.2,0.3,0.9,2,0")  # crawl is not among the sixty
    notes = found(check(tables, "dataset.num_classes=80"), "unknown_action")
    assert [note.severity for note in notes] == ["note", "note"]
    assert "of AVA's 80 actions occur here" in notes[0].text
